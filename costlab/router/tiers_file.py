"""The file that describes a cascade: its keys and their checks, and the cascade with its models made from it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from costlab._internal.plain_files import open_plain
from costlab._internal.toml_tables import NonNegative, Positive, parse_table, read_text
from costlab.catalog import ApiPrice, ApiSnapshot, api_price
from costlab.errors import CostlabError, MissingExtraError, MissingModelError
from costlab.router.cascade import Cascade
from costlab.router.models.classifiers import ClassifierModel, EmbeddingModel
from costlab.router.models.endpoint import DEFAULT_VARIABLE, EndpointModel
from costlab.router.models.protocol import Model, ModelError, Prediction, ScriptedModel, TokenUsage, Workers
from costlab.router.tiers import Tier

if TYPE_CHECKING:
    from costlab.router.models.fitted import Arrays

#: Keys whose values no error repeats: they may hold a password, or a key that was put in the place of its variable.
UNSHOWN: Final = ("base_url", "key_variable", "parameters")
#: More tiers than anyone runs; with gates, the ways through a cascade double with each.
MAX_TIERS: Final = 12

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]


class TiersFileError(CostlabError, ValueError):
    """A file of tiers that cannot be used; the message names the file, the key and what it should be."""


class _StrictTable(BaseModel):
    # Strict: "0.9" is a text and true is no number, also where Python would take them for one.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PriceTable(_StrictTable):
    """The keys of ``price``: a model of the catalogue, or rates of one's own; see :class:`costlab.catalog.ApiPrice`."""

    model: Text | None = None
    provider: Text | None = None
    as_of: str | date | None = None
    service_tier: Literal["standard", "batch", "flex", "priority"] = "standard"
    discount_fraction: Fraction = 0.0
    input_usd_per_mtok: NonNegative | None = None
    output_usd_per_mtok: NonNegative | None = None
    cached_input_usd_per_mtok: NonNegative | None = None
    cache_write_usd_per_mtok: NonNegative | None = None
    cache_write_1h_usd_per_mtok: NonNegative | None = None
    audio_input_usd_per_mtok: NonNegative | None = None
    cached_audio_input_usd_per_mtok: NonNegative | None = None
    image_input_usd_per_mtok: NonNegative | None = None
    reasoning_usd_per_mtok: NonNegative | None = None
    audio_output_usd_per_mtok: NonNegative | None = None
    image_output_usd_per_mtok: NonNegative | None = None
    usd_per_request: NonNegative = 0.0
    usd_per_search: NonNegative | None = None


class GateTable(_StrictTable):
    """The keys of ``gate``: the tier is tried on queries of at most this many words."""

    max_words: Some
    usd_per_request: NonNegative = 0.0

    def lets_through(self, query: str) -> bool:
        """Whether the tier is tried."""
        return len(query.split()) <= self.max_words


