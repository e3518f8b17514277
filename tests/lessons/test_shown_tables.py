"""Tables as readers see them."""

import pytest

from costlab.errors import CostlabError
from tests import needs

needs.extra("pandas", "plots")

import pandas as pd  # noqa: E402 - after the check for optional packages

from costlab.lessons import table  # noqa: E402

FRAME = pd.DataFrame({"bill": [29614.0, -4574.4, None], "advice": ["own", "a" * 80, None]}, ["a", "b", "c"])


def test_numbers_are_formatted_and_texts_are_whole() -> None:
    shown = table(FRAME, {"bill": "{:,.0f} USD"}, index="row")
    assert shown.header == ("row", "bill", "advice")
    assert shown.rows == (("a", "29,614 USD", "own"), ("b", "-4,574 USD", "a" * 80), ("c", "-", "-"))
    assert shown.numeric == (False, True, False)
    assert "29614" not in repr(shown)


def test_the_html_has_one_header_row_and_escapes() -> None:
    frame = FRAME.rename_axis("name").assign(advice="<own>")
    html = table(frame, "{:.1f}")._repr_html_()
    assert html.count("<thead><tr>") == html.count("<thead>") == 1
    assert html.count("<tr>") == 1 + len(frame)
    assert "&lt;own&gt;" in html
    assert "<own>" not in html


def test_whole_numbers_have_their_thousands_separated_and_the_index_can_go() -> None:
    counted = pd.DataFrame({"requests": [100079], "right": [True]})
    assert table(counted, index=None).rows == (("100,079", "True"),)


def test_an_index_of_two_levels_is_one_column() -> None:
    index = pd.MultiIndex.from_tuples([("A100", 16), ("A100", 8)])
    assert [row[0] for row in table(pd.DataFrame({"n": [1, 2]}, index)).rows] == ["A100 · 16", "A100 · 8"]


def test_a_format_for_no_column_is_refused() -> None:
    with pytest.raises(CostlabError, match="column"):
        table(FRAME, {"bil": "{:.0f}"})
