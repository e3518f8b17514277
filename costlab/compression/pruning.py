"""Pruning: the least weights become zero. What that saves depends on who skips the zeros."""

from __future__ import annotations

import copy
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression.instruments import measured_bytes, measured_disk_bytes, progress_bar, tensors_of
from costlab.compression.quantization import Availability, linear_layers, replace_layer, tried, usable_device
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError, SchemeUnavailableError

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedTokenizerBase

    from costlab.compression.models import PackagedModel

Model = TypeVar("Model", bound="torch.nn.Module")

#: Which weights may become zero together.
#:
#: :meta hide-value:
PATTERNS: Final = {
    "unstructured": "the least weights of each matrix, wherever they stand",
    "structured": "the rows of each matrix whose weights are least together, that is whole outputs",
    "2:4": "two of every four neighbours in a row, which the sparse kernels of newer GPUs can skip",
}

#: An index and a row's start in a CSR matrix, in bytes.
INDEX_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedSizes:
    """Bytes of a pruned model, stored in several ways.

    Attributes
    ----------
    dense_bytes, file_bytes : int
        In memory, zeros and all (while masks are attached: the weights, their masks and the product of both); and as a
        file that torch writes.
    packed_bytes : int
        The weights through zlib, as gzip would have them, at its fastest level.
    csr_bytes : int
        The matrices as their non-zero weights with an index of 4 bytes each, the rest as it is.
    """

    dense_bytes: int
    file_bytes: int
    packed_bytes: int
    csr_bytes: int


def prune(model: Model, fraction: float = 0.5, *, pattern: str = "unstructured", in_place: bool = False) -> Model:
    """A model with masks on its linear layers: a share of their weights counts as zero.

    The masks are those of ``torch.nn.utils.prune``: it can be trained further, and what is pruned stays so;
    :func:`make_permanent` takes them off.

    Parameters
    ----------
    model : torch.nn.Module
        The model; it stays as it is, unless `in_place`.
    fraction : float
        Share of each matrix to mask, in [0, 1); 0.5 for ``2:4``, which knows nothing else.
    pattern : str
        A name of ``costlab.compression.PATTERNS``. The weights of least size go; of rows, those of least length.
    in_place : bool
        Change the model instead of a copy.

    Raises
    ------
    InvalidValueError
        If the model has masks already or no linear layers, or a row cannot be divided into fours.

    Notes
    -----
    Embeddings, norms, biases and an output matrix that is the embedding stay as they are. Size is a crude measure of
    what a weight does: SparseGPT and Wanda look at the inputs too.

    References
    ----------
    Han et al. (2015), Learning both Weights and Connections, https://arxiv.org/abs/1506.02626; Mishra et al. (2021),
    Accelerating Sparse Deep Neural Networks (2:4), https://arxiv.org/abs/2104.08378; Frantar and Alistarh (2023),
    SparseGPT, https://arxiv.org/abs/2301.00774

    Examples
    --------
    Does a model become smaller when nine tenths of its weights are zero?

    >>> import torch
    >>> dense = torch.nn.Sequential(torch.nn.Linear(512, 512))
    >>> pruned = make_permanent(prune(dense, 0.9))
    >>> round(sparsity_fraction(pruned), 2), measured_bytes(pruned) == measured_bytes(dense)
    (0.9, True)
    """
    with extra("models"):
        from torch.nn.utils import prune as masks
    checks.one_of("pattern", pattern, PATTERNS)
    share = checks.fraction("fraction", fraction, one=False)
    if pattern == "2:4" and share != 0.5:
        raise InvalidValueError("fraction", "0.5 for the pattern 2:4", fraction)
    if any(masks.is_pruned(layer) for _, layer in linear_layers(model)):
        raise InvalidValueError("model", "one without masks; make them permanent first", type(model).__name__)
    changed = model if in_place else copy.deepcopy(model)
    layers = [layer for _, layer in linear_layers(changed)]
    if not layers:
        raise InvalidValueError("model", "one with linear layers", type(model).__name__)
    for layer in layers:
        if pattern == "unstructured":
            masks.l1_unstructured(layer, "weight", amount=share)
        elif pattern == "structured":
            masks.ln_structured(layer, "weight", amount=share, n=2, dim=0)
        else:
            masks.custom_from_mask(layer, "weight", _two_of_four(layer.weight))
    return changed


