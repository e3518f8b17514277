"""Figures: they return their axes, draw on the axes given, name their units, and show the numbers they were given."""

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from costlab.build_vs_buy import MigrationEndpoint, cost_curve, migration_plan
from costlab.cache.economics import CacheCosts, ZipfTraffic, lru_cache, net_saving
from costlab.cache.semantic import Lookup, evaluate_threshold
from costlab.calculator import best_commitment, spot_job
from costlab.capstone import TODAY, request_log, score
from costlab.catalog import api_price, current_gpu_prices
from costlab.compare import Range, tornado
from costlab.errors import InvalidValueError
from costlab.monitoring import GpuUsage, Timeline, UsageTotals, panels
from costlab.router import Outcomes, baselines, cost_quality_curve, hull, quality_at, reliability, simulate_outcomes
from costlab.serving import roofline
from costlab.token_economics import CacheRates
from tests import needs

needs.extra("matplotlib", "plots")

import matplotlib as mpl  # noqa: E402
import numpy as np  # noqa: E402

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

from costlab import plotting  # noqa: E402
from costlab.plotting.style import short  # noqa: E402

ROOT = Path(__file__).parents[1]
(BRIGHTER,) = map(float, re.findall(r"filter: brightness\(([\d.]+)\)", (ROOT / "book/_static/custom.css").read_text()))
#: The theme's own dark ground.
DARK_PAGE = "#14181e"
DEMAND = [4] * 12 + [10] * 12
JOB: dict[str, float] = {
    "work_hours": 10, "spot_usd_per_hour": 1, "on_demand_usd_per_hour": 3, "checkpoint_s": 60, "restart_s": 300,
}  # fmt: skip
CURVE = cost_curve(0.005, 10, 1, [1000.0 * i for i in range(200)])
SEARCH = MigrationEndpoint("search", 2_000_000, 0.0002, 0.02)
H100 = [price for price in current_gpu_prices("list") if price.instance == "p5.48xlarge"]

ZIPF = ZipfTraffic(1000, 0.9)
DAY: dict[str, Any] = {"requests": 1000, "hit_rate_fraction": 0.5, "store_usd": 1}
NETS = {
    "exact": net_saving(CacheCosts(call_usd=0.01), **DAY),
    "loose": net_saving(CacheCosts(call_usd=0.01, false_hit_fraction=0.1, wrong_answer_usd=0.2), **DAY),
}
REPORTS = [
    evaluate_threshold([Lookup(0.9, True), Lookup(0.8, False), Lookup(0.6, True)], t) for t in (0.95, 0.85, 0.7, 0.5)
]


def used(*key: Any, requests: int = 10, cost_micro_usd: int = 1_000_000) -> UsageTotals:
    """A group of priced requests of which only number and cost matter."""
    zeros = dict.fromkeys(set(UsageTotals.__dataclass_fields__) - {"key"}, 0)
    return UsageTotals(**{**zeros, "key": key, "requests": requests, "cost_micro_usd": cost_micro_usd})  # type: ignore[arg-type]


SPENT = {"without": [used(0), used(60, cost_micro_usd=3_000_000)], "with": [used(0)]}
TIERS = [used(0, "small", requests=90), used(0, "large", cost_micro_usd=9_000_000), used(3600, "small")]
GPUS = [GpuUsage(("a",), 24.0, 24.0, 12.0, 4.0, 8.0, 1.0, 24_000_000, 12_000_000, 4_000_000)]
BUSY = Timeline("costlab:gpu_utilization_each:now", "a", (3600.0, 7200.0), (0.2, 0.8))
REVENUE = Timeline("costlab:cost_of_revenue_fraction:1d", "", (3600.0, 7200.0), (0.03, 0.12))
PANELS = {panel.title: panel for panel in panels()}

