"""A file of tiers, played: the source lesson's bill, and savings only beside quality and all four baselines."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.router import Outcomes, baselines, evaluate_cascade, quality_at, worked_example
from costlab.router.simulation import BaselineComparison, simulate_tiers
from costlab.router.tiers_file import TiersFileError, example_tiers, parse_tiers
from tests import needs

SMALL = '[[tier]]\nname = "small"\nusd_per_request = 0.001\nmin_confidence = 0.6\n'
LARGE = '[[tier]]\nname = "large"\nusd_per_request = 0.03\n'
TABLE = '[outcomes]\npath = "o.csv"\n'


def write(path: Path, outcomes: Outcomes) -> None:
    """A table as a CSV."""
    rows = [
        f"q{q},{name},{outcomes.correct[q, t]},{outcomes.confidence[q, t]},{outcomes.usd[q, t]}"
        for q in range(len(outcomes))
        for t, name in enumerate(outcomes.tiers)
    ]
    path.write_text("\n".join(["query,tier,correct,confidence,usd", *rows]))


def made(seed: int = 0, queries: int = 200, right: tuple[float, float] = (0.7, 0.9)) -> Outcomes:
    """A small tier that knows a little when it is wrong, and a large one."""
    rng = np.random.default_rng(seed)
    correct = (rng.random((queries, 2)) < right).astype(float)
    confidence = np.clip(rng.normal(0.5 + 0.3 * correct, 0.2), 0, 1)
    return Outcomes.from_prices(["small", "large"], correct, confidence, [0.001, 0.03])


def compared(folder: Path, outcomes: Outcomes, text: str = SMALL + LARGE) -> BaselineComparison:
    """The comparison that a file makes of a table."""
    write(folder / "o.csv", outcomes)
    found = simulate_tiers(parse_tiers(text + TABLE, "t.toml", folder), 1000).comparison
    assert found is not None
    return found


def test_the_example_is_the_source_lessons_day() -> None:
    found = simulate_tiers(parse_tiers(example_tiers()), 1_000_000, seed=3)
    day, lesson = found.simulated, worked_example()
    assert abs(day.usd_per_request - lesson.low.usd_per_request) <= 5 * day.usd_per_request_error
    assert day.served_only_usd == pytest.approx(lesson.lesson_usd_per_day, rel=0.01)
    assert found.latency_s == pytest.approx(lesson.low.latency_s, rel=0.01)
    # Nobody said how good the tiers are, so nobody can say what is saved.
    assert math.isnan(day.quality_fraction)
    assert found.comparison is None


def test_the_same_seed_gives_the_same_day() -> None:
    file = parse_tiers(example_tiers())
    assert simulate_tiers(file, 10_000, 1).simulated.usd == simulate_tiers(file, 10_000, 1).simulated.usd
    one, other = (simulate_tiers(file, 10_000, seed).simulated for seed in (1, 2))
    assert one.served[0] != other.served[0]  # the cache's part
    assert one.served[-1] != other.served[-1]


def test_quality_is_known_where_every_tier_that_answers_has_one() -> None:
    told = SMALL + "simulation = { pass_fraction = 0.25, quality_fraction = 0.8 }\n" + LARGE
    assert math.isnan(simulate_tiers(parse_tiers(told), 1000).simulated.quality_fraction)
    whole = told + "simulation = { quality_fraction = 0.9 }\n"
    quality = 0.75 * 0.8 + 0.25 * 0.9
    found = simulate_tiers(parse_tiers(whole), 1_000_000).simulated
    assert found.quality_fraction == pytest.approx(quality, abs=0.001)
    # A tier that nothing reaches need not say it.
    none = told.replace("0.25", "0.0")
    assert simulate_tiers(parse_tiers(none), 1000).simulated.quality_fraction == 0.8
    # What was kept is as good as it was, unless the file says that it is not.
    kept = "[cache]\nhit_rate_fraction = 0.5\n"
    assert simulate_tiers(parse_tiers(kept + none), 1000).simulated.quality_fraction == 0.8
    stale = simulate_tiers(parse_tiers(kept + "quality_fraction = 0.4\n" + none), 1_000_000).simulated
    assert stale.quality_fraction == pytest.approx(0.6, abs=0.002)


def test_a_cache_that_answers_everything_leaves_the_tiers_idle() -> None:
    text = "[cache]\nhit_rate_fraction = 1.0\nusd_per_lookup = 0.01\nlatency_s = 0.5\nquality_fraction = 0.9\n"
    found = simulate_tiers(parse_tiers(text + LARGE), 100)
    day = found.simulated
    assert (day.served, day.usd, found.latency_s) == ((100, 0), 1.0, 0.5)
    assert day.quality_fraction == pytest.approx(0.9)
    unknown = simulate_tiers(parse_tiers(text.replace("quality_fraction = 0.9\n", "") + LARGE), 100).simulated
    assert math.isnan(unknown.quality_fraction)


def test_latency_is_unknown_where_a_tier_that_is_tried_has_none() -> None:
    text = SMALL + "simulation = { pass_fraction = 0.5, latency_s = 0.1 }\n" + LARGE
    assert math.isnan(simulate_tiers(parse_tiers(text), 100).latency_s)
    found = simulate_tiers(parse_tiers(text + "simulation = { latency_s = 1.0 }\n"), 1_000_000)
    assert found.latency_s == pytest.approx(0.1 + 0.5, abs=0.01)


def test_tokens_and_gates_are_paid_for() -> None:
    text = (
        '[[tier]]\nname = "small"\nprice = { input_usd_per_mtok = 1.0, output_usd_per_mtok = 10.0 }\n'
        "gate = { max_words = 5, usd_per_request = 0.5 }\n"
        "simulation = { pass_fraction = 0.0, input_tokens = 1000, output_tokens = 100 }\n"
    )
    found = simulate_tiers(parse_tiers(text + LARGE), 10).simulated
    assert found.usd == pytest.approx(10 * (0.5 + 0.001 + 0.001))
    # Nothing leads past the last tier, so its gate is not asked.
    alone = simulate_tiers(parse_tiers(LARGE + "gate = { max_words = 5, usd_per_request = 0.5 }\n"), 10).simulated
    assert alone.usd == pytest.approx(0.3)


@given(seed=st.integers(0, 10_000), limit=st.floats(0, 1), weak=st.floats(0.1, 1), strong=st.floats(0.1, 1))
def test_a_saving_stands_beside_four_baselines_and_their_quality(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limit: float, weak: float, strong: float
) -> None:
    outcomes = made(seed, right=(weak, strong))
    text = SMALL.replace("0.6", repr(limit)) + LARGE
    found = compared(tmp_path_factory.mktemp("t"), outcomes, text)
    played, base = evaluate_cascade(outcomes, [limit]), baselines(outcomes)
    assert (found.usd_per_request, found.quality_fraction) == (played.usd_per_request, played.quality_fraction)
    large, random, fixed, oracle = found.baselines
    assert [one.name for one in found.baselines] == ["all_large", "random_mix", "best_fixed_mix", "oracle"]
    assert (large.usd_per_request, large.quality_fraction) == (
        base.all_large.usd_per_request,
        base.all_large.quality_fraction,
    )
    assert large.saving_fraction == pytest.approx(1 - found.usd_per_request / 0.03)
    assert oracle.quality_fraction >= found.quality_fraction
    for mix, points in ((random, base.random_mix), (fixed, base.best_fixed_mix)):
        if math.isnan(mix.usd_per_request):
            assert found.quality_fraction > max(point.quality_fraction for point in points)
            assert math.isnan(mix.saving_fraction)
        else:
            # No worse than the cascade, and exactly as the mix's own hull has it at that cost.
            assert mix.quality_fraction >= found.quality_fraction
            assert quality_at(points, mix.usd_per_request) == pytest.approx(mix.quality_fraction)
            assert mix.saving_fraction == pytest.approx(1 - found.usd_per_request / mix.usd_per_request)
    assert found.quality_low <= found.quality_fraction <= found.quality_high


def test_graded_answers_have_no_interval(tmp_path: Path) -> None:
    graded = Outcomes.from_prices(["small", "large"], [[0.5, 1.0], [0.5, 1.0]], [[0.9, 1], [0.9, 1]], [0.001, 0.03])
    found = compared(tmp_path, graded)
    assert found.quality_fraction == 0.5
    assert math.isnan(found.quality_low)


def test_what_is_free_saves_no_share_of_nothing(tmp_path: Path) -> None:
    free = Outcomes.from_prices(["small", "large"], [[1.0, 1.0]], [[0.9, 1.0]], [0.0, 0.03])
    found = {one.name: one for one in compared(tmp_path, free).baselines}
    assert math.isnan(found["oracle"].saving_fraction)
    assert found["all_large"].saving_fraction == 1.0


def test_drawn_rows_cost_and_are_as_good_as_the_table(tmp_path: Path) -> None:
    outcomes = made()
    write(tmp_path / "o.csv", outcomes)
    cache = "[cache]\nhit_rate_fraction = 0.4\nusd_per_lookup = 0.0001\n"
    found = simulate_tiers(parse_tiers(cache + SMALL + LARGE + TABLE, "t.toml", tmp_path), 10**9)
    played = evaluate_cascade(outcomes, [0.6])
    assert found.simulated.usd_per_request == pytest.approx(0.0001 + 0.6 * played.usd_per_request, rel=1e-3)
    assert found.simulated.quality_fraction == pytest.approx(played.quality_fraction, abs=1e-3)


def test_a_parquet_table_is_as_good_as_a_csv(tmp_path: Path) -> None:
    needs.extra("pyarrow", "usage")
    import pyarrow.csv
    import pyarrow.parquet

    of_csv = compared(tmp_path, made())
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(tmp_path / "o.csv"), tmp_path / "o.parquet")
    text = SMALL + LARGE + TABLE.replace("csv", "parquet")
    assert simulate_tiers(parse_tiers(text, "t.toml", tmp_path), 10).comparison == of_csv
    (tmp_path / "o.parquet").write_text("nothing of the kind")
    with pytest.raises(TiersFileError, match=r"t.toml: outcomes.path: o.parquet must be a Parquet file, got "):
        simulate_tiers(parse_tiers(text, "t.toml", tmp_path), 10)


HEAD = "query,tier,correct,confidence,usd\n"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "outcomes.path: o.csv cannot be read: No such file or directory"),
        (b"", "outcomes.path: o.csv must be a CSV with the columns confidence, correct, query, tier, usd, got"),
        (b"\xff\xfe", "outcomes.path: o.csv must be a CSV in UTF-8, got"),
        ((HEAD + "q,small,yes,1,1\n").encode(), "o.csv must be a table of numbers, got ('yes', '1', '1')"),
        ((HEAD + "q,small,1\n").encode(), "o.csv must be a table of numbers, got ('1', None, None)"),
        ((HEAD + "q,small,1,1,1\n").encode(), "must be a table with every query at every tier, got ('q', 'large')"),
        ((HEAD + "q,small,1,2,1\nq,large,1,1,1\n").encode(), "confidence must be numbers from 0 to 1"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path: Path, table: bytes | None, message: str) -> None:
    if table is not None:
        (tmp_path / "o.csv").write_bytes(table)
    with pytest.raises(TiersFileError) as raised:
        simulate_tiers(parse_tiers(SMALL + LARGE + TABLE, "t.toml", tmp_path), 10)
    assert str(raised.value).startswith("t.toml: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + LARGE, "t.toml: tier.1.simulation.pass_fraction is missing; simulate needs it, or labelled queries"),
        (LARGE + "simulation = { pass_fraction = 0.1 }", "tier.1.simulation.pass_fraction and skip_fraction must be 0"),
        (
            '[[tier]]\nname = "a"\nprice = { input_usd_per_mtok = 1 }',
            "t.toml: tier.1.simulation.input_tokens is missing; simulate needs it for a price by the token",
        ),
        (
            '[[tier]]\nname = "a"\nprice = { input_usd_per_mtok = 1 }\n'
            "simulation = { input_tokens = 1, output_tokens = 2 }",
            "t.toml: tier.1.simulation.output_tokens must be 0, as a has no output price",
        ),
    ],
)
def test_what_the_simulation_needs_is_asked_for(text: str, message: str) -> None:
    with pytest.raises(TiersFileError) as raised:
        simulate_tiers(parse_tiers(text, "t.toml"), 10)
    assert message in str(raised.value)


@pytest.mark.parametrize(("requests", "seed"), [(0, 0), (-1, 0), (10**16, 0), (1, -1)])
def test_requests_and_seed_have_limits(requests: int, seed: int) -> None:
    with pytest.raises(InvalidValueError):
        simulate_tiers(parse_tiers(LARGE), requests, seed)
