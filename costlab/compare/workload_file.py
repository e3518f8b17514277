"""The workload file: its keys, their checks, and errors that say where the mistake is."""

from dataclasses import fields
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from costlab._internal.toml_tables import NonNegative, Positive, parse_table, read_text
from costlab.build_vs_buy import ApiOption, Constraints, SelfHostOption
from costlab.errors import CostlabError, InvalidValueError
from costlab.workload import Workload

Fraction = Annotated[float, Field(gt=0, le=1)]
Times = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class WorkloadFileError(CostlabError, ValueError):
    """A workload file that cannot be used; the message names the file, the key and what it should be."""


class _Table(BaseModel):
    # Strict: "50" is a text and true is no number, also where Python would take them for one.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WorkloadTable(_Table):
    """The keys of ``[workload]``; see :class:`costlab.workload.Workload`.

    Of the provider's prompt cache either the shares are given, or what happens: a beginning of `cached_prefix_tokens`
    that all prompts share is written, and how many requests read it before it is written again.
    """

    requests_per_day: NonNegative
    input_tokens: NonNegative
    output_tokens: NonNegative
    cached_input_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    peak_to_mean: Times = 1.0
    images: NonNegative = 0.0
    cache_write_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    cache_write_1h_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    cached_prefix_tokens: NonNegative = 0.0
    reads_per_cache_write: NonNegative | None = None
    cache_lifetime: Literal["5m", "1h"] = "5m"
    reasoning_tokens: NonNegative = 0.0
    audio_input_tokens: NonNegative = 0.0
    audio_output_tokens: NonNegative = 0.0
    searches: NonNegative = 0.0

    def cache_fractions(self) -> dict[str, float]:
        """Shares of the input that are read from the cache, written to it, and written for an hour.

        One request in ``reads_per_cache_write + 1`` writes the prefix, and the others find it there.
        """
        names = ("cached_input_fraction", "cache_write_fraction", "cache_write_1h_fraction")
        shares = {name: getattr(self, name) for name in names}
        if self.reads_per_cache_write is None:
            if self.cached_prefix_tokens:
                raise InvalidValueError("reads_per_cache_write", "given where cached_prefix_tokens is", None)
            return shares
        if any(shares.values()):
            given = ", ".join(name for name, share in shares.items() if share)
            raise InvalidValueError(
                "reads_per_cache_write", f"left out where {given} is given", self.reads_per_cache_write
            )
        if not 0 < self.cached_prefix_tokens <= self.input_tokens:
            requirement = f"above 0 and at most input_tokens ({self.input_tokens:g}), of which they are a part"
            raise InvalidValueError("cached_prefix_tokens", requirement, self.cached_prefix_tokens)
        share, cycle = self.cached_prefix_tokens / self.input_tokens, self.reads_per_cache_write + 1.0
        return {
            "cached_input_fraction": share * self.reads_per_cache_write / cycle,
            "cache_write_fraction": share / cycle,
            "cache_write_1h_fraction": share / cycle if self.cache_lifetime == "1h" else 0.0,
        }


class _Entry(_Table):
    def option_keys(self, option: type[ApiOption | SelfHostOption]) -> dict[str, Any]:
        """Those of its keys that an option has too."""
        return self.model_dump(include={field.name for field in fields(option)})


class ApiEntry(_Entry):
    """The keys of ``[[api]]``; see :func:`costlab.catalog.api_price` and :class:`costlab.build_vs_buy.ApiOption`."""

    model: str
    provider: str | None = None
    quality: str | None = None
    as_of: str | date | None = None
    service_tier: Literal["standard", "batch", "flex", "priority"] = "standard"
    discount_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    upfront_usd: NonNegative = 0.0
    fixed_usd_per_month: NonNegative = 0.0
    weeks_to_production: NonNegative = 2.5
    data_leaves: bool = True
    customizable: bool = False


