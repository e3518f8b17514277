"""The page that is left: it says what the terminal says, and needs nothing but itself."""

import re

import pytest

from costlab.demo import bill_rows, demo_html, play_demo, story
from tests import needs

for module in ("duckdb", "narwhals", "pyarrow"):
    needs.extra(module, "usage")


@pytest.mark.parametrize("requests", [1, 1500])
def test_the_page_tells_the_story_and_fetches_nothing(requests: int) -> None:
    result = play_demo(requests)
    page = demo_html(result)
    for line in story(result):
        assert line in page
    for row in bill_rows(result):
        assert "".join(f"<td>{cell}</td>" for cell in row) in page
    for alert in result.end.alerts:
        assert alert in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(", page)
    assert page.count("<h2>Hour by hour</h2>") == 1


def test_every_bar_of_the_service_lies_within_its_baseline() -> None:
    chart = demo_html(play_demo(1500)).split('<svg class="pair"')[1].split("</svg>")[0]
    heights = {
        kind: [float(height) for height in re.findall(rf'class="{kind}"[^>]*height="([\d.]+)"', chart)]
        for kind in ("all", "here")
    }
    assert len(heights["all"]) == len(heights["here"]) == 24
    assert max(heights["all"]) == 100.0
    assert all(here < whole for here, whole in zip(heights["here"], heights["all"], strict=True))


def test_a_saving_never_stands_without_its_baseline_and_its_quality() -> None:
    result = play_demo(1500)
    first, *rest = story(result)
    assert f"instead of ${result.end.baseline.usd:,.2f}" in first
    assert f"{result.end.baseline.quality_fraction:.1%} at the large model alone" in rest[-1]
    refused = result.end.here.ordinary - result.end.here.answered
    assert f"by cache and cascade, {refused:,} refusals included;" in rest[0]  # what is not answered costs less too
