import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import gpu_price
from costlab.compression import (
    Assessment,
    BenchmarkResult,
    Encoder,
    LanguageModel,
    PackagedModel,
    Variant,
    benchmark,
    instruments,
    quantize,
    spread,
)
from costlab.compression.measuring import hourly_price
from costlab.compression.results import together
from costlab.errors import InvalidValueError, ModelTooLargeError, RecordingError
from costlab.recordings import Device
from tests import needs


class Played:
    """A model that works for a given time, by the clock that the test moves."""

    unit = "token"
    disk_bytes = 100

    def __init__(self, clock: list[float], seconds: float, weights_bytes: int, parts: tuple[float, ...]) -> None:
        self.weights_bytes = weights_bytes
        self._clock, self._seconds, self._parts = clock, seconds, parts

    def step(self, batch: int) -> Callable[[], object]:
        def work() -> None:
            self._clock[0] += self._seconds * batch

        return work

    def assess(self) -> Assessment:
        mean = sum(self._parts) / len(self._parts)
        return Assessment("perplexity", math.exp(mean), 4, 0.1, self._parts, tuple(int(p) for p in self._parts))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, one_torch_thread: None) -> list[float]:
    needs.extra("torch", "models")
    now = [0.0]
    monkeypatch.setattr("costlab.compression.instruments.time.process_time", lambda: now[0])
    return now


def played(clock: list[float]) -> list[Variant]:
    def fails() -> Played:
        raise NotImplementedError("no kernel for this\n processor")

    return [
        Variant(name="wide", make=lambda: Played(clock, 0.02, 1000, (1.0, 2.0, 3.0))),
        Variant(name="narrow", make=lambda: Played(clock, 0.01, 250, (1.5, 2.5, 3.2)), predicted_bytes=250),
        Variant(name="absent", make=fails),
        Variant(name="vast", make=lambda: pytest.fail("was made"), predicted_bytes=2e9),
    ]


def run(clock: list[float], **options: Any) -> BenchmarkResult:
    return benchmark(played(clock), device="cpu", batch_sizes=(1, 4), progress=False, free=10**9, **options)


def test_a_row_says_what_was_measured(clock: list[float]) -> None:
    wide, narrow, absent, vast = run(clock).rows
    assert (wide.size_ratio, wide.change, wide.agreement_fraction, wide.at(4).ratio) == (1, 0, 1, 1)
    assert narrow.size_ratio == 0.25
    assert narrow.at(4).median == pytest.approx(40)  # ms: 0.01 s for each of four
    assert narrow.at(4).ratio == pytest.approx(0.5)
    assert narrow.at(4).units_per_s == pytest.approx(100)
    assert narrow.change == pytest.approx(0.4)
    # Differences of 0.5, 0.5 and 0.2: their standard deviation over the root of three.
    assert narrow.change_standard_error == pytest.approx(0.1)
    assert narrow.agreement_fraction == 1.0
    # 0.526 USD an hour at 100 tokens a second, by hand: 0.526 / 360,000 tokens.
    assert narrow.usd == pytest.approx(0.526 / 0.36)
    assert narrow.usd_unit == "USD per million tokens"
    assert (absent.reason, absent.quality, absent.latencies) == ("no kernel for this processor", None, ())
    assert vast.reason == "vast takes 2.00 GB for its weights, and 1.00 GB of memory are free on cpu"


