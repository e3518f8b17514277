"""The answers that the demo's models give: recorded, and the same as those that were measured for the course."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from costlab import recordings
from costlab.cli import main
from costlab.datasets import support_queries
from costlab.errors import RecordingError, UnknownNameError
from costlab.experiments import answers as tier_answers, recorded_tiers
from tests import needs
from tests.letters import Letters


def test_the_answers_are_as_often_right_as_was_measured_for_lesson_7() -> None:
    study = recordings.find_recording("tiers", "cpu")
    assert study is not None
    rows = [row for row in study.rows if row["data"] == "support"]
    measured = {row["tier"]: row["quality_fraction"] for row in rows if row["what"] == "tier"}
    queries, recorded = support_queries().split("test"), recorded_tiers()
    assert recorded.answers.keys() == measured.keys()
    for name, said in recorded.answers.items():
        assert said.keys() == {query.id for query in queries}
        assert sum(said[query.id].answer == query.intent for query in queries) / len(queries) == measured[name]
    table = recorded.outcomes({"words": 1, "ensemble": 2})
    assert table.tiers == ("words", "ensemble")
    assert table.correct.mean(axis=0).tolist() == [measured["words"], measured["ensemble"]]
    (cascade,) = (row for row in rows if row["what"] == "cascade")
    assert recorded.min_confidence == pytest.approx(cascade["thresholds"], abs=1e-4)


def test_thresholds_are_chosen_on_other_queries_than_those_that_are_played() -> None:
    chosen, played = recorded_tiers("calibration"), recorded_tiers()
    assert chosen.min_confidence == played.min_confidence
    assert len(chosen.answers["words"]) == 933
    assert not chosen.answers["words"].keys() & played.answers["words"].keys()
    with pytest.raises(UnknownNameError, match="unknown part 'train'"):
        recorded_tiers("train")


def test_a_package_without_the_recording_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_answers, "find_recording", lambda *_: None)
    with pytest.raises(RecordingError, match=r"answers-cpu\.json is missing"):
        recorded_tiers.__wrapped__()


def test_bench_records_what_the_demo_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    needs.extra("sklearn", "router")
    needs.extra("onnxruntime", "semantic")

    class Few:
        """The support set with a few intents."""

        def split(self, part: str) -> Any:
            whole = support_queries()
            kept = list(whole.intents)[:6]
            return [query for query in whole.split(part) if query.intent in kept]

    monkeypatch.setattr(tier_answers, "support_queries", Few)
    monkeypatch.setattr(tier_answers, "PackagedMiniLm", Letters)
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split("bench answers --record --folder"), str(tmp_path)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "recorded in answers-cpu.json\n")
    asked = len(Few().split("test"))
    assert out.count(f"answered {asked} queries of the test part") == 3
    assert out.count(f"answered {len(Few().split('calibration'))} queries of the calibration part") == 3
    recording = recordings.load_recording(tmp_path / "answers-cpu.json")
    monkeypatch.setattr(tier_answers, "find_recording", lambda *_: recording)
    found = recorded_tiers.__wrapped__()
    assert [len(said) for said in found.answers.values()] == [asked] * 3
    assert len(found.min_confidence) == 2
