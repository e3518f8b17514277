"""Templates: what is filled in is escaped, and what is forgotten is an error."""

import jinja2
import pytest

from costlab._internal.html import _environment


def filled(source: str, **values: object) -> str:
    return _environment().from_string(source).render(values)


def test_a_table_escapes_its_cells() -> None:
    source = '{% from "_internal/macros.html" import table %}{{ table(["a & b"], [["<script>", "1"]]) }}'
    page = filled(source)
    assert '<th scope="col">a &amp; b</th>' in page
    assert "<tr><td>&lt;script&gt;</td><td>1</td></tr>" in page


def test_a_value_that_was_forgotten_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'title' is undefined"):
        filled("{{ title }}")
