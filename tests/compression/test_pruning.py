import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from costlab.compression import (
    PATTERNS,
    PackagedModel,
    available_kernels,
    make_permanent,
    measured_bytes,
    prune,
    pruned_sizes,
    recover,
    sparsity_fraction,
    with_sparse_kernel,
)
from costlab.errors import InvalidValueError, SchemeUnavailableError, UnknownNameError
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def torch_library() -> Any:
    needs.extra("torch", "models")
    import torch

    return torch


def dense(rows: int = 128, columns: int = 256) -> Any:
    torch = torch_library()
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(columns, rows), torch.nn.ReLU(), torch.nn.Linear(rows, columns))


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 0.99), st.sampled_from(["unstructured", "structured"]))
def test_the_share_asked_for_is_pruned_and_is_the_least(fraction: float, pattern: str) -> None:
    model = dense(32, 48)
    pruned = prune(model, fraction, pattern=pattern)
    assert sparsity_fraction(model) == 0.0
    assert sparsity_fraction(pruned) == pytest.approx(fraction, abs=0.02)
    before, after = model[0].weight.detach(), pruned[0].weight.detach()
    size = before.abs() if pattern == "unstructured" else before.norm(dim=1, keepdim=True).expand_as(before)
    kept, gone = size[after != 0], size[after == 0]
    assert not len(gone) or not len(kept) or float(gone.max()) <= float(kept.min())


def test_two_of_four_keeps_the_two_largest() -> None:
    torch = torch_library()
    layer = torch.nn.Sequential(torch.nn.Linear(8, 1))
    layer[0].weight.data = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.5, 0.1, -0.2, 0.4]])
    pruned = make_permanent(prune(layer, pattern="2:4"))
    assert pruned[0].weight.tolist() == [[0.0, -4.0, 3.0, 0.0, 0.5, 0.0, 0.0, pytest.approx(0.4)]]


def test_structured_zeros_are_whole_rows() -> None:
    weight = prune(dense(), 0.25, pattern="structured")[0].weight
    assert int((weight == 0).all(1).sum()) == 32


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_masks_make_a_model_larger_and_zeros_alone_save_nothing(pattern: str) -> None:
    model = dense()
    pruned = prune(model, pattern=pattern)
    masked, before = pruned_sizes(pruned), pruned_sizes(model)
    assert masked.file_bytes > 1.8 * before.file_bytes
    assert masked.dense_bytes > 2.8 * before.dense_bytes
    after = pruned_sizes(make_permanent(pruned))
    assert after.dense_bytes == before.dense_bytes
    assert after.file_bytes == before.file_bytes
    assert after.packed_bytes < 0.85 * before.packed_bytes
    assert abs(after.packed_bytes - masked.packed_bytes) < 0.01 * masked.packed_bytes


def test_csr_pays_from_half_on() -> None:
    # An index of 4 bytes beside a weight of 4: twice the bytes for each that is left, so half of them break even.
    model = dense(512, 512)
    sizes = [pruned_sizes(prune(model, share)).csr_bytes / measured_bytes(model) for share in (0.3, 0.5, 0.9)]
    assert sizes[0] > 1.35
    assert sizes[1] == pytest.approx(1.0, abs=0.01)
    assert sizes[2] == pytest.approx(0.2, abs=0.01)


def test_what_is_pruned_stays_so_while_training() -> None:
    torch = torch_library()
    pruned = prune(dense(), 0.7)
    gone = pruned[0].weight == 0
    optimizer = torch.optim.Adam(pruned.parameters(), lr=0.1)
    pruned(torch.randn(16, 256)).square().mean().backward()
    optimizer.step()
    pruned(torch.randn(1, 256))
    assert bool((make_permanent(pruned)[0].weight[gone] == 0).all())


def test_a_kernel_that_skips_zeros_computes_the_same_and_holds_less() -> None:
    torch = torch_library()
    model = make_permanent(prune(dense(512, 512), 0.9))
    sparse = with_sparse_kernel(model, "csr", device="cpu")
    inputs = torch.randn(3, 5, 512)
    assert torch.allclose(sparse(inputs), model(inputs), atol=1e-5)
    assert measured_bytes(sparse) == pytest.approx(pruned_sizes(model).csr_bytes, rel=0.01)
    assert measured_bytes(model) == measured_bytes(dense(512, 512))


