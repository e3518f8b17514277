import json
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path

import pytest

from costlab.compression import BenchmarkResult, PackagedModel
from costlab.experiments import quantization_study
from costlab.experiments.quantization import EXPERIMENT
from tests import needs
from tests.commands import Run, command_line

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SHORT = ("--device", "cpu", "--model", "minilm", "--scheme", "fp32", "--batch", "1", "--repeats", "3")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    needs.extra("torch", "models")
    needs.extra("transformers", "models")
    return command_line(capsys, "bench", "quantization")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study asks fewer queries, to be quick."""
    fewer = wraps(quantization_study)(partial(quantization_study, examples=1, n_test=1))
    monkeypatch.setattr("costlab.experiments.quantization.EXPERIMENT", replace(EXPERIMENT, measure=fewer))


@pytest.mark.usefixtures("small")
def test_a_line_for_each_scheme_and_a_recording(run: Run, encoder: PackagedModel, tmp_path: Path) -> None:
    more = ("--scheme", "bf16", "--scheme", "int4-weight-only", "--record", "--folder", str(tmp_path))
    status, out, err = run(*SHORT, *more)
    assert status == 0
    head, wide, narrow, absent = out.splitlines()
    assert "one thread" in head
    assert "T4 on_demand, aws/us-east-1" in head
    assert "90.9 MB" in wide
    assert "(1.00x)" in wide
    assert "45.4 MB" in narrow
    assert "(n = 72)" in narrow
    assert "not measured: int4-weight-only does not run on cpu" in absent
    assert "recorded in quantization-cpu.json" in err
    result = BenchmarkResult.recorded("quantization", "cpu", tmp_path)
    assert result is not None
    assert [row.variant for row in result.rows] == ["fp32", "bf16", "int4-weight-only"]
    command = json.loads((tmp_path / "quantization-cpu.json").read_text())["command"]
    assert command == (
        "costlab bench quantization --device cpu --model minilm --scheme fp32 --scheme bf16 --scheme int4-weight-only "
        "--batch 1 --repeats 3 --seed 0 --record"
    )


@pytest.mark.usefixtures("small")
def test_json_is_one_object(run: Run, encoder: PackagedModel) -> None:
    status, out, err = run(*SHORT, "--json")
    assert (status, err) == (0, "")
    (row,) = json.loads(out)["rows"]
    assert row["latencies"][0]["batch"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cpu", "--model", "gpt-5"), "unknown model 'gpt-5'; known: smollm2, minilm"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--device", "cuda"), "device must be one that is present (nvidia-ml-py finds no GPU here), got 'cuda'"),
        (("--repeats", "many"), "must be a whole number, got 'many'"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_unknown_scheme_is_one_line(run: Run, encoder: PackagedModel) -> None:
    status, out, err = run(*SHORT, "--scheme", "int7")
    assert (status, out) == (2, "")
    assert err.startswith("error: unknown scheme 'int7'")


def test_an_unreachable_hub_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", unreachable)
    status, out, err = run("--device", "cpu", "--model", "owner/model")
    assert (status, out) == (2, "")
    assert err == "error: owner/model could not be fetched from the hub (OSError); packaged models need no network\n"
