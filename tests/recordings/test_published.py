"""Published figures: each with its source, none above what its GPU can do, and the nearest ones for a device."""

import re
from dataclasses import replace

import pytest

from costlab.catalog import gpu, gpus
from costlab.errors import InvalidValueError, RecordingError, UnknownNameError
from costlab.experiments import EXPERIMENTS
from costlab.recordings import PublishedFigure, PublishedTable, nearest_published, published_tables
from costlab.serving import published_measurements

TABLES = published_tables()


def named(table: PublishedTable) -> str:
    return f"{table.experiment} {table.gpu} {table.source}"


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_each_table_stands_for_an_experiment_on_a_known_gpu_and_names_its_source(table: PublishedTable) -> None:
    assert table.experiment in EXPERIMENTS
    assert gpu(table.gpu).name == table.gpu
    assert all((table.source, table.library, table.note, table.figures))
    if table.experiment not in ("decode", "serving"):  # those of costlab.serving have tests of their own
        assert re.match(
            r"https://(github\.com(/[^/]+){2}/blob/[0-9a-f]{7,40}/|pypi\.org/project/[^/]+/[0-9.]+/)", table.source_url
        )


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_quantities_are_told_apart_and_a_speed_up_has_its_quality(table: PublishedTable) -> None:
    assert len({figure.quantity for figure in table.figures}) == len(table.figures)
    for figure in table.figures:
        if figure.over or figure.unit == "times dense":
            assert figure.quality, f"{figure.quantity}: a speed-up without its quality"
        if figure.over:
            base = table.figure(figure.over)
            assert base.unit == figure.unit
            times = figure.value / base.value if figure.unit.endswith("/s") else base.value / figure.value
            assert table.speedup(figure.quantity) == pytest.approx(times)


@pytest.mark.parametrize("table", published_tables("device"), ids=named)
def test_no_figure_is_above_the_physical_limit(table: PublishedTable) -> None:
    spec = gpu(table.gpu)
    for figure in table.figures:
        limit = {
            "copy": spec.bandwidth_gb_per_s,
            "read": spec.bandwidth_gb_per_s,
            "matmul bf16": spec.bf16_tflops,
            "matmul fp8": spec.fp8_tflops,
        }[figure.quantity]
        assert limit is not None
        assert 0.25 * limit < figure.value < limit
        assert figure.unit == ("TFLOP/s" if figure.quantity.startswith("matmul") else "GB/s")


def test_speeds_are_those_that_their_source_states() -> None:
    """Model Optimizer prints 1.41x, 1.33x, 0.75x and 0.83x beside its rates; torchao's README on sparsity 1.07x."""
    (h200,) = (table for table in published_tables("quantization") if table.gpu == "H200")
    printed = {"fp8, batch 1": 1.41, "int4 AWQ, batch 1": 1.33, "int4 AWQ, batch 8": 0.75, "int4 AWQ, batch 64": 0.83}
    assert {name: round(h200.speedup(name) or 0, 2) for name in printed} == printed
    (a100,) = (table for table in published_tables("pruning") if table.gpu == "A100 80GB")
    assert a100.speedup("2:4 in all layers") == pytest.approx(1.07, abs=0.005)
    assert a100.speedup("dense") is None
    (mlp,) = published_tables("sparse")
    assert mlp.speedup("2:4 weights, pruned as it runs") == pytest.approx(11534.3 / 9204.7)  # times, so less is faster


@pytest.mark.parametrize("experiment", ["device", "quantization", "pruning", "sparse", "decode", "serving"])
def test_every_gpu_of_the_catalogue_has_something_near(experiment: str) -> None:
    for spec in gpus():
        near = nearest_published(experiment, spec.name)
        assert near.asked == spec.name
        assert near.tables
        assert {table.gpu for table in near.tables} == {near.gpu}
        if spec.name in {table.gpu for table in published_tables(experiment)}:
            assert (near.gpu, near.nearness) == (spec.name, "the same GPU")
        else:
            assert near.gpu != spec.name
            assert near.lines()[0].endswith(f"on {near.gpu}, {near.nearness}")
            assert near.nearness.startswith(f"nearest to the {spec.name} in memory bandwidth (")


def test_nearest_is_by_ratio_and_not_by_difference() -> None:
    """A10G, 600 GB/s: the T4's 320 is 280 less and 1.9 times less, an A100's 2,039 is 3.4 times as much."""
    assert nearest_published("device", "A10G").gpu == "T4"
    assert nearest_published("pruning", "H200").gpu == "H100"


def test_what_was_served_is_shown_for_decode_and_serving_in_the_unit_of_its_source() -> None:
    rows = [row for row in published_measurements() if row.kind in ("static", "serving")]
    tables = published_tables("decode") + published_tables("serving")
    assert sum(len(table.figures) for table in tables) == len(rows)
    near = nearest_published("decode", "H200")  # runs of a batch were found for an H100
    assert near.nearness == "nearest to the H200 in memory bandwidth (3,350 and 4,800 GB/s)"
    assert {table.model for table in near.tables} == {"Llama-3.1-8B"}
    lines = "\n".join(near.lines())
    # bitsandbytes, benchmarking/README.md: 0.0244 s a token; torchao's README: 126.9 tokens a second.
    assert re.search(r"decode, bf16, batch 1, 64/64 tokens +24\.4 ms", lines)
    assert re.search(r"whole, bf16, batch 1, 8/200 tokens +126\.9 tokens/s", lines)


def test_of_several_models_the_one_nearest_to_eight_billion_weights_is_shown() -> None:
    assert {table.model for table in nearest_published("serving", "H200").tables} == {"Llama-3.1-8B"}
    assert {table.model for table in nearest_published("decode", "T4").tables} == {"Mistral-7B"}


def test_nothing_published_is_an_error() -> None:
    with pytest.raises(RecordingError, match="nothing was published of traffic"):
        nearest_published("traffic", "H200")
    with pytest.raises(UnknownNameError, match="unknown GPU 'H2000'"):
        nearest_published("device", "H2000")


def test_a_quantity_that_is_not_there_and_impossible_rows_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="quantity must be one of copy"):
        TABLES[0].figure("matmul int3")
    with pytest.raises(InvalidValueError, match="copy must be"):
        PublishedFigure(quantity="copy", value=-1, unit="GB/s")
    with pytest.raises(InvalidValueError, match="source_url must be the address that was read"):
        PublishedTable(
            experiment="device", gpu="T4", source="a slide", library="", checked=TABLES[0].checked, source_url="",
            note="", figures=(),
        )  # fmt: skip
    with pytest.raises(InvalidValueError, match="figures must be of different quantities"):
        replace(TABLES[0], figures=TABLES[0].figures * 2)