class SelfHostedEntry(_Entry):
    """The keys of ``[[self_hosted]]``; see :class:`costlab.build_vs_buy.SelfHostOption`.

    ``prefix_cached_fraction`` is the share of the input that the server need not read again; by default the share that
    the workload says an API bills as cached. ``gpus_per_machine`` goes with ``usd_per_gpu_hour`` and says in which
    numbers the GPU is sold; of prices in the catalogue that is known.
    """

    model: str
    weights: Literal["bf16", "fp8", "int8", "int4"] = "bf16"
    gpu: str
    gpus_per_replica: Annotated[int, Field(ge=1)] = 1
    pricing: str = "on_demand"
    snapshot: str = "list"
    provider: str | None = None
    region: str | None = None
    zone: str | None = None
    usd_per_gpu_hour: Positive | None = None
    gpus_per_machine: Annotated[int, Field(ge=1)] | None = None
    requests_per_s: Positive | None = None
    prefix_cached_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    max_sequences: Annotated[int, Field(ge=1)] | None = None
    max_ttft_s: Positive | None = None
    max_inter_token_s: Positive | None = None
    mbu_fraction: Fraction | None = None
    mfu_fraction: Fraction | None = None
    upfront_usd: NonNegative = 0.0
    fixed_usd_per_month: NonNegative = 0.0
    marginal_usd_per_request: NonNegative = 0.0
    weeks_to_production: NonNegative = 19.5
    max_utilization_fraction: Fraction = 0.8
    spare_replicas: Annotated[int, Field(ge=0)] = 0


class ConstraintsTable(_Table):
    """The keys of ``[constraints]``; see :class:`costlab.build_vs_buy.Constraints`."""

    data_must_stay: bool = False
    needs_customization: bool = False
    has_ml_team: bool = True
    deadline_weeks: Positive | None = None
    max_upfront_usd: NonNegative | None = None
    horizon_months: Positive = 36.0
    tie_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1


class UncertaintyTable(_Table):
    """The keys of ``[uncertainty]``: each input may be this many times larger or smaller, >= 1."""

    requests_per_day: Times = 2.0
    tokens: Times = 1.25
    peak: Times = 1.25
    api_price: Times = 1.25
    gpu_price: Times = 1.25
    throughput: Times = 1.5
    people: Times = 1.5


class WorkloadFile(_Table):
    """A whole workload file, checked."""

    workload_table: WorkloadTable = Field(alias="workload")
    api: tuple[ApiEntry, ...] = Field(default=(), strict=False)
    self_hosted: tuple[SelfHostedEntry, ...] = Field(default=(), strict=False)
    constraints_table: ConstraintsTable = Field(default=ConstraintsTable(), alias="constraints")
    uncertainty: UncertaintyTable = UncertaintyTable()

    def workload(self) -> Workload:
        """The traffic as the package's own type."""
        told = {"cached_prefix_tokens", "reads_per_cache_write", "cache_lifetime"}
        return Workload(**self.workload_table.model_dump(exclude=told) | self.workload_table.cache_fractions())

    def constraints(self) -> Constraints:
        """The constraints as the package's own type."""
        return Constraints(**self.constraints_table.model_dump())


def parse_workload(text: str, name: str = "the workload") -> WorkloadFile:
    """A workload file from its text; error messages call it `name`.

    Raises
    ------
    WorkloadFileError
        If the text is no TOML, or a key is missing, unknown or has a value that it may not have.
    """
    file = parse_table(WorkloadFile, text, name, "a workload file", WorkloadFileError, _keys_beside)
    try:
        file.workload()
    except InvalidValueError as error:
        raise WorkloadFileError(f"{name}: workload.{error}") from error
    return file


def _keys_beside(place: tuple[int | str, ...]) -> tuple[str, ...]:
    tables: dict[str, type[BaseModel]] = {
        "workload": WorkloadTable,
        "api": ApiEntry,
        "self_hosted": SelfHostedEntry,
        "constraints": ConstraintsTable,
        "uncertainty": UncertaintyTable,
    }
    return tuple(tables[str(place[0])].model_fields) if len(place) > 1 else tuple(tables)


def load_workload(path: Path) -> WorkloadFile:
    """A workload file, read and checked.

    Raises
    ------
    WorkloadFileError
        If the file is not UTF-8, or as :func:`parse_workload`.
    OSError
        If the file cannot be read.
    """
    return parse_workload(read_text(path, WorkloadFileError), path.name)


def example_workload() -> str:
    """The text of the workload file that the package ships."""
    return (files("costlab.compare") / "example.toml").read_text(encoding="utf-8")
