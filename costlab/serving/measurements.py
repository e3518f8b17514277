"""Published measurements of language models on GPUs: which there are, which is nearest, what the roofline says."""

import math
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Final, Literal, get_args

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog import gpu as gpu_spec
from costlab.errors import InvalidValueError
from costlab.serving.efficiency import Efficiency
from costlab.serving.models import ModelSpec, model_spec
from costlab.serving.throughput import batch_run, capacity, roofline

Kind = Literal["static", "serving", "kernels"]
Phase = Literal["whole", "prefill", "decode"]

#: What a measured value is called, and what it is multiplied with to be shown.
_VALUES: Final = {
    "output_tokens_per_s": ("tokens/s", 1.0),
    "inter_token_s": ("ms a token", 1000.0),
    "ttft_s": ("ms to the first token", 1000.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row of a published table.

    Attributes
    ----------
    source, engine, engine_version : str
        Short name of the table (``torchao``, ``TensorRT-LLM 0.6.1``); what ran the model, and in which version, empty
        where the source does not say.
    kind : str
        ``static``: a batch read and written together. ``serving``: new requests join as others end. ``kernels``: the
        kernels of a step, each timed by itself and added up, which is no run of an engine.
    phase : str
        What the value covers: ``prefill``, ``decode``, or the ``whole`` run.
    model, gpu, gpus, scheme
        What ran, on which GPU and on how many that shared it, in which number format.
    bytes_per_weight, bytes_per_kv, precision
        Width of a weight, scales included, and of a number in the KV cache; number format of the arithmetic.
    batch : int or None
        Sequences at a time; None where the server took as many as it admits.
    input_tokens, output_tokens : int
        Length of prompt and answer.
    output_tokens_per_s, inter_token_s, ttft_s : float or None
        What was measured, one of them: tokens per second of all sequences together, seconds between two tokens of a
        sequence, or seconds to the first token.
    checked, source_url, note
        When and where the table was read, and what to know.
    """

    source: str
    engine: str
    engine_version: str
    kind: Kind
    phase: Phase
    model: str
    gpu: str
    scheme: str
    gpus: int = 1
    bytes_per_weight: float
    bytes_per_kv: float = 2.0
    precision: str = "bf16"
    batch: int | None = None
    input_tokens: int
    output_tokens: int
    output_tokens_per_s: float | None = None
    inter_token_s: float | None = None
    ttft_s: float | None = None
    checked: date
    source_url: str
    note: str = ""

    def __post_init__(self) -> None:
        checks.one_of("kind", self.kind, get_args(Kind))
        checks.one_of("phase", self.phase, get_args(Phase))
        measured = [value for name in _VALUES if (value := getattr(self, name)) is not None]
        if len(measured) != 1:
            raise InvalidValueError(", ".join(_VALUES), "one measured value", measured)
        checks.positive("measured value", measured[0])
        if self.batch is None and self.kind != "serving":
            raise InvalidValueError("batch", "the sequences at a time, unless a server took what it admits", None)

    @property
    def spec(self) -> ModelSpec:
        """The model in the number format that was measured."""
        return replace(model_spec(self.model), bytes_per_weight=self.bytes_per_weight, bytes_per_kv=self.bytes_per_kv)

    @property
    def measured(self) -> float:
        """The measured value, in tokens per second or in seconds; see `value_name`."""
        value: float = getattr(self, self.value_name)
        return value

    @property
    def value_name(self) -> str:
        """Which value was measured, ``output_tokens_per_s``, ``inter_token_s`` or ``ttft_s``."""
        return next(name for name in _VALUES if getattr(self, name) is not None)

    def text(self) -> str:
        """The row as a sentence, with engine, source and day, so that no one takes it for a measurement of one's own.

        Examples
        --------
        What does the book show where no one has measured a T4?

        >>> nearest_measurement("T4", "Qwen2.5-3B", batch=1).text().split(" (")[0]
        'published: Qwen2.5-3B, fp16, on a T4, batch 1, 64 tokens in and 64 out: 39.0 ms a token'
        """
        unit, scale = _VALUES[self.value_name]
        value = self.measured * scale
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        boards = f"{self.gpus} x {self.gpu}" if self.gpus > 1 else f"{_article(self.gpu)} {self.gpu}"
        batch = "as many at a time as fit" if self.batch is None else f"batch {self.batch}"
        lengths = f"{self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        engine = f"{self.engine} {self.engine_version}".strip()
        what = f"kernels of {engine}, added up" if self.kind == "kernels" else f"run with {engine}"
        where = f"{what}; {self.source_url}, read {self.checked.isoformat()}"
        return f"published: {self.model}, {self.scheme}, on {boards}, {batch}, {lengths}: {shown} {unit} ({where})"


def _article(name: str) -> str:
    """How English speaks the name of a GPU: an A100, an H100, an L4, a T4, a B200."""
    return "an" if name[0] in "AHL" else "a"


@cache
def _rows() -> tuple[Measurement, ...]:
    return tuple(
        Measurement(**{key: value for key, value in table.items() if key != "row"} | row)
        for table in shipped_rows("costlab.serving", "measurements.toml", "table")
        for row in table["row"]
    )


def published_measurements(
    source: str | None = None,
    *,
    gpu: str | None = None,
    model: str | None = None,
    kind: str | None = None,
    phase: str | None = None,
) -> tuple[Measurement, ...]:
    """All published measurements, or those of one table, GPU, model, kind and phase.

    Raises
    ------
    UnknownNameError
        If there is no table, GPU, model, kind or phase of that name. A GPU without rows gives none of them.

    Examples
    --------
    How much faster than in bf16 did Llama-2-7B run with int8 weights in torchao's table?

    >>> rows = {row.scheme: row.measured for row in published_measurements("torchao", model="Llama-2-7B")}
    >>> round(rows["int8 weight-only"] / rows["bf16"], 2)
    1.59
    """
    wanted: dict[str, str] = {}
    if source is not None:
        wanted["source"] = checks.one_of("source", source, dict.fromkeys(row.source for row in _rows()))
    if gpu is not None:
        wanted["gpu"] = gpu_spec(gpu).name
    if kind is not None:
        wanted["kind"] = checks.one_of("kind", kind, get_args(Kind))
    if phase is not None:
        wanted["phase"] = checks.one_of("phase", phase, get_args(Phase))
    named = None if model is None else model_spec(model)
    return tuple(
        row
        for row in _rows()
        if (named is None or model_spec(row.model) is named)
        and all(getattr(row, name) == value for name, value in wanted.items())
    )


def nearest_measurement(
    gpu: str,
    model: str | ModelSpec | None = None,
    *,
    bytes_per_weight: float | None = None,
    batch: int | None = None,
    phase: str | None = None,
) -> Measurement | None:
    """The published measurement that comes nearest to what is asked, on that GPU; None where there is none.

    Near is measured in factors of two: of the weights that a token uses, of the bytes a weight takes, of the batch. A
    run of an engine goes before kernels added up (unless it is eight times as far), and one GPU before several.

    Parameters
    ----------
    gpu : str
        The GPU; another one is never near.
    model : str or ModelSpec, optional
        The model; one of another size is taken where there is no row of it. Without one, the size does not matter.
    bytes_per_weight : float, optional
        Width of a weight, by default the model's.
    batch : int, optional
        Sequences at a time, >= 1.
    phase : str, optional
        Only rows of that phase: ``prefill``, ``decode`` or ``whole``.

    Raises
    ------
    UnknownNameError
        If there is no GPU, model or phase of that name.

    Examples
    --------
    Who has measured something like Llama-3.1-8B in fp8 on an H200, for a hundred users?

    >>> row = nearest_measurement("H200", "Llama-3.1-8B", bytes_per_weight=1.0, batch=100)
    >>> (row.engine, row.scheme, row.batch)
    ('SGLang', 'fp8', 128)
    """
    shape = model_spec(model) if isinstance(model, str) else model
    width = bytes_per_weight if bytes_per_weight is not None or shape is None else shape.bytes_per_weight
    if width is not None:
        checks.positive("bytes_per_weight", width)
    if batch is not None:
        checks.integer("batch", batch, at_least=1)

    def distance(row: Measurement) -> tuple[float, bool]:
        far = math.log2(row.gpus) + 3 * (row.kind == "kernels")
        if shape is not None:
            far += abs(math.log2(row.spec.used_parameters / shape.used_parameters))
        if width is not None:
            far += 2 * abs(math.log2(row.bytes_per_weight / width))
        if batch is not None:
            far += 8.0 if row.batch is None else abs(math.log2(row.batch / batch))
        return far, row.model != (shape.name if shape else row.model)

    return min(published_measurements(gpu=gpu, phase=phase), key=distance, default=None)


def modelled(row: Measurement, efficiency: Efficiency | None = None) -> float:
    """What the roofline says of a measured row, in the unit of `row.measured`: tokens per second, or seconds.

    A ``static`` batch is :func:`batch_run`. With ``serving``, the sequences in progress also wait for each other's
    prompts, as in :func:`capacity`; and where the server took as many as it admits, for as many as memory holds.

    Parameters
    ----------
    row : Measurement
        The row.
    efficiency : Efficiency, optional
        How much of the data sheet is reached; by default the measured one of the row's GPU.

    Examples
    --------
    How far is the roofline from torchao's first row, Llama-2-7B in bf16 on an A100?

    >>> row = published_measurements("torchao")[0]
    >>> abs(modelled(row) / row.measured - 1) < 0.2
    True
    """
    on = roofline(row.spec, row.gpu, row.gpus, efficiency, row.precision)
    prompt, answer = row.input_tokens, row.output_tokens
    if row.batch is None:
        found = capacity(on, prompt, answer)
        if found.output_tokens_per_s is None:
            raise InvalidValueError("row", f"a model that fits: {'; '.join(found.reasons)}", row.model)
        return found.output_tokens_per_s
    run = batch_run(on, row.batch, prompt, answer)
    if row.ttft_s is not None:
        return run.ttft_s
    wait = 0.0 if row.kind != "serving" else (row.batch - 1) * on.added_prefill_s(prompt) / answer
    if row.inter_token_s is not None:
        return run.inter_token_s + wait
    # Over the whole run it makes no difference who waited for whose prompt.
    return row.batch / (run.inter_token_s + wait) if row.phase == "decode" else run.output_tokens_per_s
