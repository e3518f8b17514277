import json
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.compression import UNLABELLED, DistillationTask, Examples, SeededTask, small_network
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.experiments import DistillationCost, DistillationResult, distillation_study
from costlab.experiments.distillation import EXPERIMENT
from tests import needs
from tests.commands import command_line

pytestmark = pytest.mark.usefixtures("one_torch_thread")

ARMS = ("teacher", "linear", "labels", "own answers", "soft, few", "argmax", "soft", "soft + hidden", "truth")


def plane_task() -> DistillationTask:
    """Points on two sides of a line through ten dimensions: twenty labelled ones, and a teacher that is right."""
    needs.extra("torch", "models")
    needs.extra("scipy", "compression")
    import torch

    def draw(seed: int) -> SeededTask:
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(700, 10, generator=generator)
        side = points.sum(1)
        truth = (side > 0).long()
        labels = truth[:400].clone()
        labels[20:] = UNLABELLED
        logits = torch.stack([-side, side], 1)
        taught = Examples(
            inputs=points[:400], labels=labels, teacher_logits=logits[:400], teacher_hidden=side[:400, None]
        )
        return SeededTask(
            student=lambda: small_network(10, 2, width=4, seed=seed),
            labelled=taught.chosen(slice(20)),
            everything=taught,
            truth=truth[:400],
            test_inputs=points[400:],
            test_labels=truth[400:],
            teacher_right=torch.ones(300, dtype=torch.bool),
            linear_right=torch.zeros(300, dtype=torch.bool),
            teacher_training_s=1.0,
        )

    return DistillationTask(
        name="plane", draw=draw, teacher_step=lambda: sum(range(20_000)), student_step=lambda: 0, options={"epochs": 30}
    )


@pytest.fixture(scope="module")
def result() -> DistillationResult:
    return distillation_study([plane_task()], seeds=5, repeats=5, progress=False)


def test_each_arm_learns_from_the_examples_that_its_name_says(result: DistillationResult) -> None:
    assert tuple(row.arm for row in result.rows) == ARMS
    assert {row.arm: row.examples for row in result.rows} == {
        "teacher": 20,
        "linear": 20,
        "labels": 20,
        "own answers": 400,
        "soft, few": 20,
        "argmax": 400,
        "soft": 400,
        "soft + hidden": 400,
        "truth": 400,
    }
    assert all(len(row.accuracies) == 5 and row.tested == 300 for row in result.rows)


def test_most_of_the_gain_is_the_unlabelled_data(result: DistillationResult) -> None:
    assert result.gain("plane", "soft").low > 0.05
    assert result.gain("plane", "argmax").mean > 0.7 * result.gain("plane", "soft").mean
    assert abs(result.gain("plane", "soft", over="argmax").mean) < 0.05
    assert result.row("plane", "teacher").spread.mean == 1.0


def test_the_unlabelled_data_teach_nothing_without_a_teacher(result: DistillationResult) -> None:
    assert abs(result.gain("plane", "own answers").mean) < 0.03
    assert result.gain("plane", "argmax", over="own answers").low > 0.05


def test_a_study_repeats_itself(result: DistillationResult) -> None:
    again = distillation_study([plane_task()], arms=("soft",), seeds=5, repeats=5, progress=False)
    assert tuple(row.arm for row in again.rows) == ("teacher", "linear", "labels", "soft")
    assert again.row("plane", "soft").accuracies == result.row("plane", "soft").accuracies


def test_a_result_is_recorded_and_read_again(result: DistillationResult, tmp_path: Path) -> None:
    assert DistillationResult.recorded("distillation", "cpu", tmp_path) is None
    path = result.record(tmp_path, command="costlab bench distillation --record")
    assert path.name == "distillation-cpu.json"
    assert DistillationResult.recorded("distillation", "cpu", tmp_path) == result


def test_table_and_figure(result: DistillationResult) -> None:
    needs.extra("pandas", "plots")
    needs.extra("matplotlib", "plots")
    from costlab import plotting

    table = result.frame()
    assert list(table.index.get_level_values("arm")) == list(ARMS)
    soft = {name: float(table[name].iloc[ARMS.index("soft")]) for name in ("accuracy", "low", "high", "gain")}
    assert soft["low"] < soft["accuracy"] < soft["high"]
    assert soft["gain"] == pytest.approx(result.gain("plane", "soft").mean)
    ax = plotting.plot_distillation(result)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ARMS)
    assert ax.get_xlabel() == "accuracy (%)"
    with pytest.raises(InvalidValueError, match="task must be one of plane, got 'sphere'"):
        plotting.plot_distillation(result, task="sphere")


def test_training_is_earned_back_after_so_many_requests() -> None:
    cost = DistillationCost(
        task="t",
        teacher_ms=10.0,
        student_ms=2.0,
        student_bytes=1,
        examples=1000,
        teacher_training_s=3.0,
        student_training_s=6.0,
    )
    # 6 s of training and 1,000 answers of 10 ms, by 8 ms a request.
    assert cost.payback_requests == pytest.approx(16_000 / 8)
    slow = DistillationCost(
        task="t",
        teacher_ms=1.0,
        student_ms=1.0,
        student_bytes=1,
        examples=1,
        teacher_training_s=1.0,
        student_training_s=1.0,
    )
    assert slow.payback_requests is None


def test_bad_input() -> None:
    task = plane_task()
    with pytest.raises(UnknownNameError, match="unknown arm 'sof'; did you mean 'soft'"):
        distillation_study([task], arms=("sof",), progress=False)
    with pytest.raises(InvalidValueError, match="seeds must be a whole number >= 5, got 4"):
        distillation_study([task], seeds=4, progress=False)


def test_names_of_a_result(result: DistillationResult) -> None:
    with pytest.raises(InvalidValueError, match="task and arm must be one of plane: teacher"):
        result.row("plane", "harder")
    assert result.cost("plane").teacher_ms > result.cost("plane").student_ms
    assert result.cost("plane").examples == 400


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, result: DistillationResult) -> Any:
    asked: list[dict[str, Any]] = []

    @wraps(distillation_study)
    def study(**options: Any) -> DistillationResult:
        asked.append(options)
        return result

    monkeypatch.setattr("costlab.experiments.distillation.EXPERIMENT", replace(EXPERIMENT, measure=study))

    bench = command_line(capsys, "bench", "distillation")
    return lambda *words: (*bench(*words), asked)


def test_the_command_prints_and_records(run: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err, asked = run("--seeds", "5", "--alpha", "0.8", "--record", "--folder", str(tmp_path))
    assert status == 0
    assert len(out.splitlines()) == 1 + len(ARMS) + 1
    assert "plane                    soft             400 examples" in out
    assert err == "recorded in distillation-cpu.json\n"
    assert asked == [{"seeds": 5, "temperature": 2.0, "alpha": 0.8, "progress": True}]
    command = json.loads((tmp_path / "distillation-cpu.json").read_text())["command"]
    assert command == "costlab bench distillation --seeds 5 --temperature 2 --alpha 0.8 --record"
    status, out, err, _ = run("--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["rows"][0]["arm"] == "teacher"


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    needs.extra("torch", "models")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "distillation", "--seeds", "3"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: seeds must be a whole number >= 5, got 3\n"
