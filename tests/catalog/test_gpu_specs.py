import pytest

from costlab.catalog import PRECISIONS, gpu, gpus
from costlab.errors import InvalidValueError, UnknownNameError


def test_every_gpu_of_the_course_is_there() -> None:
    assert [spec.name for spec in gpus()] == ["T4", "A10G", "L4", "A100 40GB", "A100 80GB", "H100", "H200", "B200"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("A100_40", "A100 40GB"),
        ("A100_80", "A100 80GB"),
        ("a10g", "A10G"),
        ("h100", "H100"),
        ("a100 80gb", "A100 80GB"),
    ],
)
def test_aliases_and_case(asked: str, name: str) -> None:
    assert gpu(asked).name == name


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [("A10", ("A10G",)), ("A100", ("A100 40GB", "A100 80GB")), ("H10", ("H100",)), ("A100 80G", ("A100 80GB",))],
)
def test_near_names_are_suggested(asked: str, suggested: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        gpu(asked)
    assert caught.value.suggestions == suggested
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("asked", ["", "quux", None, 7])
def test_a_name_near_nothing_lists_what_there_is(asked: object) -> None:
    with pytest.raises(UnknownNameError, match=r"known: T4, A10G, L4"):
        gpu(asked)  # type: ignore[arg-type]


def test_spellings_are_unique() -> None:
    spellings = [spelling.casefold() for spec in gpus() for spelling in (spec.name, *spec.aliases)]
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("spec", gpus(), ids=lambda spec: spec.name)
def test_figures_are_plausible(spec) -> None:  # type: ignore[no-untyped-def]
    assert 10 <= spec.memory_gb <= 300
    assert 200 <= spec.bandwidth_gb_per_s <= 10_000
    assert 50 <= spec.board_power_w <= 1500
    assert 2015 <= spec.year <= spec.checked.year
    stated = {p: spec.dense_tflops(p) for p in PRECISIONS if spec._rate(p) is not None}
    assert {"fp32", "fp16", "int8"} <= stated.keys()
    # Fewer bits are never slower.
    for wide, narrow in (("fp32", "tf32"), ("tf32", "fp16"), ("fp16", "fp8"), ("fp16", "int8"), ("int8", "int4")):
        if {wide, narrow} <= stated.keys():
            assert stated[narrow] >= stated[wide]
    if "bf16" in stated:
        assert stated["bf16"] == stated["fp16"]


def test_rates_are_dense() -> None:
    # NVIDIA's Hopper data sheet prints 1,979 TFLOP/s bf16 "with sparsity": half of it is dense.
    assert gpu("H100").dense_tflops("bf16") == 989.5


def test_a_rate_that_is_not_stated_is_not_zero() -> None:
    with pytest.raises(InvalidValueError, match=r"precision must be one that the T4 data sheet states .* got 'bf16'"):
        gpu("T4").dense_tflops("bf16")
    with pytest.raises(UnknownNameError, match=r"unknown precision 'fp61'; did you mean 'fp16'\?"):
        gpu("T4").dense_tflops("fp61")