def test_a_slowing_machine_does_not_move_the_ratio(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    # Every call takes 5 % longer than the one before; one after the other, the ratio would be off by far more.
    slower = [1.0]
    plain = Played.step

    def drifting(self: Played, batch: int) -> Callable[[], object]:
        work = plain(self, batch)

        def call() -> None:
            before = clock[0]
            work()
            slower[0] *= 1.05
            clock[0] = before + (clock[0] - before) * slower[0]

        return call

    monkeypatch.setattr(Played, "step", drifting)
    narrow = run(clock, repeats=9).rows[1]
    assert narrow.at(1).ratio == pytest.approx(0.5, rel=0.06)
    assert narrow.at(1).greatest > 1.5 * narrow.at(1).least


def test_a_price_of_ones_own(clock: list[float]) -> None:
    price = gpu_price("H100", snapshot="list", provider="aws")
    result = run(clock, price=price)
    assert result.usd_per_hour == price.usd_per_hour
    assert result.price.startswith("H100 on_demand, aws/us-east-1")
    assert "whole machine" in run(clock).price


def test_a_device_without_a_price_has_no_dollars() -> None:
    gtx = Device("cuda", "NVIDIA GeForce GTX 1080", "gtx-1080", "1", 8.0, 4)
    usd_per_hour, why = hourly_price(gtx, None)
    assert usd_per_hour is None
    assert why.startswith("none: unknown GPU")
    h100 = Device("cuda", "NVIDIA H100", "h100", "1", 80.0, 4)
    assert hourly_price(h100, None)[0] == gpu_price("H100", snapshot="list", provider="aws").usd_per_hour
    assert hourly_price(h100, None)[1].endswith("(one of 8 GPUs of p5.48xlarge, which is rented whole)")


def test_a_result_is_recorded_and_read_again(clock: list[float], tmp_path: Path) -> None:
    result = run(clock)
    path = result.record(tmp_path, command="costlab bench quantization --record")
    assert path.name == "quantization-cpu.json"
    assert BenchmarkResult.recorded("quantization", "cpu", tmp_path) == result
    assert BenchmarkResult.recorded("quantization", "h100", tmp_path) is None
    assert json.loads(path.read_text())["rows"][2]["reason"] == "no kernel for this processor"


def test_foreign_rows_are_no_result(clock: list[float], tmp_path: Path) -> None:
    path = run(clock).record(tmp_path, command="costlab bench quantization --record")
    path.write_text(path.read_text().replace('"weights_bytes": 250', '"weights_bytes": "many"'))
    with pytest.raises(RecordingError, match=r"quantization on cpu: (.|\n)*weights_bytes"):
        BenchmarkResult.recorded("quantization", "cpu", tmp_path)


def test_the_interval_is_students() -> None:
    needs.extra("scipy", "compression")
    # Student (1908): t at 97.5 % with four degrees of freedom is 2.776; s is the root of 2.5.
    found = spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.high - found.mean == pytest.approx(2.776 * (2.5 / 5) ** 0.5, rel=1e-3)
    with pytest.raises(InvalidValueError, match="values must be at least two, got 1"):
        spread([1.0])
    with pytest.raises(InvalidValueError, match="values must be a finite number, got nan"):
        spread([1.0, float("nan")])


def test_table_and_figure(clock: list[float]) -> None:
    needs.extra("pandas", "plots")
    needs.extra("matplotlib", "plots")
    from costlab import plotting

    result = run(clock)
    table = result.frame()
    assert list(table.index.get_level_values("variant")) == ["wide", "narrow", "absent", "vast"]
    assert table["ratio_at_4"].iloc[1] == pytest.approx(0.5)
    ax = plotting.plot_benchmark(result)
    assert {text.get_text() for text in ax.texts} == {"wide", "narrow"}
    assert "less is better" in ax.get_ylabel()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # and what is better stands higher
    assert ax.get_xlabel() == "USD per million tokens"
    with pytest.raises(InvalidValueError, match="model must be one with a variant that was measured"):
        plotting.plot_benchmark(result, model="other")


def test_names_in_a_crowd_cover_no_other_and_stay_at_their_dots() -> None:
    needs.extra("matplotlib", "plots")
    from matplotlib.text import Annotation, Text

    from costlab import plotting

    dots = {
        "bf16": (0.69, 41.54),
        "fp32": (0.82, 41.57),
        "int8-weight-only": (0.79, 41.58),
        "int8-dynamic": (0.8, 42.4),
    }
    ax = plotting.plot_quality_cost({**dots, "fp16": (2.6, 41.6), "torch-dynamic": (0.3, 117.7)}, metric="perplexity")
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    names = {text.get_text(): Text.get_window_extent(text) for text in ax.texts}  # without its line
    boxes = list(names.values())
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    left = ax.get_window_extent().x0
    for text in ax.texts:
        assert isinstance(text, Annotation)
        x, y = ax.transData.transform(text.xy)
        box = names[text.get_text()]
        away = max(box.x0 - x, x - box.x1, box.y0 - y, y - box.y1)
        assert away < 12 or text.arrow_patch is not None, "neither at its dot nor led to it by a line"
        assert box.x0 > left, "not over the axis"


def test_rows_are_found_by_name(clock: list[float]) -> None:
    result = run(clock)
    assert result.row("narrow").weights_bytes == 250
    with pytest.raises(InvalidValueError, match="variant must be one of wide, narrow, absent, vast, got 'thin'"):
        result.row("thin")
    with pytest.raises(InvalidValueError, match=r"batch must be one that was measured \(1, 4\), got 2"):
        result.row("wide").at(2)
    with pytest.raises(InvalidValueError, match="none, as no kernel"):
        result.row("absent").at(1)
    both = together([result, result])
    assert len(both.rows) == 8
    with pytest.raises(InvalidValueError, match="results must be of one device"):
        together([result, replace(result, device="h100")])


def test_bad_input(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    variants = played(clock)
    with pytest.raises(InvalidValueError, match="batch_sizes must be a whole number >= 1, got 0"):
        benchmark(variants, device="cpu", batch_sizes=(0,))
    with pytest.raises(InvalidValueError, match="repeats must be a whole number >= 3, got 2"):
        benchmark(variants, device="cpu", repeats=2)
    with pytest.raises(InvalidValueError, match="variants and batch_sizes must be not empty"):
        benchmark([], device="cpu")
    with pytest.raises(InvalidValueError, match="variants must be named differently"):
        benchmark([variants[0], variants[0]], device="cpu")
    with pytest.raises(ModelTooLargeError, match=r"vast takes 2\.00 GB .* 1\.00 GB of memory are free on cpu"):
        benchmark(variants[3:], device="cpu", progress=False, free=10**9)
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        benchmark(variants, device="cuda")


def test_the_bar_names_what_was_measured(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rich.progress.Progress.update", lambda *_, **change: shown.append(change["description"]))
    benchmark(played(clock)[:2], device="cpu", free=10**9)
    assert shown == ["wide", "narrow"]
    assert capsys.readouterr().out == ""
    run(clock)
    assert shown == ["wide", "narrow"]
    assert capsys.readouterr().err == ""


def test_memory_of_a_call_is_seen() -> None:
    needs.extra("torch", "models")
    held: list[bytearray] = []
    added = instruments.added_bytes(lambda: held.append(bytearray(b"x" * 200_000_000)), "cpu")
    if added is None:
        pytest.skip("this system does not tell")
    assert 190e6 < added < 450e6
    free = instruments.free_bytes("cpu")
    assert free is not None
    assert free > 10**6


@pytest.mark.slow
def test_the_encoder_loses_neighbours_to_torch_dynamic_and_not_to_int8(encoder: PackagedModel) -> None:
    names = ("fp32", "int8-weight-only", "torch-dynamic")
    right, int8, ruined = (
        Encoder(quantize(encoder.model, name, device="cpu"), encoder.tokenizer, examples=2, n_test=1).assess()
        for name in names
    )
    assert right.n == 72

    def agreement(other: Assessment) -> float:
        return sum(a == b for a, b in zip(right.answers, other.answers, strict=True)) / right.n

    assert agreement(int8) >= 0.95
    assert agreement(ruined) <= 0.75


def test_a_text_must_be_long_enough(language_model: PackagedModel) -> None:
    model, tokenizer = language_model.model, language_model.tokenizer
    with pytest.raises(InvalidValueError, match="text must be one of at least 64 tokens, got '5 tokens'"):
        LanguageModel(model, tokenizer, text="What does it cost?", tokens=64, window=32)
    with pytest.raises(InvalidValueError, match="tokens must be a multiple of the window, 32, got 100"):
        LanguageModel(model, tokenizer, tokens=100, window=32)


def test_rows_hold_plain_values(clock: list[float]) -> None:
    json.dumps([asdict(row) for row in run(clock).rows], allow_nan=False)
