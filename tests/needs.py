"""What a test needs beyond the package: absent, the test skips; in CI it fails, so that nothing skips unseen."""

import importlib.util
import os
import shutil

import pytest

from costlab.errors import MissingExtraError


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that would hold it
        return False


def extra(module: str, group: str) -> None:
    """Skip the calling module unless `module` is installed; COSTLAB_BARE says that no extra is meant to be."""
    if _installed(module):
        return
    reason = str(MissingExtraError(module, group))
    if os.environ.get("CI") == "true" and not os.environ.get("COSTLAB_BARE"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def model(*modules: str) -> None:
    """Skip the calling test unless the packages that carry a model are installed."""
    if all(map(_installed, modules)):
        return
    reason = f"{' and '.join(modules)} are not installed; run: make setup"
    if os.environ.get("CI") == "true" and not os.environ.get("COSTLAB_BARE"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(*names: str, install: str) -> str:
    """Path of the first of the programs that is there."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        reason = f"{names[0]} is missing; run: {install}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found
