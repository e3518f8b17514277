"""Predict before seeing: what a lesson's ``reveal`` shows stays folded until the reader has guessed or asked for it.

The rule: folded are all outputs of a cell that calls ``reveal``, and the paragraph after it, which reads the answer.
They become one ``<details>``, which opens by mouse and keyboard without JavaScript. ``predict.js`` puts a field for a
guess above it; paper shows it open.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

_COMPUTED = re.compile(r"^computed: (\S+) ?(.*)$", re.M)
_FOLDED = (nodes.paragraph, nodes.bullet_list, nodes.enumerated_list)


def fold_predictions(_app: Sphinx, doctree: nodes.document) -> None:
    """Move outputs and the paragraph that reads them into a part that unfolds."""
    cells = [cell for cell in doctree.findall(nodes.container) if cell.get("nb_element") == "cell_code"]
    for cell in cells:
        source = "\n".join(part.astext() for part in cell.findall(nodes.literal_block) if _is_input(part))
        if not re.search(r"^reveal\(", source, re.M):
            continue
        outputs = [part for part in cell.children if part.get("nb_element") == "cell_code_output"]  # type: ignore[attr-defined]
        shown = _COMPUTED.search("\n".join(part.astext() for part in outputs))
        if shown is None:
            continue  # a cell that was not run
        parent, after = cell.parent, cell.parent.index(cell) + 1
        for part in outputs:
            cell.remove(part)
        tags = [name for name in cell["classes"] if name.startswith("tag_")]  # `wide` is about the output
        box = nodes.container(classes=["cell", *tags])
        box.extend(outputs)
        folded: list[nodes.Node] = [_raw(_opening(shown[1], shown[2])), box]
        if after < len(parent) and isinstance(parent[after], _FOLDED):
            folded.append(parent.pop(after))
        for part in reversed([*folded, _raw("</details>")]):
            parent.insert(after, part)


def _is_input(part: nodes.literal_block) -> bool:
    parent: Any = part.parent
    return parent is not None and parent.get("nb_element") == "cell_code_source"


def _opening(number: str, unit: str) -> str:
    return (
        f'<details class="prediction" data-computed="{escape(number)}" data-unit="{escape(unit)}">'
        "<summary>Show the answer</summary>"
    )


def _raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def setup(app: Sphinx) -> dict[str, Any]:
    """Fold once a page is read, and bring the script along."""
    app.connect("doctree-read", fold_predictions, priority=900)
    app.add_js_file("predict.js")
    return {"version": "1", "parallel_read_safe": True}
