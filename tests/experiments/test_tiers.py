"""Three real tiers on labelled queries: small ones here, the recorded ones whole."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab import recordings
from costlab.cli import main
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError
from costlab.experiments import (
    LESSON_USD_PER_REQUEST,
    LabelledQueries,
    cheapest_matching_last,
    fit_tiers,
    guarantees,
    measure_tiers,
    seconds_per_query,
    tier_outcomes,
    tiers as tier_study,
)
from costlab.router import Outcomes, cost_quality_curve, evaluate_cascade
from tests import needs
from tests.letters import Letters
from tests.router.test_evaluate import table


def some(part: str, intents: int = 4) -> LabelledQueries:
    """The queries of a few intents."""
    queries = support_queries()
    kept = list(queries.intents)[:intents]
    return LabelledQueries.from_queries([query for query in queries.split(part) if query.intent in kept])


@pytest.fixture(scope="module")
def small() -> Any:
    needs.extra("sklearn", "router")
    return fit_tiers(some("train"), Letters())


def test_the_table_has_what_each_tier_says_at_the_lessons_prices(small: Any) -> None:
    asked = some("test")
    found = tier_outcomes(small, asked)
    assert found.tiers == ("words", "vectors", "ensemble")
    assert found.usd[0].tolist() == list(LESSON_USD_PER_REQUEST.values())
    answers = [[prediction.answer for prediction in small[tier].predict_all(asked.texts)] for tier in found.tiers]
    assert found.correct.T.tolist() == [
        [said == label for said, label in zip(a, asked.labels, strict=True)] for a in answers
    ]
    assert found.correct[:, 0].mean() > 0.5  # four intents: a coin has a quarter


def test_tiers_are_timed_on_texts_that_no_embedder_remembers(small: Any) -> None:
    seen: list[str] = []

    class Listening:
        def predict_all(self, texts: Any) -> Any:
            seen.extend(texts)
            return small["words"].predict_all(texts)

    found = seconds_per_query({"a": Listening(), "b": Listening()}, ["x", "y"])  # type: ignore[dict-item]
    assert seen == ["a: x", "a: y", "b: x", "b: y"]
    assert all(seconds > 0 for seconds in found.values())


def test_guarantees_are_tried_on_the_other_half() -> None:
    tried = guarantees(table(3, 1600), 0.75, splits=4)
    assert len(tried) == 4
    assert all(row["found"] and row["kept"] and row["quality_fraction"] >= 0.75 for row in tried)
    (impossible,) = guarantees(table(3, 600), 0.99, splits=1)
    assert impossible["found"] is False
    assert impossible["kept"] is True  # nothing was guaranteed
    with pytest.raises(InvalidValueError, match="splits must be a whole number >= 1"):
        guarantees(table(3, 600), 0.8, splits=0)


def test_the_cheapest_cascade_as_good_as_the_last_tier() -> None:
    outcomes = table(1, 600)
    point = cheapest_matching_last(outcomes)
    assert evaluate_cascade(outcomes, point.thresholds).quality_fraction == point.quality_fraction
    good = [p for p in cost_quality_curve(outcomes) if p.quality_fraction >= outcomes.correct[:, -1].mean()]
    assert point.usd_per_request == min(p.usd_per_request for p in good)


def test_tables_are_joined_and_priced_anew() -> None:
    a, b = table(1, 60), table(2, 70)
    both = a.joined(b)
    assert len(both) == 130
    assert (both.correct[60:] == b.correct).all()
    with pytest.raises(InvalidValueError, match="other must be a table of the tiers"):
        a.joined(b.only(b.tiers[:2]))
    dearer = a.at_prices([1.0, 2.0, 4.0])
    assert dearer.usd[0].tolist() == [1.0, 2.0, 4.0]
    assert (dearer.confidence == a.confidence).all()


def rows(what: str) -> list[Any]:
    recording = recordings.find_recording("tiers", "cpu")
    assert recording is not None
    return [row for row in recording.rows if row["what"] == what]


def test_recorded_guarantees_for_the_next_queries_were_kept_on_every_set() -> None:
    found = rows("promise")
    assert {row["data"] for row in found} == {"support", "BANKING77", "CLINC150"}
    for row in found:
        assert row["splits"] >= 200
        assert row["broken_of_all"] <= 0.05 * row["splits"]
        if row["for_next"]:
            assert row["broken"] <= 0.05 * row["found"]


def test_a_recorded_long_run_guarantee_was_broken_on_a_sample_more_often_than_one_in_twenty() -> None:
    (row,) = [
        r
        for r in rows("promise")
        if (r["data"], r["quality_floor_fraction"], r["for_next"]) == ("support", 0.63, False)
    ]
    assert row["broken"] > 0.05 * row["found"]


def test_recorded_cascades_name_their_baselines() -> None:
    for row in rows("cascade"):
        assert row["usd_per_request"] < row["all_large_usd_per_request"]
        assert row["quality_fraction"] > row["fixed_mix_quality_fraction"]
        assert row["quality_fraction"] < row["oracle_quality_fraction"]
        assert row["difference_fraction"] == pytest.approx(row["quality_fraction"] - row["all_large_quality_fraction"])


def test_bench_has_a_line_for_every_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    needs.extra("sklearn", "router")
    needs.extra("onnxruntime", "semantic")
    needs.extra("tokenizers", "semantic")

    class Few:
        """The support set with a few intents."""

        def split(self, part: str) -> Any:
            whole = support_queries()
            kept = list(whole.intents)[:20]
            return [query for query in whole.split(part) if query.intent in kept]

    monkeypatch.setattr(tier_study, "support_queries", Few)
    monkeypatch.setattr(tier_study, "PackagedMiniLm", Letters)
    with pytest.raises(SystemExit) as ended:
        main(["bench", "tiers", "--no-published", "--splits", "2", "--record", "--folder", str(tmp_path)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "recorded in tiers-cpu.json\n")
    recording = recordings.load_recording(tmp_path / "tiers-cpu.json")
    assert Counter(row["what"] for row in recording.rows) == {"tier": 3, "cascade": 1, "promise": 4}
    assert len(out.splitlines()) == len(recording.rows)


def test_a_published_set_without_a_part_to_calibrate_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("sklearn", "router")
    needs.extra("onnxruntime", "semantic")
    from costlab.datasets import IntentQueries, IntentQuery

    rng = np.random.default_rng(5)
    texts = {"pay": "how do I pay by card", "stop": "please stop my plan"}

    def queries(split: str, size: int) -> list[IntentQuery]:
        return [IntentQuery(f"{texts[name]} {rng.integers(9)}", name, split) for name in texts for _ in range(size)]

    data = IntentQueries("BANKING77", (*queries("train", 1600), *queries("test", 30)), "CC BY 4.0", "nobody")
    clinc = IntentQueries(
        "CLINC150",
        tuple(q for part in ("train", "oos_train", "val", "oos_val", "test", "oos_test") for q in queries(part, 30)),
        "CC BY 3.0",
        "nobody",
    )
    monkeypatch.setattr(tier_study, "banking77", lambda: data)
    monkeypatch.setattr(tier_study, "clinc150", lambda: clinc)
    monkeypatch.setattr(tier_study, "_measure", lambda _, *parts: [{"sizes": [len(part.texts) for part in parts[:3]]}])
    sizes = {row["data"]: row["sizes"] for row in measure_tiers(Letters(), splits=1).rows}
    assert sizes["BANKING77"] == [200, 3000, 60]
    assert sizes["CLINC150"] == [120, 120, 120]


def test_at_prices_needs_one_for_each_tier() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        Outcomes.from_prices(("a", "b"), [[1, 0]], [[0.5, 0.5]], [1.0, 2.0, 3.0])
