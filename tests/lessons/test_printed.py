from pathlib import Path

import pytest

from costlab.errors import RecordingError, UnknownNameError
from costlab.experiments import EXPERIMENTS
from costlab.lessons import banner, recorded, reveal
from costlab.recordings import Recording, find_recording, recorded_devices, save_recording
from tests import needs


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        (None, "computed: 5,818 USD\n"),
        (5800, "within 10 %: well guessed"),
        (11_635, "2.0 times too high"),
        (581, "10.0 times too low"),
        (0, "far off"),
        (-5, "not even the same sign"),
        ("many", "your guess was not a number: 'many'"),
        (float("nan"), "your guess was not a number: nan"),
    ],
)
def test_guess_beside_the_answer(capsys: pytest.CaptureFixture[str], guess: object, said: str) -> None:
    reveal(guess, 5817.6, "USD")  # type: ignore[arg-type]
    assert said in capsys.readouterr().out


def test_zero_guessed_right(capsys: pytest.CaptureFixture[str]) -> None:
    reveal(0, 0, "points")
    assert "right" in capsys.readouterr().out


def test_banner_says_what_is_live(capsys: pytest.CaptureFixture[str]) -> None:
    banner(live="all", recorded="one figure")
    out = capsys.readouterr().out
    assert "live here: all" in out
    assert "from recordings: one figure" in out


@pytest.mark.parametrize(
    ("experiment", "device"), [(name, device) for name in EXPERIMENTS for device in recorded_devices(name)]
)
def test_every_recording_is_shown_with_what_made_it(
    capsys: pytest.CaptureFixture[str], experiment: str, device: str
) -> None:
    if experiment == "distillation":
        needs.extra("sklearn", "models")
    recorded(experiment, device)
    out = capsys.readouterr().out
    recording = find_recording(experiment, device)
    assert recording is not None
    assert f"recorded {recording.recorded_on} with " in out
    assert f"by {recording.command}\n" in out
    assert recording.device_name in out
    assert all(number in out for number in recording.library_versions.values())
    assert len(out.splitlines()) > 3


def test_a_recording_comes_before_what_others_published(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    row = {"quantity": "copy", "unit": "GB/s", "median": 4321.0, "least": 4300.0, "greatest": 4330.0}
    made = Recording(
        experiment="device", device="h200", device_name="NVIDIA H200", driver="580", library_versions={"torch": "2.11"},
        recorded_on="2026-12-01", command="costlab bench device --device cuda --record", repeats=9, rows=(row,),
    )  # fmt: skip
    recorded("device", "h200", tmp_path)
    assert "published" in capsys.readouterr().out
    save_recording(made, tmp_path)
    recorded("device", "h200", tmp_path)
    out = capsys.readouterr().out
    assert "published" not in out
    assert "recorded 2026-12-01 with torch 2.11\nby costlab bench device --device cuda --record\nNVIDIA H200" in out
    assert "4321 GB/s" in out


def test_where_nothing_was_recorded_the_published_figures_say_whose_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recorded("quantization", "l4", tmp_path)
    out = capsys.readouterr().out
    assert out.startswith("published, not measured by us: quantization on A100 80GB, nearest to the L4 in memory")
    assert "checked 2026-11-30 at https://github.com/pytorch/ao/" in out
    assert out.endswith("to record it ourselves, on the device: costlab bench quantization --device cuda --record\n")


@pytest.mark.parametrize(
    ("experiment", "device", "said"),
    [
        (
            "device",
            "cpu",
            "device on cpu is neither recorded nor published: record it there with 'costlab bench device",
        ),
        ("decode", "cpu", "decode on cpu is neither recorded nor published"),
        ("traffic", "h200", "traffic on h200 is neither .* 'costlab bench traffic --record', or add"),
    ],
)
def test_nothing_to_show_is_an_error_and_no_phrase(tmp_path: Path, experiment: str, device: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        recorded(experiment, device, tmp_path)


@pytest.mark.parametrize(
    ("experiment", "device", "said"),
    [("device", "no-such-gpu", "unknown GPU 'no-such-gpu'"), ("devise", "h200", "did you mean 'device'")],
)
def test_unknown_names_are_refused(experiment: str, device: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        recorded(experiment, device)