class SimulationTable(_StrictTable):
    """The keys of ``simulation``: what :class:`costlab.router.Stage` needs, as measured on one's own traffic."""

    pass_fraction: Fraction | None = None
    skip_fraction: Fraction = 0.0
    latency_s: NonNegative | None = None
    quality_fraction: Fraction | None = None
    input_tokens: NonNegative | None = None
    output_tokens: NonNegative = 0.0
    cached_input_tokens: NonNegative = 0.0
    cache_write_tokens: NonNegative = 0.0
    cache_write_1h_tokens: NonNegative = 0.0
    reasoning_tokens: NonNegative = 0.0
    searches: NonNegative = 0.0

    def usd(self, price: ApiPrice) -> float:
        """What a mean request costs at an API."""
        names = ("cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "searches")
        parts = {name: count for name in names if (count := getattr(self, name))}
        return price.usd(self.input_tokens or 0.0, self.output_tokens, self.cached_input_tokens, **parts)


class ScriptedAnswer(_StrictTable):
    """One of a scripted model's ``answers``."""

    query: str
    answer: str
    confidence: Fraction


class ScriptedTable(_StrictTable):
    """The keys of a ``model`` of kind ``scripted``: what it says to some queries, and to all others."""

    kind: Literal["scripted"]
    answer: str | None = None
    confidence: Fraction = 0.5
    answers: tuple[ScriptedAnswer, ...] = Field(default=(), strict=False)
    input_tokens: Count = 0
    output_tokens: Count = 0
    latency_s: NonNegative = 0.0


class TrainedTable(_StrictTable):
    """The keys of a ``model`` of kind ``sklearn`` or ``minilm``: a classifier that is trained when it is loaded."""

    kind: Literal["sklearn", "minilm"]
    training: Text | None = None
    dataset: Literal["support"] | None = None
    text_column: Text = "text"
    label_column: Text = "label"
    c: Positive = 10.0


class OpenAiTable(_StrictTable):
    """The keys of a ``model`` of kind ``openai``; see :class:`costlab.router.EndpointModel`.

    TOML has no None: ``key_variable = ""`` is a server without a key, and ``max_tokens = 0`` asks for no limit.
    Neither error messages nor ``repr`` repeat what is in the address, the name of the variable or the parameters.
    """

    kind: Literal["openai"]
    model: Text
    base_url: Text = Field(default="https://api.openai.com/v1", repr=False)
    key_variable: str = Field(default=DEFAULT_VARIABLE, repr=False)
    system: str = ""
    max_tokens: Count = 256
    logprobs: bool = True
    timeout_s: Positive = 30.0
    retries: Count = 2
    usage_required: bool = True
    parameters: dict[str, Any] = Field(default={}, repr=False)
    max_answer_bytes: Some = 2 * 2**20


class TierTable(_StrictTable):
    """The keys of ``[[tier]]``; see :class:`costlab.router.Tier`."""

    name: Text
    usd_per_request: NonNegative | None = None
    price: PriceTable | None = None
    min_confidence: Fraction = 0.0
    timeout_s: Positive | None = None
    abandoned_usd_per_request: NonNegative | None = None
    gate: GateTable | None = None
    simulation: SimulationTable = SimulationTable()
    model: Annotated[ScriptedTable | TrainedTable | OpenAiTable, Field(discriminator="kind")] | None = None


class CacheTable(_StrictTable):
    """The keys of ``[cache]``, which the simulation alone uses."""

    hit_rate_fraction: Fraction
    usd_per_lookup: NonNegative = 0.0
    latency_s: NonNegative | None = None
    quality_fraction: Fraction | None = None


class OutcomesTable(_StrictTable):
    """The keys of ``[outcomes]``: labelled queries, as :meth:`costlab.router.Outcomes.from_csv` reads them."""

    path: Text


class CascadeTable(_StrictTable):
    """The keys of ``[cascade]``."""

    deadline_s: Positive | None = None


class FileTable(_StrictTable):
    """The tables of a file."""

    tier: tuple[TierTable, ...] = Field(strict=False)
    cascade: CascadeTable = CascadeTable()
    cache: CacheTable | None = None
    outcomes: OutcomesTable | None = None


_MODELS: Final[dict[str, type[BaseModel]]] = {
    "scripted": ScriptedTable, "sklearn": TrainedTable, "minilm": TrainedTable, "openai": OpenAiTable
}  # fmt: skip
_TABLES: Final[dict[str, type[BaseModel]]] = {
    "tier": TierTable, "cascade": CascadeTable, "cache": CacheTable, "outcomes": OutcomesTable,
    "price": PriceTable, "gate": GateTable, "simulation": SimulationTable, "answers": ScriptedAnswer, **_MODELS
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TiersFile:
    """A cascade as a file describes it.

    Attributes
    ----------
    name, folder : str, pathlib.Path
        What error messages call the file, and where paths in it begin.
    keys, prices : FileTable, tuple of float or ApiPrice
        Its tables, and what each tier asks for.
    """

    name: str
    folder: Path
    keys: FileTable
    prices: tuple[float | ApiPrice, ...]

    def error(self, message: str) -> TiersFileError:
        """An error that names the file."""
        return TiersFileError(f"{self.name}: {message}")


def parse_tiers(text: str, name: str = "the tiers", folder: Path = Path()) -> TiersFile:
    r"""A cascade from the text of a TOML file.

    Error messages call it `name`, and paths in it begin at `folder`.

    Raises
    ------
    TiersFileError
        If the text is no TOML, a key is missing, unknown or has a value that it may not have, or a price is not in the
        catalogue.

    Examples
    --------
    >>> file = parse_tiers('[[tier]]\nname = "large"\nprice = { model = "gpt-4o", as_of = "2026-01-01" }\n')
    >>> file.prices[0].usd(400, output_tokens=200)
    0.003
    """
    keys = parse_table(FileTable, text, name, "a file of tiers", TiersFileError, _keys_beside, tuple(_MODELS), UNSHOWN)
    names = [tier.name for tier in keys.tier]
    if not 1 <= len(names) <= MAX_TIERS:
        raise TiersFileError(f"{name}: tier must be there 1 to {MAX_TIERS} times, got {len(names)}")
    if len({*names, "cache"}) <= len(names):
        raise TiersFileError(f"{name}: tier.name must be used once and never be 'cache', got {names!r}")
    return TiersFile(name, folder, keys, tuple(_price(name, i, tier) for i, tier in enumerate(keys.tier, 1)))


def load_tiers(path: str | Path) -> TiersFile:
    """A cascade from a TOML file; paths in it begin at its folder.

    Raises
    ------
    TiersFileError
        If the file is not UTF-8, or as :func:`parse_tiers`.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    return parse_tiers(read_text(path, TiersFileError), path.name, path.parent)


def example_tiers() -> str:
    """The text of the file that the package ships: the source lesson's cascade."""
    return (files("costlab.router") / "example_tiers.toml").read_text(encoding="utf-8")


def _keys_beside(place: tuple[int | str, ...]) -> tuple[str, ...]:
    inner = [part for part in place[:-1] if isinstance(part, str)]
    return tuple((_TABLES[inner[-1]] if inner else FileTable).model_fields)


def _price(name: str, number: int, tier: TierTable) -> float | ApiPrice:
    place, rates = f"{name}: tier.{number}", tier.price
    if (tier.usd_per_request is None) == (rates is None):
        got = "neither" if rates is None else "both"
        raise TiersFileError(f"{place} must have usd_per_request or price, got {got}")
    if rates is None:
        return tier.usd_per_request or 0.0
    if (rates.model is None) == (rates.input_usd_per_mtok is None):
        got = "neither" if rates.model is None else "both"
        raise TiersFileError(f"{place}.price must have model or input_usd_per_mtok, got {got}")
    if rates.model is not None:
        try:
            price = api_price(rates.model, rates.provider, rates.as_of, rates.service_tier)
        except CostlabError as error:
            raise TiersFileError(f"{place}.price: {error}") from error
        return price.discounted(rates.discount_fraction)
    given = rates.model_dump(exclude={"model", "provider", "as_of", "discount_fraction"})
    price = ApiPrice(
        model=tier.name,
        provider=name,
        **given,
        as_of=date.min,
        snapshot=ApiSnapshot("", date.min, dated=False),
        source_url="",
        note="given in the file",
    )
    return price.discounted(rates.discount_fraction)


@asynccontextmanager
async def open_cascade(
    file: TiersFile, *, on_training: Callable[[str], object] = lambda tier: None, **settings: Any
) -> AsyncIterator[Cascade]:
    """A cascade with the models of a file: trained, or connected, and disconnected at the end.

    Further settings are those of :class:`costlab.router.Cascade`. With a `cache` among them, which is asked first,
    classifiers are loaded when they are needed.

    A classifier that was fitted is kept in the user's folder for caches (``COSTLAB_CACHE_DIR`` names another), under a
    hash of its data, its parameters and the versions of the libraries: numbers alone, which run nothing when they are
    read. It is loaded without scikit-learn.

    Parameters
    ----------
    file : TiersFile
        What :func:`load_tiers` gives.
    on_training : callable
        Called with the name of a tier whose classifier must be trained, before it is.

    Raises
    ------
    TiersFileError
        If a tier has no model, or its model cannot be made as the file says.
    MissingExtraError, MissingModelError
        If a library or a packaged model that it needs is not installed.
    """
    async with AsyncExitStack() as stack:
        tiers = []
        for number, (table, price) in enumerate(zip(file.keys.tier, file.prices, strict=True), 1):
            if table.model is None:
                raise file.error(f"tier.{number}.model is missing; every tier needs one to answer")
            try:
                told = partial(on_training, table.name)
                model = _model(file, table.model, told, lazy=settings.get("cache") is not None)
            except (MissingExtraError, MissingModelError):
                raise
            except CostlabError as error:
                raise file.error(f"tier.{number}.model: {error}") from error
            if isinstance(model, EndpointModel):
                stack.push_async_callback(model.aclose)
            tiers.append(
                Tier(
                    name=table.name,
                    model=model,
                    price=price,
                    min_confidence=table.min_confidence,
                    gate=None if table.gate is None else table.gate.lets_through,
                    gate_usd_per_request=0.0 if table.gate is None else table.gate.usd_per_request,
                    timeout_s=table.timeout_s,
                    abandoned_usd_per_request=table.abandoned_usd_per_request,
                )
            )
        yield Cascade(tiers, **{"deadline_s": file.keys.cascade.deadline_s, **settings})


def _model(
    file: TiersFile, table: ScriptedTable | TrainedTable | OpenAiTable, on_training: Callable[[], object], *, lazy: bool
) -> Model:
    if isinstance(table, ScriptedTable):
        return _scripted(table)
    if isinstance(table, OpenAiTable):
        settings = table.model_dump(exclude={"kind", "key_variable", "max_tokens"})
        return EndpointModel(**settings, key_variable=table.key_variable or None, max_tokens=table.max_tokens or None)
    if find_spec("sklearn") is None:
        raise MissingExtraError("sklearn", "router")
    if not lazy:
        return _trained(file, table, on_training)
    _labelled(file, table)  # what is wrong with it is said now
    return _LoadedWhenAsked(lambda: _trained(file, table, on_training))


def _scripted(table: ScriptedTable) -> ScriptedModel:
    usage = TokenUsage(table.input_tokens, 0, table.output_tokens)
    answers = {known.query: Prediction(known.answer, known.confidence, usage) for known in table.answers}

    def answer(query: str) -> Prediction | ModelError:
        if query in answers:
            return answers[query]
        if table.answer is None:
            return ModelError("the script has no answer to this")
        return Prediction(table.answer, table.confidence, usage)

    return ScriptedModel(answer, table.latency_s)


def _trained(file: TiersFile, table: TrainedTable, on_training: Callable[[], object]) -> ClassifierModel:
    """The classifier of a table: kept from an earlier time, or trained."""
    from costlab.router.models.fitted import LinearClassifier, WordClassifier, fit_on_vectors, fit_on_words, kept

    texts, labels = _labelled(file, table)
    key = (table.kind, repr(table.c), *texts, *labels)
    if table.kind == "sklearn":

        def on_words() -> Arrays:
            on_training()
            try:
                return fit_on_words(table.c, texts, labels)
            except ValueError as error:  # nothing but stop words and single letters
                raise CostlabError(f"nothing to learn from: {error}") from error

        return ClassifierModel(kept(key, on_words, WordClassifier))
    from costlab.cache.semantic import PackagedMiniLm

    encoder = PackagedMiniLm()

    def on_vectors() -> Arrays:
        on_training()
        return fit_on_vectors(table.c, encoder.embed(texts), labels)

    return EmbeddingModel(encoder, kept(key, on_vectors, LinearClassifier))


class _LoadedWhenAsked:
    """A model that is loaded, or trained, when it is asked for the first time."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = cache(load)
        self._workers = Workers(1)

    async def predict(self, query: str) -> Prediction:
        """What the model answers."""
        return await (await self._workers.run(self._load)).predict(query)


def _labelled(file: TiersFile, table: TrainedTable) -> tuple[list[str], list[str]]:
    """Texts and their labels."""
    if (table.training is None) == (table.dataset is None):
        raise CostlabError(f"must have training or dataset, got {'neither' if table.training is None else 'both'}")
    if table.training is None:
        from costlab.datasets import support_queries

        queries = support_queries().split("train", in_scope=True)
        return [query.text for query in queries], [query.intent for query in queries]
    path, columns = file.folder / table.training, (table.text_column, table.label_column)
    try:
        with io.TextIOWrapper(open_plain(path, CostlabError), "utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise CostlabError(f"{table.training} has no column {' and '.join(map(repr, missing))}")
            pairs = []
            for row in reader:
                text, label = (row[column] or "" for column in columns)
                if not text.strip() or not label.strip():
                    place = f"{table.training}, line {reader.line_num}"
                    raise CostlabError(f"{place}: must have a text and a label, got {[text, label]}")
                pairs.append((text, label))
    except OSError as error:
        raise CostlabError(f"training: {table.training} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CostlabError(f"{table.training} is not a CSV in UTF-8: {error}") from error
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    if len(set(labels)) < 2:
        raise CostlabError(f"{table.training} must have at least two different labels, got {len(set(labels))}")
    return texts, labels
