import math

import pytest
from hypothesis import given, strategies as st

from costlab.compression.sizes import ModelShape, WeightFormat, kv_cache_bytes, weights_bytes
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.serving import model_spec

BF16 = WeightFormat(16)
matrices = st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 4096)), min_size=1, max_size=5).map(tuple)


def llama_3_8b() -> ModelShape:
    """The matrices of Llama-3-8B, from its published config: 4096 wide, 14336 inside, 32 layers, 8 key-value heads."""
    layer = ((4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336))
    norms = 65 * 4096
    return ModelShape(32 * layer, kept=2 * 128_256 * 4096 + norms)


def test_llama_3_8b_has_its_published_number_of_parameters() -> None:
    # https://huggingface.co/meta-llama/Meta-Llama-3-8B states 8,030,261,248 parameters.
    assert llama_3_8b().parameters == 8_030_261_248 == model_spec("Llama-3-8B").parameters
    assert weights_bytes(llama_3_8b(), BF16) == model_spec("Llama-3-8B").weights_bytes


def test_nf4_takes_four_and_a_half_bits() -> None:
    # QLoRA (arXiv 2305.14314, section 3): blocks of 64 with an fp32 constant cost 32/64 = 0.5 bits more.
    assert WeightFormat(4, 64, scale_bits=32).bits_per_weight(1, 4096) == 4.5


def test_int4_of_a_whole_model_is_not_a_quarter_of_bf16() -> None:
    smaller = weights_bytes(llama_3_8b(), WeightFormat(4, 64, 16, 16)) / weights_bytes(llama_3_8b(), BF16)
    assert smaller == pytest.approx(0.375, abs=0.005)  # the two embeddings stay at 16 bits


def test_kv_cache_agrees_with_the_serving_model() -> None:
    spec = model_spec("Llama-3.1-8B")
    cache = kv_cache_bytes(spec.layers, spec.kv_heads, spec.head_dim, tokens=4000, sequences=3)
    assert cache == 3 * 4000 * spec.kv_bytes_per_token


def test_kv_cache_in_int8_pays_for_its_scales() -> None:
    wide = kv_cache_bytes(32, 8, 128, 1000)
    narrow = kv_cache_bytes(32, 8, 128, 1000, stored=WeightFormat(8, 64, 16))
    assert narrow == wide * (8 + 16 / 64) / 16


@given(matrices, st.integers(0, 10**6), st.sampled_from([2, 3, 4, 8]), st.integers(1, 512))
def test_fewer_bits_and_larger_groups_never_take_more(
    shapes: tuple[tuple[int, int], ...], kept: int, bits: int, group: int
) -> None:
    shape = ModelShape(shapes, kept)
    size = weights_bytes(shape, WeightFormat(bits, group, 16))
    assert size <= weights_bytes(shape, WeightFormat(bits + 1, group, 16))
    assert size >= weights_bytes(shape, WeightFormat(bits, 2 * group, 16))
    assert size >= weights_bytes(shape, WeightFormat(bits, "row", 16)) >= weights_bytes(shape, WeightFormat(bits))
    assert size >= kept * 2


@given(matrices, matrices, st.integers(0, 1000), st.integers(0, 1000))
def test_sizes_add_up(
    first: tuple[tuple[int, int], ...], second: tuple[tuple[int, int], ...], kept: int, more: int
) -> None:
    stored = WeightFormat(4, 32, 16, 4)
    both = weights_bytes(ModelShape(first + second, kept + more), stored)
    parts = weights_bytes(ModelShape(first, kept), stored) + weights_bytes(ModelShape(second, more), stored)
    assert math.isclose(both, parts)


def test_a_row_that_no_group_divides_ends_in_a_smaller_one() -> None:
    assert WeightFormat(4, 64, 16).scales(10, 130) == 30
    assert WeightFormat(4, "row", 16).scales(10, 130) == 10
    assert WeightFormat(4, "matrix", 16).scales(10, 130) == 1
    assert WeightFormat(4).scales(10, 130) == 0


def test_kept_weights_bound_the_saving() -> None:
    shape = ModelShape(((100, 100),), kept=10_000)
    assert shape.kept_fraction == 0.5
    assert weights_bytes(shape, WeightFormat(1e-9)) / weights_bytes(shape, BF16) == pytest.approx(0.5)


def test_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="bits must be a number > 0 and <= 64, got 0"):
        WeightFormat(0)
    with pytest.raises(InvalidValueError, match="group must be given where there are scales, got None"):
        WeightFormat(4, None, 16)
    with pytest.raises(UnknownNameError, match="unknown group 'rows'; did you mean 'row'"):
        WeightFormat(4, "rows", 16)
    with pytest.raises(InvalidValueError, match="group must be a whole number >= 1, got 0"):
        WeightFormat(4, 0, 16)
    with pytest.raises(InvalidValueError, match="rows must be a whole number >= 1, got 0"):
        ModelShape(((0, 3),))
    with pytest.raises(InvalidValueError, match="matrices must be given, or kept weights"):
        ModelShape(())
    with pytest.raises(InvalidValueError, match="kept_bits must be a number > 0"):
        weights_bytes(ModelShape((), 3), BF16, 0)
    with pytest.raises(InvalidValueError, match="layers must be a whole number >= 1, got 0"):
        kv_cache_bytes(0, 8, 128, 1)
    with pytest.raises(InvalidValueError, match="tokens must be a number >= 0, got -1"):
        kv_cache_bytes(1, 8, 128, -1)
