"""Published measurements of language models on GPUs, to hold the roofline against."""

import tomllib
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.serving.models import ModelSpec, model_spec

__all__ = ["Measurement", "published_measurements"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row of a published table: a batch of equal requests, run to the end.

    Attributes
    ----------
    source : str
        Short name of the table: ``torchao``, ``gpt-fast``, ``TensorRT-LLM 0.6.1``.
    model, gpu, scheme : str
        What ran, on what, in which number format.
    gpus : int
        GPUs that shared the model.
    bytes_per_weight, bytes_per_kv : float
        Width of a weight, scales included, and of a number in the KV cache.
    precision : str
        Number format of the arithmetic.
    batch : int
        Sequences at a time.
    input_tokens, output_tokens : int
        Length of prompt and answer.
    output_tokens_per_s, ttft_s : float or None
        What was measured: tokens per second of all sequences together, or seconds to the first token.
    checked : datetime.date
        When the table was read.
    source_url, note : str
        Where, and what to know.
    """

    source: str
    model: str
    gpu: str
    scheme: str
    gpus: int = 1
    bytes_per_weight: float
    bytes_per_kv: float = 2.0
    precision: str = "bf16"
    batch: int
    input_tokens: int
    output_tokens: int
    output_tokens_per_s: float | None = None
    ttft_s: float | None = None
    checked: date
    source_url: str
    note: str = ""

    def __post_init__(self) -> None:
        measured = [value for value in (self.output_tokens_per_s, self.ttft_s) if value is not None]
        if len(measured) != 1:
            raise InvalidValueError("output_tokens_per_s, ttft_s", "one measured value", measured)
        checks.positive("measured value", measured[0])

    @property
    def spec(self) -> ModelSpec:
        """The model in the number format that was measured."""
        return replace(model_spec(self.model), bytes_per_weight=self.bytes_per_weight, bytes_per_kv=self.bytes_per_kv)


@cache
def published_measurements(source: str | None = None) -> tuple[Measurement, ...]:
    """All rows, or those of one table.

    Raises
    ------
    UnknownNameError
        If there is no table of that name.

    Examples
    --------
    How much faster than in bf16 did Llama-2-7B run with int8 weights in torchao's table?

    >>> table = [row for row in published_measurements("torchao") if row.model == "Llama-2-7B"]
    >>> rows = {row.scheme: row.output_tokens_per_s for row in table}
    >>> round(rows["int8 weight-only"] / rows["bf16"], 2)
    1.59
    """
    text = (files("costlab.serving") / "measurements.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)["table"]
    rows = tuple(
        Measurement(**{key: value for key, value in table.items() if key != "row"} | row)
        for table in tables
        for row in table["row"]
    )
    if source is None:
        return rows
    checks.one_of("source", source, dict.fromkeys(row.source for row in rows))
    return tuple(row for row in rows if row.source == source)