def test_semi_structured_needs_a_gpu() -> None:
    torch_library()
    csr, semi = available_kernels("cpu")
    assert (csr.scheme, csr.available, csr.reason) == ("csr", True, "")
    assert (semi.available, semi.reason) == (False, "its kernels are for CUDA only")
    with pytest.raises(SchemeUnavailableError, match="semi-structured does not run on cpu: its kernels are for CUDA"):
        with_sparse_kernel(dense(), "semi-structured", device="cpu")
    with pytest.raises(UnknownNameError, match="unknown kernel 'csc'; did you mean 'csr'"):
        with_sparse_kernel(dense(), "csc", device="cpu")


@pytest.mark.gpu
def test_semi_structured_runs_on_a_gpu_that_has_it() -> None:
    torch = torch_library()
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    semi = available_kernels("cuda")[1]
    assert semi.available == (torch.cuda.get_device_capability() >= (8, 0)), semi.reason


def test_the_output_that_is_the_embedding_stays() -> None:
    torch = torch_library()
    model = torch.nn.ModuleDict({"words": torch.nn.Embedding(10, 8), "inner": torch.nn.Linear(8, 8)})
    model["output"] = torch.nn.Linear(8, 10, bias=False)
    model["output"].weight = model["words"].weight
    pruned = make_permanent(prune(model, 0.5))
    assert bool((pruned["words"].weight != 0).all())
    assert int((pruned["inner"].weight == 0).sum()) == 32
    assert sparsity_fraction(pruned, whole=True) == pytest.approx(32 / (80 + 72))


def test_bad_input() -> None:
    torch = torch_library()
    with pytest.raises(UnknownNameError, match="unknown pattern 'structure'; did you mean 'structured'"):
        prune(dense(), pattern="structure")
    with pytest.raises(InvalidValueError, match="fraction must be a fraction >= 0 and < 1, got 1"):
        prune(dense(), 1)
    with pytest.raises(InvalidValueError, match=r"fraction must be 0\.5 for the pattern 2:4, got 0\.3"):
        prune(dense(), 0.3, pattern="2:4")
    with pytest.raises(InvalidValueError, match="columns must be a multiple of 4 for the pattern 2:4, got 6"):
        prune(torch.nn.Sequential(torch.nn.Linear(6, 2)), pattern="2:4")
    with pytest.raises(InvalidValueError, match="model must be one with linear layers, got 'ReLU'"):
        prune(torch.nn.ReLU())
    with pytest.raises(InvalidValueError, match="model must be one with linear layers, got 'ReLU'"):
        sparsity_fraction(torch.nn.ReLU())
    with pytest.raises(InvalidValueError, match="model must be one with masks, got 'Sequential'"):
        make_permanent(dense())
    with pytest.raises(InvalidValueError, match="model must be one without masks"):
        prune(prune(dense(), 0.3), 0.5)


def small_language_model(found: PackagedModel) -> PackagedModel:
    """The language model's first layer only."""
    model: Any = copy.deepcopy(found.model)
    model.model.layers = model.model.layers[:1]
    return PackagedModel("first layer", "language model", model, found.tokenizer, "test")


def test_fine_tuning_brings_back_what_pruning_took(small_encoder: PackagedModel) -> None:
    pruned = prune(small_encoder.model, 0.7)
    losses = recover(pruned, small_encoder, steps=15, batch=4)
    assert len(losses) == 15
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert sparsity_fraction(pruned) == pytest.approx(0.7, abs=0.001)
    again = recover(prune(small_encoder.model, 0.7), small_encoder, steps=2, batch=4)
    assert again[0] == losses[0]
    with pytest.raises(InvalidValueError, match="texts must be not empty"):
        recover(pruned, small_encoder, texts=[])
    with pytest.raises(InvalidValueError, match="steps must be a whole number >= 1, got 0"):
        recover(pruned, small_encoder, steps=0)


def test_a_language_model_is_tuned_on_its_teachers_tokens(language_model: PackagedModel) -> None:
    found = small_language_model(language_model)
    pruned = prune(found.model, 0.3)
    first, _, last = recover(pruned, found, texts=["How do I share a folder?"], steps=3, batch=1)
    assert last < first
