"""Prose that quotes recordings, and whether somebody has read it again since they were made.

A Markdown cell after a code cell that shows a recording says in its metadata which one it was read beside, by a digest
of the file: ``{"costlab": {"recordings": {"device-cpu": "2f7c…", "device-h200": "absent"}}}``. A page says it in a
comment: ``<!-- recordings: device-cpu 2f7c… -->``. A recording that was made or made again changes the digest, and the
lint then names the sentences to read. Once they were read:

python -m tools.quoted_recordings notebooks/02_quantization.ipynb book/instructor/02_quantization.md
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from costlab.recordings import FOLDER

Cell = dict[str, Any]

#: What stands for the digest of a recording that was not made yet.
ABSENT: Final = "absent"

#: Calls that show a recording of which the name stands in the package, not in the lesson.
NAMED: Final = {
    "recorded_tiers": "answers-cpu",
    "recorded_traffic": "traffic-azure-2023",
    "recorded_tokenizers": "tokenizers-packages",
}

#: Methods that put what they are given into the object that they belong to.
_FILLING: Final = {"append", "extend", "add", "update", "insert", "setdefault"}

_COMMENT = re.compile(r"<!-- recordings: (.*?) -->", re.S)


def digest(name: str, folder: Path | None = None) -> str:
    """Twelve hexadecimal digits that stand for a recording as it is, or ``absent`` where there is none.

    Parameters
    ----------
    name : str
        Experiment and device, as in the file's name: ``device-h200``.
    folder : pathlib.Path, optional
        Of the recordings, by default that of the package.
    """
    path = (folder or FOLDER) / f"{name}.json"
    if not path.exists():
        return ABSENT
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def declared(cell: Cell) -> dict[str, str]:
    """The digests that a Markdown cell was read beside, by the names of the recordings."""
    found: dict[str, str] = cell["metadata"].get("costlab", {}).get("recordings", {})
    return found


def shown_recordings(cells: Sequence[Cell]) -> list[set[str]]:
    """The recordings that each cell shows: it loads them, or works with a variable into which one has gone."""
    tainted: dict[str, set[str]] = {}
    return [_shown(cell, tainted) if cell["cell_type"] == "code" else set() for cell in cells]


def _shown(cell: Cell, tainted: dict[str, set[str]]) -> set[str]:
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", "".join(cell["source"]), flags=re.M)
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set()
    shown: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        nodes = list(ast.walk(statement))
        own = set(_own_names(nodes))
        found = {name for node in nodes if isinstance(node, ast.Call) for name in _loaded(node)}
        found |= {recording for name in _read(nodes) if name not in own for recording in tainted.get(name, ())}
        for name in set(_assigned(nodes)) - own:
            if found:
                tainted[name] = tainted.get(name, set()) | found if isinstance(statement, ast.AugAssign) else found
            else:
                tainted.pop(name, None)
        if found:
            for name in _filled(nodes):
                tainted[name] = tainted.get(name, set()) | found
        shown |= found
    return shown


def _read(nodes: Sequence[ast.AST]) -> Iterator[str]:
    return (node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def _own_names(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names that live in a comprehension or are a function's arguments, and are others than those of the notebook."""
    for node in nodes:
        if isinstance(node, ast.comprehension):
            yield from (part.id for part in ast.walk(node.target) if isinstance(part, ast.Name))
        elif isinstance(node, ast.arg):
            yield node.arg


def _loaded(call: ast.Call) -> Iterator[str]:
    """Names of the recordings that a call loads: ``recorded("device", device="cpu")``, ``X.recorded("pruning")``."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if function in NAMED:
        yield NAMED[function]
    if function in ("recorded", "find_recording"):
        given = dict(zip(("experiment", "device"), call.args, strict=False))
        given |= {word.arg: word.value for word in call.keywords if word.arg in ("experiment", "device")}
        words = {key: str(node.value) for key, node in given.items() if isinstance(node, ast.Constant)}
        if "experiment" in words and len(words) == len(given):
            yield f"{words['experiment']}-{words.get('device', 'cpu')}"


def _assigned(nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def _filled(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names of objects that get something in a statement and are not assigned: ``rows[share] = …``, ``rows.append``."""
    for node in nodes:
        base: ast.AST | None = None
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            base = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            base = node.func.value
        while isinstance(base, ast.Subscript | ast.Attribute):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id


