import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from costlab import recordings
from costlab.errors import RecordingError
from costlab.recordings import Recording, find_recording, load_recording, recorded_devices, save_recording

RECORDING = Recording(
    experiment="device", device="x1", device_name="X1", driver="1.2", library_versions={"torch": "2"},
    recorded_on="2026-01-31", command="costlab bench device --record", repeats=9,
    rows=({"quantity": "copy", "unit": "GB/s", "median": 2.0, "least": 1.0, "greatest": 3.0},),
)  # fmt: skip


def test_saved_recording_loads_again(tmp_path: Path) -> None:
    save_recording(RECORDING, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["device-x1.json"]
    assert find_recording("device", "x1", tmp_path) == RECORDING
    assert recorded_devices("device", tmp_path) == ("x1",)


def test_absent_recording_is_none_and_not_invented(tmp_path: Path) -> None:
    assert find_recording("device", "h200", tmp_path) is None
    assert recorded_devices("device", tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": []}', '{"rows": 3}', '{"rows": [], "colour": "blue"}'])
def test_torn_and_foreign_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "device-x1.json"
    path.write_text(text)
    with pytest.raises(RecordingError, match=r"device-x1\.json is no recording"):
        load_recording(path)


@pytest.mark.parametrize(
    "field", ["device_name", "driver", "recorded_on", "command", "repeats", "rows", "library_versions"]
)
def test_a_recording_says_how_it_was_made(tmp_path: Path, field: str) -> None:
    data = asdict(RECORDING)
    data[field] = type(data[field])()
    path = tmp_path / "device-x1.json"
    path.write_text(json.dumps(data))
    with pytest.raises(RecordingError, match=f"without {field}"):
        load_recording(path)


def test_date_is_a_date() -> None:
    with pytest.raises(RecordingError, match="recorded_on must be an ISO date, got 'lately'"):
        replace(RECORDING, recorded_on="lately")


def test_nan_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_recording(replace(RECORDING, rows=({"median": float("nan")},)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(recordings.FOLDER.glob("*.json")), ids=lambda p: p.name)
def test_shipped_recordings_are_whole(path: Path) -> None:
    recording = load_recording(path)
    assert path.name == f"{recording.experiment}-{recording.device}.json"
    assert recording.command.startswith(f"costlab bench {recording.experiment}")
    assert "--record" in recording.command
    # Where each repetition has its own rows, every one of them has as many.
    repetitions = Counter(row["repeat"] for row in recording.rows if "repeat" in row)
    assert not repetitions or (len(repetitions) == recording.repeats and len(set(repetitions.values())) == 1)
    for row in recording.rows:
        if "repeat" in row:
            continue
        # A variant of a model has a time for each batch size, or a reason why it has none.
        assert "latencies" not in row or bool(row["latencies"]) != bool(row["reason"])
        # A way to train has a result of each seed; what a run has once, and what did not run, has no spread.
        assert "accuracies" not in row or len(row["accuracies"]) == recording.repeats
        if "accuracies" in row or row.get("what") in ("run", "cost") or row.get("reason"):
            continue
        for timed in row.get("latencies", [row]):
            # What is counted in a file is the same each time: it is done once and has no spread.
            assert recording.repeats == 1 or timed["least"] <= timed["median"] <= timed["greatest"]
