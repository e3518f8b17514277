"""Files that others publish: from a folder, from the cache of earlier downloads, or from their address."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from costlab._internal.extras import require
from costlab.errors import DatasetError

__all__ = ["UpstreamFile", "local_path"]

#: Name of the environment variable with a folder that holds the files already.
FOLDER_VARIABLE = "COSTLAB_DATA_DIR"


@dataclass(frozen=True, slots=True)
class UpstreamFile:
    """A file as its authors published it, at one commit.

    Attributes
    ----------
    name : str
        Its name in the folder and in the cache.
    url : str
        Where it is published.
    sha256 : str
        Its checksum.
    """

    name: str
    url: str
    sha256: str


def local_path(file: UpstreamFile) -> Path:
    """Path of a verified local copy of `file`.

    Looked for in the folder that the environment variable ``COSTLAB_DATA_DIR`` names, then among earlier downloads, and
    fetched at last.

    Raises
    ------
    DatasetError
        If it cannot be had, or what was found is not the published file. The message says where to get it.
    MissingExtraError
        If it must be fetched and pooch is not installed.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and (Path(folder) / file.name).is_file():
        path = Path(folder) / file.name
        if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise DatasetError(f"{path} is not the published file: its sha256 is not {file.sha256}; {_where(file)}")
        return path
    pooch = require("pooch", "datasets")
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # a download is announced on stderr otherwise, in the middle of a lesson
    try:
        return Path(pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=pooch.os_cache("costlab")))
    except (OSError, ValueError) as error:  # no network, no such page, or another checksum
        raise DatasetError(f"{file.name} could not be fetched ({type(error).__name__}); {_where(file)}") from error
    finally:
        logger.setLevel(level)


def _where(file: UpstreamFile) -> str:
    return f"get it at {file.url} and name its folder in {FOLDER_VARIABLE}"
