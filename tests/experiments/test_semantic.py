from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab import recordings
from costlab.cache.semantic import DEFAULT_CHECKS, PackagedMiniLm, check_guarantee
from costlab.cli import main
from costlab.errors import InvalidValueError
from costlab.experiments import CHECK_SETS, check_rows, intent_lookups, semantic as semantic_study, support_lookups
from tests import needs
from tests.letters import Letters


def rows(what: str) -> list[Any]:
    recording = recordings.find_recording("semantic", "cpu")
    assert recording is not None
    return [row for row in recording.rows if row["what"] == what]


def test_recorded_promises_were_kept_on_every_set_with_every_set_of_checks() -> None:
    found = rows("promise")
    assert {row["data"] for row in found} == {
        "support, 0% repeated", "support, 50% repeated", "support, 80% repeated", "BANKING77", "CLINC150",
    }  # fmt: skip
    assert {row["guards"] for row in found} == CHECK_SETS.keys()
    for row in found:
        assert row["splits"] >= 200
        assert row["broken"] <= (1 - row["confidence"]) * row["splits"]


def found_with_half_repeated(max_error_fraction: float) -> dict[str, float]:
    return {
        row["guards"]: row["found"] / row["splits"]
        for row in rows("promise")
        if row["data"] == "support, 50% repeated" and row["max_error_fraction"] == max_error_fraction
    }


def test_recorded_guards_make_a_promise_possible_where_there_was_none() -> None:
    found = found_with_half_repeated(0.02)
    assert found["none"] == 0 < found["default"] < found["strict"]


def test_recorded_guards_make_a_promise_certain_that_was_seldom_possible() -> None:
    assert found_with_half_repeated(0.05) == {"none": 0.185, "default": 1, "strict": 1}


def test_no_promise_is_made_where_all_questions_are_new() -> None:
    for row in rows("promise"):
        if row["data"] == "support, 0% repeated":
            assert row["found"] == 0


def test_recorded_check_rows_are_what_the_checks_do_now() -> None:
    assert rows("guards") == check_rows("test")


@pytest.mark.slow
def test_the_calibration_split_finds_a_promise_that_random_parts_keep(minilm: PackagedMiniLm) -> None:
    rng = np.random.default_rng(4)
    lookups = support_lookups(rng, minilm, ("calibration",), repeat_fraction=0.8)
    check = check_guarantee(rng, lookups, max_error_fraction=0.1, splits=50)
    assert check.found == 50
    assert check.broken <= 2
    assert check.hit_rate_fraction is not None
    assert check.hit_rate_fraction > 0.6


def test_a_smaller_study_has_the_same_mix(minilm: PackagedMiniLm) -> None:
    lookups = support_lookups(np.random.default_rng(4), minilm, ("test",), repeat_fraction=0.8, new=20)
    assert 90 < len(lookups) <= 100  # repetitions word for word would be exact hits, and are left out
    assert sum(lookup.right for lookup in lookups) > 70


def test_shares_outside_the_domain(minilm: PackagedMiniLm) -> None:
    with pytest.raises(InvalidValueError, match="repeat_fraction must be a fraction >= 0 and < 1, got 1"):
        support_lookups(np.random.default_rng(4), minilm, ("test",), repeat_fraction=1)
    with pytest.raises(InvalidValueError, match="new must be"):
        support_lookups(np.random.default_rng(4), minilm, ("test",), repeat_fraction=0.5, new=0)


def test_a_published_set_is_drawn_from_both_of_its_parts(minilm: PackagedMiniLm) -> None:
    from costlab.datasets import IntentQueries, IntentQuery

    queries = [IntentQuery("how do I pay", "pay", "train"), IntentQuery("may I pay by card", "pay", "test")]
    data = IntentQueries("a set", tuple(queries), "CC BY 4.0", "nobody")
    (lookup,) = intent_lookups(np.random.default_rng(4), minilm, data, cached=1, asked=1)
    assert lookup.right
    assert 0 < lookup.similarity < 1


@pytest.mark.slow
def test_bench_gives_a_row_for_every_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    needs.extra("onnxruntime", "semantic")
    needs.extra("tokenizers", "semantic")
    monkeypatch.setattr(semantic_study, "PackagedMiniLm", Letters)
    monkeypatch.setattr(semantic_study, "CHECK_SETS", {"none": (), "default": DEFAULT_CHECKS[:2], "strict": ()})
    arguments = ["bench", "semantic", "--no-published", "--splits", "2", "--record", "--folder", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "recorded in semantic-cpu.json\n")
    assert out.count("promise broken in") == 27
    recording = recordings.load_recording(tmp_path / "semantic-cpu.json")
    assert recording.library_versions["model"] == "letters"
    kinds = Counter(row["what"] for row in recording.rows)
    assert kinds["promise"] == kinds["held_out"] == 27