def unread(cells: Sequence[Cell], folder: Path | None = None) -> Iterator[str]:
    """What is to be read again in a lesson, or was never said to be read: a line for each Markdown cell."""
    section = ""
    needed: set[str] = set()
    after = ""
    for cell, shown in zip(cells, shown_recordings(cells), strict=True):
        if cell["cell_type"] == "code":
            needed |= shown
            after = _first_words(cell) if shown else after
            continue
        titles = re.findall(r"^## (.*)$", "".join(cell["source"]), re.M)
        if "".join(cell["source"]).startswith("## "):
            section = titles[0]
        said = declared(cell)
        place = f"section {section!r}, {_first_words(cell)!r}"
        missing = {name: digest(name, folder) for name in sorted(needed - said.keys())}
        if missing:
            yield (
                f"{place} follows a cell that shows a recording ({after!r}); "
                f'read it, and add to its metadata "costlab": {{"recordings": {json.dumps(missing)}}}'
            )
        yield from _changed(place, said, folder)
        needed = set()
        section = titles[-1] if titles else section
    if needed:
        yield f"no Markdown cell follows the last one that shows a recording ({after!r})"


def unread_page(text: str, name: str, folder: Path | None = None) -> Iterator[str]:
    """What is to be read again on a page, by the comments in it."""
    for comment in _COMMENT.findall(text):
        words = comment.split()
        if len(words) % 2:
            yield f"{name}: a comment on recordings has names and digests in turn, got {comment!r}"
            continue
        yield from _changed(
            f"{name}, what it says of a recording", dict(zip(words[::2], words[1::2], strict=True)), folder
        )


def _changed(place: str, said: Mapping[str, str], folder: Path | None) -> Iterator[str]:
    for name, was in said.items():
        now = digest(name, folder)
        if was != now:
            what = "is gone" if now == ABSENT else "was made" if was == ABSENT else "was made again"
            yield f"{place}: {name} {what}; read it again beside it, then put {now!r} for {was!r}"


def _first_words(cell: Cell) -> str:
    """The first words of a cell's first sentence, headings left out."""
    lines = [line for line in "".join(cell["source"]).splitlines() if line.strip() and not line.startswith("#")]
    return lines[0][:60] if lines else "(empty)"


def mark_read(path: Path, folder: Path | None = None) -> int:
    """Put today's digests into a lesson or a page that was read; returns the number of places that were changed."""
    if path.suffix != ".ipynb":
        text = path.read_text(encoding="utf-8")

        def again(comment: re.Match[str]) -> str:
            words = [f"{name} {digest(name, folder)}" for name in comment[1].split()[::2]]
            return f"<!-- recordings: {' '.join(words)} -->"

        fresh = _COMMENT.sub(again, text)
        path.write_text(fresh, encoding="utf-8")
        return sum(old != new for old, new in zip(_COMMENT.findall(text), _COMMENT.findall(fresh), strict=True))
    import nbformat  # the lint does without, as it runs where no extras are installed

    notebook = nbformat.read(path, as_version=4)
    needed: set[str] = set()
    changed = 0
    for cell, shown in zip(notebook.cells, shown_recordings(notebook.cells), strict=True):
        if cell["cell_type"] == "code":
            needed |= shown
            continue
        names = sorted(needed | declared(cell).keys())
        needed = set()
        fresh_digests = {name: digest(name, folder) for name in names}
        if fresh_digests != declared(cell):
            cell["metadata"].setdefault("costlab", {})["recordings"] = fresh_digests
            changed += 1
    nbformat.write(notebook, path)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Mark the lessons and pages named as read beside the recordings that the package has now."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if not names:
        print(__doc__)
        return 1
    for path in map(Path, names):
        print(f"{path}: {mark_read(path)} places marked as read")
        if path.suffix == ".ipynb":
            from tools.student import follow

            follow(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
