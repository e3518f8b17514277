"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to, whose content takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        The file to make or to replace. What is there and no file, a pipe or a device, is written to directly.

    Raises
    ------
    OSError
        If `path` is a folder, or nothing can be written beside it: before the block begins.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write")
    if path.exists() and not path.is_file():
        yield path
        return
    goal = path.resolve()  # a link goes on pointing to what it points to
    try:
        descriptor, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}-", suffix=".tmp")
    except OSError as error:
        # The reader knows nothing of the file beside theirs.
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(goal.stat().st_mode & 0o777 if goal.exists() else 0o666 & ~_umask())
        temporary.replace(goal)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _umask() -> int:
    # Asking for it is setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
