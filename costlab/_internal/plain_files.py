"""Files that a user names, read to their end: a pipe is never waited for, and what has no end is not begun."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: No file of settings is longer than that, nor any recording.
MAX_BYTES: Final = 16 * 2**20


def open_plain(path: Path, error: Callable[[str], Exception]) -> io.BufferedReader:
    """A file to read from, which is one: no pipe, socket, terminal or device.

    Parameters
    ----------
    path : Path
        What the user named.
    error : callable
        Makes the exception from a message.

    Raises
    ------
    OSError
        If it is not there, a folder, or no one may read it.
    """
    # Without O_NONBLOCK, opening a pipe waits for whoever writes into it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as cause:
        if cause.errno == errno.ENXIO:  # a socket
            raise error(not_plain(path)) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise error(not_plain(path))
    return os.fdopen(descriptor, "rb")


def not_plain(path: Path) -> str:
    """What is said of a pipe, a socket, a terminal or a device."""
    return f"{path} is no regular file; save what comes from it as a file first"


def read_plain(path: Path, error: Callable[[str], Exception], most: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises
    ------
    Exception
        The `error`, where it is no regular file, longer than `most` bytes, or in another encoding.
    OSError
        As :func:`open_plain`.
    """
    with open_plain(path, error) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise error(f"{path.name} is longer than {most:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{path.name} is not a text in UTF-8") from cause
    return text.replace("\r\n", "\n").replace("\r", "\n")
