"""Anchors for the cells in which a lesson holds a claim against the ledger: the ledger's rows link to them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from costlab.lessons.claims_ledger import claims


def anchor_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give every cell that calls ``claim("S2.on_demand", ...)`` the anchor of that claim, and tell Sphinx of it."""
    document = app.env.docname
    cells = [cell for cell in doctree.findall(nodes.container) if cell.get("nb_element") == "cell_code"]
    for cell in cells:
        source = "\n".join(part.astext() for part in cell.findall(nodes.literal_block))
        for entry in claims():
            if f'claim("{entry.id}"' in source:
                cell["ids"].append(entry.anchor)
                standard = app.env.get_domain("std")
                standard.note_hyperlink_target(entry.anchor, document, entry.anchor, f"claim {entry.id}")  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Name the cells once a page is read, before any link to them is resolved."""
    app.connect("doctree-read", anchor_cells)
    return {"version": "1", "parallel_read_safe": True}
