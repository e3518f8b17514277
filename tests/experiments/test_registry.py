import inspect
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest

from costlab.errors import UnknownNameError
from costlab.experiments import EXPERIMENTS, Experiment, Option, find_experiment, registry
from costlab.recordings import Device, Recording, bench_command, load_recording
from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run

__all__ = ["run"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_that_is_listed_can_be_found(name: str) -> None:
    needs.extra("sklearn", "router")
    experiment = find_experiment(name)
    inspect.signature(experiment.measure, eval_str=True)


def test_an_unknown_experiment_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown experiment 'tier'; did you mean 'tiers'"):
        find_experiment("tier")


@dataclass(frozen=True)
class Naps:
    """What the experiment below returns."""

    seconds: float
    places: tuple[str, ...]
    drawn: bool


def nap(
    helper: object = None,
    *,
    seconds: Annotated[float, Option("How long.", metavar="S")] = 1.0,
    places: Annotated[list[str] | None, Option("Where.", flag="--place")] = None,
    progress: bool = False,
) -> Naps:
    assert helper is None  # no option
    return Naps(seconds, tuple(places or ("bed",)), progress)


def lines(result: Naps) -> list[str]:
    return [f"slept in {place}" for place in result.places]


def recording(result: Naps, options: object) -> Recording:
    assert options == {"seconds": result.seconds, "places": list(result.places)}
    return Recording.from_run(
        "device",
        [{"seconds": result.seconds}],
        device=Device("cpu", "A bed", "bed", "none", None, 1),
        versions={"sheets": "2"},
        options={"seconds": result.seconds, "place": result.places},
    )


def test_options_and_outputs_of_an_experiment_are_those_it_declares(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(measure=nap, lines=lines, recording=recording)
    monkeypatch.setattr(registry, "import_module", lambda _: SimpleNamespace(EXPERIMENT=experiment))
    status, out, _ = run("bench", "device", "--help")
    assert status == 0
    assert all(word in out for word in ("--seconds", "How long.", "--place", "--record", "--folder", "--json"))
    assert "--helper" not in out
    assert "--progress" not in out
    assert run("bench", "device") == (0, "slept in bed\n", "")
    assert run("bench", "device", "--json")[1] == '{"seconds":1.0,"places":["bed"],"drawn":false}\n'
    arguments = ("--seconds", "2", "--place", "sofa", "--place", "a train", "--record", "--folder", str(tmp_path))
    assert run("bench", "device", *arguments) == (
        0,
        "slept in sofa\nslept in a train\n",
        "recorded in device-bed.json\n",
    )
    recorded = load_recording(tmp_path / "device-bed.json")
    assert recorded.command == "costlab bench device --seconds 2 --place sofa --place 'a train' --record"


@dataclass(frozen=True)
class Row:
    reason: str


@dataclass(frozen=True)
class Rows:
    rows: tuple[Row, ...]


@pytest.mark.parametrize(("reasons", "status"), [((), 0), (("",), 0), (("no bed", ""), 0), (("no bed", "no sofa"), 1)])
def test_an_experiment_that_measured_nothing_fails_and_is_not_recorded(
    reasons: tuple[str, ...], status: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure() -> Rows:
        return Rows(tuple(map(Row, reasons)))

    def shown(result: Rows) -> list[str]:
        return [row.reason or "slept" for row in result.rows]

    def kept(result: Rows, _: object) -> Recording:
        return recording(Naps(1.0, ("bed",), drawn=False), {"seconds": 1.0, "places": ["bed"]})

    experiment = Experiment(measure=measure, lines=shown, recording=kept)
    monkeypatch.setattr(registry, "import_module", lambda _: SimpleNamespace(EXPERIMENT=experiment))
    found, out, err = run("bench", "device", "--record", "--folder", str(tmp_path))
    assert (found, out.split("\n")[:-1]) == (status, [reason or "slept" for reason in reasons])
    assert err == ("nothing was measured, so nothing is recorded\n" if status else "recorded in device-bed.json\n")
    assert len(list(tmp_path.iterdir())) == 1 - status


def test_the_command_of_a_recording_leaves_out_what_was_left_open() -> None:
    chosen = {"device": "cpu", "scheme": None, "batch": (), "alpha": 0.9, "pattern": ["2:4"], "seed": 0}
    assert bench_command("x", chosen) == "costlab bench x --device cpu --alpha 0.9 --pattern 2:4 --seed 0 --record"