TABLE = Outcomes.from_prices(
    ("small", "large"), [[0, 1], [1, 1], [1, 0], [0, 1]], [[0.2, 1]] * 2 + [[0.9, 1]] * 2, [1, 5]
)
OUTCOMES = cost_quality_curve(TABLE), baselines(TABLE)
TRIED = {"found": True, "kept": True, "quality_fraction": 0.6}
PLAYED = simulate_outcomes(TABLE, [0.5], 100)

COMPANY = score(TODAY, request_log(requests=1000))
SAID = {"refund": 0.7, "invoice": 0.3}
BILLS = {"buy": (0.0, 0.01), "build": (100.0, 0.001)}
FIGURES: dict[str, tuple[Callable[..., Any], str]] = {
    "price_comparison": (
        lambda **k: plotting.plot_price_comparison({"a": {"T4": 1}, "b": {"T4": 2, "L4": 3}}, **k),
        "USD",
    ),
    "price_spread": (lambda **k: plotting.plot_price_spread(H100, **k), "USD per H100 GPU-hour"),
    "useful_hour": (lambda **k: plotting.plot_useful_hour(2.0, marks={"half": 0.5}, **k), "USD per useful GPU-hour"),
    "demand": (lambda **k: plotting.plot_demand(DEMAND, best_commitment(DEMAND, 1.0, 0.6), **k), "GPUs"),
    "commitment": (lambda **k: plotting.plot_commitment(DEMAND, 1.0, 0.6, **k), "USD per 24 hours"),
    "interval": (lambda **k: plotting.plot_interval({60: 11, 600: 10.5}, 10, {"Young": 300}, **k), "%"),
    "spot": (lambda **k: plotting.plot_spot(JOB, {1.0: 12.0}, **k), "USD"),
    "cache_size": (lambda **k: plotting.plot_cache_size(ZIPF, {10: 0.2, 100: 0.5}, requests=5000, **k), "answers"),
    "similarities": (lambda **k: plotting.plot_similarities({"a": [0.9, 1.0], "b": [0.2]}, marks=[0.8], **k), "%"),
    "threshold": (lambda **k: plotting.plot_threshold({"a": REPORTS}, named=(0.5,), **k), "% of the hits"),
    "net_saving": (lambda **k: plotting.plot_net_saving(NETS, **k), "USD a day"),
    "cost_curve": (lambda **k: plotting.plot_cost_curve(CURVE, **k), "USD a month"),
    "break_even_map": (
        lambda **k: plotting.plot_break_even_map(
            [[1e3, 1e6], [math.inf, 5e4]], ["a", "b"], ["c", "d"], row_label="USD", column_label="tokens", **k
        ),
        "USD",
    ),
    "tornado": (lambda **k: plotting.plot_tornado(tornado(lambda x: x - 1, {"x": Range(0, 1, 3)}), **k), "USD a month"),
    "payback": (lambda **k: plotting.plot_payback(100, {"one": 10.0, "two": 5.0}, **k), "USD"),
    "migration": (lambda **k: plotting.plot_migration(migration_plan([SEARCH], 1.0), **k), "USD a month"),
    "predictions": (lambda **k: plotting.plot_predictions({"a": [(100, 110), (9, 12)]}, **k), "tokens per second"),
    "capacity": (
        lambda **k: plotting.plot_capacity({"L4": roofline("Llama-3.1-8B", "L4")}, 400, 200, [50, 100, 150], **k),
        "ms",
    ),
    "spend": (lambda **k: plotting.plot_spend(SPENT, {"soft": 2, "hard": 3}, **k), "USD"),
    "tier_shares": (lambda **k: plotting.plot_tier_shares(TIERS, limit_fraction=0.15, **k), "%"),
    "utilization": (lambda **k: plotting.plot_utilization([BUSY], {"low": 0.4}, **k), "%"),
    "idle": (lambda **k: plotting.plot_idle(GPUS, **k), "GPU-hours"),
    "prompt_cache": (
        lambda **k: plotting.plot_prompt_cache({300: CacheRates(1.25, 0.1)}, {300: {5: 0.5}}, **k),
        "price of the prefix",
    ),
    "batch_saving": (
        lambda **k: plotting.plot_batch_saving(
            {"gpt-4.1": (api_price("gpt-4.1"), api_price("gpt-4.1", service_tier="batch"))},
            input_tokens=1000,
            output_tokens=100,
            **k,
        ),
        "%",
    ),
    "conversation": (lambda **k: plotting.plot_conversation({"plain": {1: 0.1, 2: 0.3}}, **k), "USD"),
    "tokens": (lambda **k: plotting.plot_tokens({"English": {"a": 3}, "Thai": {"a": 9}}, "English", **k), ""),
    "overshoot": (lambda **k: plotting.plot_overshoot({"a": {1: 1.0, 8: 8.0}, "b": {1: 1.0}}, 1.0, **k), "USD"),
    "panel_number": (lambda **k: plotting.plot_panel(PANELS["Cost of revenue"], [REVENUE, BUSY], **k), "%"),
    "panel_lines": (lambda **k: plotting.plot_panel(PANELS["Utilization of each GPU"], [BUSY], **k), "%"),
    "reliability": (lambda **k: plotting.plot_reliability({"a": reliability([0.2, 0.9], [0, 1])}, **k), "%"),
    "cost_quality": (lambda **k: plotting.plot_cost_quality(*OUTCOMES, **k), "US cents"),
    "guarantees": (
        lambda **k: plotting.plot_guarantees({"a": [TRIED, TRIED | {"kept": False}], "b": [TRIED]}, 0.5, **k),
        "%",
    ),
    "drift": (lambda **k: plotting.plot_drift([0.0, 0.5], [PLAYED, PLAYED], 0.5, **k), "%"),
    "quality_cost": (
        lambda **k: plotting.plot_quality_cost({"a": (1.0, 0.5), "b": (2.0, 0.9)}, metric="accuracy", unit="USD", **k),
        "USD",
    ),
    "speed_bits": (lambda **k: plotting.plot_speed_bits({"a": 4.0}, {"a": 2.0}, **k), "times as fast"),
    "arms": (lambda **k: plotting.plot_arms({"a": [0.5, 0.6], "b": [0.7, 0.7]}, **k), "%"),
    "floors": (lambda **k: plotting.plot_floors({"a": [(1, 2.0, 1.0), (8, 3.0, 1.5)]}, **k), "ms"),
    "pruning": (lambda **k: plotting.plot_pruning({"a": [(0.0, 0.9), (0.5, 0.7)]}, metric="accuracy", **k), "%"),
    "pruned_bytes": (lambda **k: plotting.plot_pruned_bytes({"a": [(0.0, 9e6), (0.5, 7e6)]}, **k), "MB"),
    "soft_targets": (lambda **k: plotting.plot_soft_targets({"T = 1": SAID, "T = 4": SAID}, **k), "%"),
    "label_curve": (lambda **k: plotting.plot_label_curve({"a": {10: 0.2, 20: 0.4}}, {"b": 0.3}, **k), "%"),
    "bill": (lambda **k: plotting.plot_bill(BILLS, least_requests=1, most_requests=1e6, **k), "USD"),
    "plans": (lambda **k: plotting.plot_plans({"today": COMPANY}, **k), "USD a month"),
    "batching": (
        lambda **k: plotting.plot_batching({"H100": {1: 1.0, 16: 15.0}, "CPU": {1: 1.0, 16: 1.8}}, **k),
        "requests in flight",
    ),
    "patience": (
        lambda **k: plotting.plot_patience(
            {"H100": (roofline("Llama-3.1-8B", "H100"), 6.88)}, 400, 200, [10, 20, 40], **k
        ),
        "longest time allowed between two tokens (ms)",
    ),
    "speculation": (
        lambda **k: plotting.plot_speculation(roofline("Llama-3.1-8B", "H100"), 500, 4, [0.3, 0.9], [1, 64], **k),
        "sequences in the batch",
    ),
    "fleets": (lambda **k: plotting.plot_fleets({"a": (40.0, 0.01), "b": (20.0, 0.2)}, **k), "USD a day"),
    "ranges": (lambda **k: plotting.plot_ranges({"a": (-5, 1, 20)}, {"a": 3}, **k), "USD a month"),
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_on_the_axes_given_and_names_its_units(name: str) -> None:
    draw, unit = FIGURES[name]
    ax: Any = plt.subplots()[1]
    before = plt.get_fignums()
    settings = dict(mpl.rcParams)
    assert draw(ax=ax) is ax
    assert plt.get_fignums() == before
    assert dict(mpl.rcParams) == settings
    assert unit in ax.get_xlabel() + ax.get_ylabel()
    assert ax.has_data()


@pytest.mark.parametrize("name", FIGURES)
def test_figure_makes_its_own_axes_on_the_ground_of_the_page(name: str) -> None:
    ax: Any = FIGURES[name][0]()
    assert len(plt.get_fignums()) == 1
    assert ax.figure.get_facecolor()[3] == ax.get_facecolor()[3] == 0


@pytest.mark.parametrize("name", FIGURES)
def test_no_line_of_the_grid_runs_through_a_legend(name: str) -> None:
    def legend_drawn(grid: bool) -> Any:
        ax: Any = FIGURES[name][0]()
        ax.figure.canvas.draw()
        for line in [*ax.xaxis.get_gridlines(), *ax.yaxis.get_gridlines()]:
            line.set(alpha=1.0 if grid else 0.0, linewidth=3.0)
        ax.figure.canvas.draw()
        if ax.get_legend() is None:
            return None
        pixels = np.asarray(ax.figure.canvas.buffer_rgba())
        box, height = ax.get_legend().get_window_extent(), pixels.shape[0]
        left, right, top, bottom = box.x0 + 2, box.x1 - 2, height - box.y1 + 2, height - box.y0 - 2
        return pixels[int(top) : int(bottom), int(left) : int(right)]

    with_grid, without = legend_drawn(True), legend_drawn(False)
    if with_grid is not None:
        assert np.array_equal(with_grid, without)


def luminance(color: Any) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("name", FIGURES)
def test_letters_keep_their_distance_from_white_and_from_a_dark_page(name: str) -> None:
    ax: Any = FIGURES[name][0]()
    plotting.headline(ax, "What it shows")
    ax.figure.draw_without_rendering()
    tried = 0
    for text in ax.figure.findobj(mpl.text.Text):
        box = text.get_bbox_patch()
        inside = text in ax.texts and any(bar.contains_point(text.get_window_extent().get_points().mean(0))
                                          for bar in ax.patches if bar.get_fill())  # fmt: skip
        if not text.get_text() or box is not None or inside or (ax.images and text in ax.texts):
            continue  # those have a ground of their own
        color = mpl.colors.to_rgb(text.get_color())
        assert contrast(luminance(color), 1.0) >= 3.8, text.get_text()
        brightened = [min(1.0, BRIGHTER * part) for part in color]  # as custom.css does
        assert contrast(luminance(brightened), luminance(DARK_PAGE)) >= 4.5, text.get_text()
        tried += 1
    assert tried > 3


def test_bars_show_the_prices_given() -> None:
    ax: Any = plotting.plot_price_comparison({"a": {"T4": 1.0, "L4": 2.0}, "b": {"L4": 3.0}})
    assert sorted(bar.get_height() for bar in ax.patches) == [1.0, 2.0, 3.0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_best_level_is_marked() -> None:
    ax: Any = plotting.plot_commitment(DEMAND, 1.0, 0.6)
    assert any("best: 4 GPUs" in text.get_text() for text in ax.texts)


def test_break_even_of_spot_is_marked_where_the_formula_puts_it() -> None:
    ax: Any = plotting.plot_spot(JOB)
    limit = spot_job(mtbf_hours=1, **JOB).break_even_mtbf_hours
    assert any(text.get_text() == f"break-even\n{limit:.2g} h" for text in ax.texts)


def test_shaded_volumes_are_those_where_self_hosting_wins() -> None:
    ax: Any = plotting.plot_cost_curve(CURVE)
    shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert shaded == [pytest.approx((one.low, one.high)) for one in CURVE.self_hosting_wins]


def test_a_cell_without_a_break_even_says_never() -> None:
    ax: Any = FIGURES["break_even_map"][0]()
    assert [text.get_text() for text in ax.texts] == ["1K", "1M", "never", "50K"]


def test_the_line_of_a_cache_s_size_is_the_formula_s() -> None:
    ax: Any = plotting.plot_cache_size(ZIPF, {10: 0.2, 100: 0.5}, requests=5000)
    line, dots = ax.lines
    assert list(dots.get_ydata()) == [20, 50]
    ends = [lru_cache(ZIPF, size, 5000).first_hit_rate_fraction or 0 for size in (10, 100)]
    assert [line.get_ydata()[0], line.get_ydata()[-1]] == pytest.approx([100 * end for end in ends])
    with pytest.raises(InvalidValueError, match="measured must be not empty"):
        plotting.plot_cache_size(ZIPF, {}, requests=5000)


def test_every_pair_is_in_the_figure_equal_and_opposite_texts_too() -> None:
    ax: Any = plotting.plot_similarities({"a": [1.0, 1.0 + 1e-7, 0.5, -0.1]})
    assert sum(ax.patches[0].get_data().values) == pytest.approx(100)


def test_the_line_of_a_cascade_is_its_hull_and_the_broken_guarantee_has_another_colour() -> None:
    ax: Any = plotting.plot_cost_quality(*OUTCOMES)
    cents, right = ax.lines[0].get_data()
    assert right[-1] == pytest.approx(100 * hull(OUTCOMES[0])[-1].quality_fraction)
    assert right == pytest.approx([100 * quality_at(OUTCOMES[0], cost / 100) for cost in cents])
    assert {text.get_text() for text in ax.texts} == {"cascade", "best fixed mix", "small", "large", "oracle"}
    dots: Any = FIGURES["guarantees"][0]().collections[0]
    assert len(set(map(tuple, dots.get_facecolors()))) == 2


def test_a_threshold_without_hits_has_no_point() -> None:
    ax: Any = plotting.plot_threshold({"a": REPORTS}, named=(0.7,), max_error_fraction=0.02)
    assert list(ax.lines[0].get_xdata()) == pytest.approx([0, 50, 100 / 3])
    assert list(ax.lines[0].get_ydata()) == pytest.approx([100 / 3, 200 / 3, 100])
    assert [text.get_text() for text in ax.texts] == ["0.70"]
    assert list(ax.lines[-1].get_xdata()) == [2, 2]


def test_costs_lead_from_the_calls_avoided_to_the_net_saving() -> None:
    ax: Any = plotting.plot_net_saving(NETS)
    avoided, store, wrong = ax.patches[3:6]
    assert avoided.get_width() == pytest.approx(5)
    assert store.get_x() + store.get_width() == pytest.approx(4)
    assert wrong.get_x() + wrong.get_width() == pytest.approx(NETS["loose"].net_usd) == pytest.approx(-6)
    assert [text.get_text() for text in ax.texts] == ["4.00", "-6.00"]


def test_names_of_dots_that_lie_close_do_not_cover_each_other() -> None:
    dots = {name: (1.0 + k / 1000, 0.5) for k, name in enumerate(("first", "second", "third"))}
    ax = plotting.plot_quality_cost({**dots, "far": (9.0, 0.5)}, metric="accuracy")
    texts: list[Any] = list(ax.texts)
    lifts = {text.get_text(): text.xyann[1] for text in texts}
    near = sorted(lifts[name] for name in dots)
    assert min(b - a for a, b in pairwise(near)) >= 9
    assert lifts["far"] == near[0]


def test_a_name_does_not_cover_the_dot_beside_it() -> None:
    def side_of_left(other: tuple[float, float]) -> float:
        ax = plotting.plot_quality_cost({"left": (2.0, 0.40), "other": other, "low": (1.0, 0.10)}, metric="accuracy")
        texts: list[Any] = list(ax.texts)
        return next(float(text.xyann[0]) for text in texts if text.get_text() == "left")

    assert side_of_left((2.1, 0.405)) < 0 < side_of_left((1.5, 0.405))


def test_numbers_are_short() -> None:
    assert [short(v) for v in (0.25, 999.6, 1500, 2.5e6, 3e9, -20_000)] == ["0.25", "1K", "1.5K", "2.5M", "3B", "-20K"]


def test_colours_are_told_apart_by_name() -> None:
    assert len(set(plotting.COLORS.values())) == len(plotting.COLORS) >= 5


def test_spend_is_summed_over_the_day_and_the_limits_carry_their_amounts() -> None:
    ax: Any = plotting.plot_spend(SPENT, {"soft": 2, "hard": 3})
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert (lines["without"], lines["with"]) == ([1.0, 4.0], [1.0])
    assert [text.get_text() for text in ax.texts] == ["with", "without", "soft 2", "hard 3"]


def test_the_most_expensive_tier_is_at_the_bottom() -> None:
    ax: Any = plotting.plot_tier_shares(TIERS, limit_fraction=0.15)
    bottom = [bar.get_height() for bar in ax.patches if bar.get_y() == 0]
    assert bottom[0] == 10.0  # 10 of 100 requests go to the large tier
    assert ax.containers[0].get_label() == "large"
    assert [line.get_ydata()[0] for line in ax.lines] == [15.0]


def test_paid_hours_are_parted_by_how_busy_they_were() -> None:
    ax: Any = plotting.plot_idle(GPUS)
    assert [bar.get_width() for bar in ax.patches] == [8.0, 4.0, 12.0]
    assert "12.00 USD" in ax.texts[0].get_text()


def test_a_panel_shows_its_last_value_and_whether_that_is_beyond_its_threshold() -> None:
    ax: Any = plotting.plot_panel(PANELS["Cost of revenue"], [REVENUE])
    (number,) = ax.texts
    assert (number.get_text(), number.get_color()) == ("12.0 %", plotting.COLORS["orange"])
    calm = Timeline(REVENUE.figure, "", REVENUE.times_s, (0.12, 0.03))
    ax = plotting.plot_panel(PANELS["Cost of revenue"], [calm])
    assert (ax.texts[0].get_text(), ax.texts[0].get_color()) == ("3.0 %", plotting.COLORS["green"])
    assert ax.get_title(loc="left") == "Cost of revenue"


def test_a_panel_draws_the_last_day_only() -> None:
    two_days = Timeline(REVENUE.figure, "", (3600.0, 86_400.0, 90_000.0), (0.5, 0.4, 0.03))
    ax: Any = plotting.plot_panel(PANELS["Cost of revenue"], [two_days])
    assert list(ax.lines[0].get_xdata()) == [1.0]


def test_a_panel_without_its_figures_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="timelines must be given for costlab:cost_of_revenue_fraction:1d"):
        plotting.plot_panel(PANELS["Cost of revenue"], [BUSY])
    with pytest.raises(InvalidValueError, match="panel must be one with a unit of"):
        plotting.plot_panel(PANELS["Latency"], [BUSY])


def test_a_bill_begins_with_what_was_spent_before() -> None:
    ax: Any = FIGURES["bill"][0]()
    buy, build = (line.get_ydata() for line in ax.lines)
    assert [buy[0], build[0]] == pytest.approx([0.01, 100.001])
    assert [buy[-1], build[-1]] == pytest.approx([10_000, 1_100])
    with pytest.raises(InvalidValueError, match="least_requests must be between 0 and 10, got 20"):
        plotting.plot_bill(BILLS, least_requests=20, most_requests=10)
    with pytest.raises(InvalidValueError, match="options must be not empty"):
        plotting.plot_bill({}, least_requests=1, most_requests=10)


def test_soft_targets_are_bars_in_per_cent() -> None:
    ax: Any = FIGURES["soft_targets"][0]()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([70, 30, 70, 30])
    with pytest.raises(InvalidValueError, match="of the same classes at each temperature"):
        plotting.plot_soft_targets({"a": SAID, "b": {"refund": 1.0}})
    with pytest.raises(InvalidValueError, match="of the same classes at each temperature"):
        plotting.plot_soft_targets({})


def test_levels_lie_across_the_label_curve() -> None:
    ax: Any = FIGURES["label_curve"][0]()
    curve, level = ax.lines
    assert list(curve.get_ydata()) == [20, 40]
    assert set(level.get_ydata()) == {30}
    with pytest.raises(InvalidValueError, match="at some number of labels for each model"):
        plotting.plot_label_curve({"a": {}}, {})


def test_what_was_measured_now_is_a_ring_around_what_was_recorded() -> None:
    needs.extra("scipy", "compression")
    ax: Any = plotting.plot_arms({"labels": [0.2, 0.3], "soft": [0.4, 0.5]}, live={"soft": [0.4]})
    assert [list(line.get_xdata()) for line in ax.lines][-1] == [40]
    assert list(ax.lines[-1].get_ydata()) == [1]
    with pytest.raises(InvalidValueError, match="live must be of labels, soft, got 'argmax'"):
        plotting.plot_arms({"labels": [0.2, 0.3], "soft": [0.4, 0.5]}, live={"argmax": [0.4]})


def test_a_plan_is_a_bar_as_long_as_its_bill_and_thin_parts_are_drawn_together() -> None:
    ax = plotting.plot_plans({"today": COMPANY})
    containers: Any = ax.containers
    bars = {part.get_label(): part.patches[0] for part in containers}
    assert sum(bar.get_width() for bar in bars.values()) == pytest.approx(COMPANY.usd_per_month)
    assert "other" in bars
    named = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert "search" not in named  # nothing is paid for its calls
    assert "budget 40" in named
    for name, label in (("gpus", "GPUs"), ("people", "people")):
        assert bars[name].get_x() < named[label] < bars[name].get_x() + bars[name].get_width()


def test_a_headline_is_broken_to_the_width_of_the_figure() -> None:
    ax = plotting.plot_cost_curve(CURVE)
    sentence = "Self-hosting wins, loses and wins again: machines come in whole numbers, the API's calls do not"
    plotting.headline(ax, sentence)
    figure: Any = ax.figure
    shown = figure.get_suptitle()
    assert shown.replace("\n", " ") == sentence
    assert "\n" in shown
    figure.draw_without_rendering()
    (title,) = [text for text in figure.texts if text.get_text() == shown]
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_a_headline_leaves_no_single_word_on_its_last_line() -> None:
    ax = plotting.plot_cost_curve(CURVE)
    plotting.headline(ax, "Committing to the peak costs more than committing to nothing")
    figure: Any = ax.figure
    first, last = figure.get_suptitle().split("\n")
    assert abs(len(first) - len(last)) <= 10


def test_a_fleet_s_name_does_not_reach_the_next_dot() -> None:
    ax: Any = plotting.plot_fleets(
        {"follows": (77.0, 0.0006), "for the peak": (96.0, 0.0001), "one fewer": (77.0, 0.01)}
    )
    sides = {text.get_text(): text.get_ha() for text in ax.texts}
    assert sides == {"follows": "right", "for the peak": "left", "one fewer": "left"}


def test_the_names_of_two_lines_that_end_together_do_not_cover_each_other() -> None:
    ax: Any = plotting.plot_conversation(
        {"plain": {1: 0.1, 80: 8.0}, "cached": {1: 0.1, 80: 1.01}, "both": {1: 0.1, 80: 1.0}}
    )
    lifts = {text.get_text(): text.xyann[1] for text in ax.texts}
    assert lifts["plain"] == lifts["both"] == 0
    assert lifts["cached"] > 9