def _two_of_four(weight: torch.Tensor) -> torch.Tensor:
    import torch

    rows, columns = weight.shape
    if columns % 4:
        raise InvalidValueError("columns", "a multiple of 4 for the pattern 2:4", columns)
    fours = weight.detach().abs().reshape(rows, columns // 4, 4)
    kept = fours.topk(2, dim=-1).indices
    return torch.zeros_like(fours).scatter_(-1, kept, 1.0).reshape(rows, columns)


def make_permanent(model: Model) -> Model:
    """What :func:`prune` made without its masks: what they hid is zero now. The model is changed itself."""
    with extra("models"):
        from torch.nn.utils import prune as masks
    masked = [layer for _, layer in linear_layers(model) if masks.is_pruned(layer)]
    if not masked:
        raise InvalidValueError("model", "one with masks", type(model).__name__)
    for layer in masked:
        masks.remove(layer, "weight")
    return model


def sparsity_fraction(model: torch.nn.Module, *, whole: bool = False) -> float:
    """Share of the linear layers' weights that are zero, masked ones counted.

    With `whole` of all weights of the model, embeddings too: that is what a smaller file could save at most.
    """
    matrices = [layer.weight for _, layer in linear_layers(model)]
    if not matrices:
        raise InvalidValueError("model", "one with linear layers", type(model).__name__)
    zeros = sum(int((matrix == 0).sum()) for matrix in matrices)
    counted = model.parameters() if whole else matrices
    return zeros / sum(int(weights.numel()) for weights in counted)


def pruned_sizes(model: torch.nn.Module) -> PrunedSizes:
    """Bytes of a pruned model, with masks or without, dense and compressed.

    Examples
    --------
    At which share of zeros does CSR begin to pay, if an index takes as much as a weight?

    >>> import torch
    >>> half = pruned_sizes(make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(1024, 1024)), 0.5)))
    >>> round(half.csr_bytes / half.dense_bytes, 2)
    1.0
    """
    hidden = sum(buffer.numel() * buffer.element_size() for name, buffer in model.named_buffers() if "_mask" in name)
    return PrunedSizes(
        dense_bytes=measured_bytes(model) + 2 * hidden,  # a mask is as wide as its weights, and so is their product
        file_bytes=measured_disk_bytes(model),
        packed_bytes=_packed_bytes(model),
        csr_bytes=_csr_bytes(model),
    )


def _packed_bytes(model: torch.nn.Module) -> int:
    import torch

    squeeze = zlib.compressobj(1)
    taken: set[int] = set()
    total = 0
    effective = {id(getattr(layer, "weight_orig", layer.weight)): layer.weight for _, layer in linear_layers(model)}
    for tensor in tensors_of(model):
        if tensor.data_ptr() in taken:
            continue
        taken.add(tensor.data_ptr())
        plain = effective.get(id(tensor), tensor).detach().cpu().contiguous()
        total += len(squeeze.compress(plain.view(torch.uint8).reshape(-1).numpy().tobytes()))
    return total + len(squeeze.flush())


def _csr_bytes(model: torch.nn.Module) -> int:
    total = measured_bytes(model)
    for _, layer in linear_layers(model):
        weight = layer.weight
        full = weight.numel() * weight.element_size()
        stored = int((weight != 0).sum()) * (weight.element_size() + INDEX_BYTES) + (len(weight) + 1) * INDEX_BYTES
        total += stored - full
    return total


#: Ways to multiply with a matrix of many zeros.
#:
#: :meta hide-value:
KERNELS: Final = {
    "csr": "only the weights that are not zero, each with its column, on the CPU",
    "semi-structured": "two of every four weights, by the sparse tensor cores of GPUs from Ampere on",
}

#: The first NVIDIA generation with sparse tensor cores: compute capability 8.0, Ampere.
FIRST_CAPABILITY: Final = (8, 0)


def with_sparse_kernel(model: torch.nn.Module, kernel: str, *, device: str | None = None) -> torch.nn.Module:
    """A copy of a pruned model whose linear layers skip their zeros, without gradients; ``semi-structured`` is in bf16.

    Parameters
    ----------
    model : torch.nn.Module
        Pruned and made permanent; for ``semi-structured`` in the pattern 2:4.
    kernel : str
        A name of ``costlab.compression.KERNELS``.
    device : {'cpu', 'cuda'}, optional
        Where it will run; by default the GPU if there is one.

    Raises
    ------
    SchemeUnavailableError
        If the device has no such kernel; the message says why.

    References
    ----------
    PyTorch (2023), Accelerating Neural Network Training with Semi-Structured (2:4) Sparsity,
    https://pytorch.org/blog/accelerating-neural-network-training/

    Examples
    --------
    Does it compute the same?

    >>> import torch
    >>> pruned = make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(64, 64)), 0.9))
    >>> sparse, x = with_sparse_kernel(pruned, "csr", device="cpu"), torch.randn(8, 64)
    >>> torch.allclose(sparse(x), pruned(x), atol=1e-5)
    True
    """
    checks.one_of("kernel", kernel, KERNELS)
    device = usable_device(device)
    with extra("models"):
        import torch
    reason = _refusal(kernel, device)
    if reason:
        raise SchemeUnavailableError(kernel, device, reason)
    changed = copy.deepcopy(model).eval().requires_grad_(False)
    if kernel == "semi-structured":
        changed = changed.to(device, torch.bfloat16)
        for _, layer in linear_layers(changed):
            layer.weight = torch.nn.Parameter(torch.sparse.to_sparse_semi_structured(layer.weight), requires_grad=False)
        return changed
    for name, layer in list(linear_layers(changed)):
        replace_layer(changed, name, _compressed_rows(layer))
    return changed


def _refusal(kernel: str, device: str) -> str:
    if kernel == "csr":
        return "" if device == "cpu" else "costlab measures it on the CPU; on a GPU it is slower than zeros and all"
    if device == "cpu":
        return "its kernels are for CUDA only"
    from torch.cuda import get_device_capability

    has = get_device_capability()
    return "" if has >= FIRST_CAPABILITY else f"compute capability {has[0]}.{has[1]} has no sparse tensor cores"


def _compressed_rows(layer: torch.nn.Linear) -> torch.nn.Module:
    import torch

    class CompressedRows(torch.nn.Module):
        """A linear layer whose matrix is kept as CSR with indices of 4 bytes."""

        def __init__(self) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that CSR is in beta
                rows = layer.weight.detach().to_sparse_csr()
                narrow = torch.sparse_csr_tensor(
                    rows.crow_indices().int(), rows.col_indices().int(), rows.values(), size=rows.shape
                )
            self.weight = torch.nn.Parameter(narrow, requires_grad=False)
            self.bias = layer.bias

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """Inputs times the matrix."""
            columns = inputs.reshape(-1, inputs.shape[-1]).t()
            product = (self.weight @ columns).t().reshape(*inputs.shape[:-1], -1)
            return product if self.bias is None else product + self.bias

    return CompressedRows()


def available_kernels(device: str | None = None) -> tuple[Availability, ...]:
    """Which of ``KERNELS`` run on a device, by default the GPU, tried on a small layer; and why the others do not."""
    device = usable_device(device)
    with extra("models"):
        import torch
    layer = make_permanent(prune(torch.nn.Sequential(torch.nn.Linear(256, 256)), 0.5, pattern="2:4"))
    dtype = torch.bfloat16 if device == "cuda" else torch.float32

    def attempt(kernel: str) -> Availability:
        return tried(kernel, device, dtype, lambda: with_sparse_kernel(layer, kernel, device=device))

    return tuple(attempt(kernel) for kernel in KERNELS)


def recover(
    pruned: torch.nn.Module,
    original: PackagedModel,
    *,
    texts: Sequence[str] | None = None,
    steps: int = 60,
    batch: int = 16,
    learning_rate: float = 2e-4,
    seed: int = 0,
    progress: bool = False,
) -> tuple[float, ...]:
    r"""Train a pruned model, its masks attached, to answer as the model it was; it is changed itself.

    The loss is the distance from that teacher: of an encoder :math:`1 - \cos`, of its sentence vectors; of a language
    model :math:`\mathrm{KL}` of its next tokens. No label is needed. Returned is the loss of each step, before its
    update.

    Parameters
    ----------
    pruned, original : torch.nn.Module, PackagedModel
        What :func:`prune` made of the model; and the model before, the teacher, with its tokenizer.
    texts : sequence of str, optional
        What both read; by default the support queries of the part ``train``.
    steps, batch : int
        Updates, and texts of each; >= 1.
    learning_rate : float
        Of AdamW, > 0; it falls to zero in a straight line.
    seed, progress : int, bool
        Of the order of the texts; and whether to show a bar on stderr.

    Raises
    ------
    InvalidValueError
        If the loss is no longer a number.
    """
    with extra("models"):
        import torch
    checks.integer("steps", steps, at_least=1)
    checks.integer("batch", batch, at_least=1)
    checks.positive("learning_rate", learning_rate)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed))
    if texts is None:
        texts = [query.text for query in support_queries().split("train")]
    if not texts:
        raise InvalidValueError("texts", "not empty", texts)
    distance = _vector_distance if original.kind == "encoder" else _token_distance
    device = next(pruned.parameters()).device
    teacher = original.model.to(device)
    optimizer = torch.optim.AdamW(pruned.parameters(), lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
    losses = []
    with progress_bar(progress, steps, "fine-tuning") as advance:
        for _ in range(steps):
            which = torch.randint(len(texts), (batch,), generator=generator).tolist()
            tokens = _tokens(original.tokenizer, [texts[k] for k in which]).to(device)
            loss = distance(pruned, teacher, tokens)
            losses.append(float(loss.detach()))
            if losses[-1] != losses[-1]:
                raise InvalidValueError("learning_rate", "smaller: the loss is no number", learning_rate)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(f"loss {losses[-1]:.4g}")
    pruned.eval()
    return tuple(losses)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> BatchEncoding:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokens: BatchEncoding = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    return tokens


def _vector_distance(pruned: torch.nn.Module, teacher: torch.nn.Module, tokens: BatchEncoding) -> torch.Tensor:
    import torch

    def vectors(model: torch.nn.Module) -> torch.Tensor:
        states: torch.Tensor = model(**tokens).last_hidden_state
        mask: torch.Tensor = tokens["attention_mask"]
        return (states * mask.unsqueeze(-1)).sum(1)

    with torch.no_grad():
        wanted = vectors(teacher)
    return 1.0 - torch.nn.functional.cosine_similarity(vectors(pruned), wanted).mean()


def _token_distance(pruned: torch.nn.Module, teacher: torch.nn.Module, tokens: BatchEncoding) -> torch.Tensor:
    import torch

    seen = tokens["attention_mask"].bool()
    with torch.no_grad():
        wanted = teacher(**tokens).logits[seen].log_softmax(-1)
    answered = pruned(**tokens).logits[seen].log_softmax(-1)
    return torch.nn.functional.kl_div(answered, wanted, reduction="batchmean", log_target=True)
