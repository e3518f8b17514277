"""From a file of tiers to a cascade that answers."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from costlab._internal.extras import require
from costlab.errors import CostlabError, MissingExtraError, MissingModelError
from costlab.router.cascade import Cascade
from costlab.router.models import (
    ClassifierModel,
    EmbeddingModel,
    EndpointModel,
    Model,
    ModelError,
    Prediction,
    ScriptedModel,
    Usage,
)
from costlab.router.tiers import Tier
from costlab.router.tiers_file import OpenAiTable, ScriptedTable, TrainedTable

if TYPE_CHECKING:
    from costlab.router.tiers import Gate
    from costlab.router.tiers_file import GateTable, TiersFile

__all__ = ["open_cascade"]


@asynccontextmanager
async def open_cascade(file: TiersFile, **settings: Any) -> AsyncIterator[Cascade]:
    """A cascade with the models of a file: trained, or connected, and disconnected at the end.

    Parameters
    ----------
    file : TiersFile
        The file. Each tier needs a model.
    **settings
        As for :class:`costlab.router.Cascade`.

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
                model = _model(file, table.model)
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
                    gate=None if table.gate is None else _gate(table.gate),
                    gate_usd_per_request=0.0 if table.gate is None else table.gate.usd_per_request,
                    timeout_s=table.timeout_s,
                    abandoned_usd_per_request=table.abandoned_usd_per_request,
                )
            )
        yield Cascade(tiers, **{"deadline_s": file.keys.cascade.deadline_s, **settings})


def _gate(table: GateTable) -> Gate:
    return lambda query: len(query.split()) <= table.max_words


def _model(file: TiersFile, table: ScriptedTable | TrainedTable | OpenAiTable) -> Model:
    if isinstance(table, ScriptedTable):
        return _scripted(table)
    if isinstance(table, OpenAiTable):
        settings = table.model_dump(exclude={"kind", "key_variable", "max_tokens"})
        return EndpointModel(**settings, key_variable=table.key_variable or None, max_tokens=table.max_tokens or None)
    require("sklearn", "router")
    texts, labels = _labelled(file, table)
    return _on_words(table, texts, labels) if table.kind == "sklearn" else _on_vectors(table, texts, labels)


def _scripted(table: ScriptedTable) -> ScriptedModel:
    usage = Usage(table.input_tokens, 0, table.output_tokens)
    known = {one.query: Prediction(one.answer, one.confidence, usage) for one in table.answers}

    def answer(query: str) -> Prediction | ModelError:
        if query in known:
            return known[query]
        if table.answer is None:
            return ModelError("the script has no answer to this")
        return Prediction(table.answer, table.confidence, usage)

    return ScriptedModel(answer, table.latency_s)


def _on_words(table: TrainedTable, texts: Sequence[str], labels: Sequence[str]) -> ClassifierModel:
    text, linear = require("sklearn.feature_extraction.text", "router"), require("sklearn.linear_model", "router")
    words = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    try:
        vectors = words.fit_transform(texts)
    except ValueError as error:  # nothing but stop words and single letters
        raise CostlabError(f"nothing to learn from: {error}") from error
    classifier = linear.LogisticRegression(C=table.c, max_iter=1000).fit(vectors, labels)
    return ClassifierModel(require("sklearn.pipeline", "router").make_pipeline(words, classifier))


def _on_vectors(table: TrainedTable, texts: Sequence[str], labels: Sequence[str]) -> EmbeddingModel:
    from costlab.cache.semantic import PackagedMiniLm

    linear, encoder = require("sklearn.linear_model", "router"), PackagedMiniLm()
    classifier = linear.LogisticRegression(C=table.c, max_iter=1000).fit(encoder.embed(texts), labels)
    return EmbeddingModel(encoder, classifier)


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
        with path.open(newline="", encoding="utf-8-sig") as lines:
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
