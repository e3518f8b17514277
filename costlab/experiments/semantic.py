"""What a semantic cache does with real wordings: false hits, what checks refuse, and whether guarantees hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np

from costlab._internal.checks import fraction, integer
from costlab.cache.semantic import (
    DEFAULT_CHECKS,
    STRICT_CHECKS,
    CachingEmbedder,
    Embedder,
    Lookup,
    PackagedMiniLm,
    ParaphraseCheck,
    check_guarantee,
    evaluate_threshold,
    fit_threshold,
    labelled_lookups,
    refusal_reasons,
    unguarded_language,
)
from costlab.cache.semantic.paraphrase import different_signs
from costlab.datasets import IntentQueries, banking77, clinc150, support_queries
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, Row, find_device, library_versions
from costlab.synthetic import reworded

if TYPE_CHECKING:
    from collections.abc import Sequence


def measured_checks(checks: Sequence[ParaphraseCheck]) -> tuple[ParaphraseCheck, ...]:
    """`checks` without those for signs and for other languages: the study is about English words.

    The recording was made without them. They change none of 1,171 look-ups of the support set's test part, 2 of 600 of
    BANKING77 and none of 600 of CLINC150.
    """
    return tuple(check for check in checks if check not in (different_signs, unguarded_language))


#: Paraphrase checks to compare, from none over those that cost few right hits to all.
CHECK_SETS: Final[dict[str, tuple[ParaphraseCheck, ...]]] = {
    "none": (),
    "default": measured_checks(DEFAULT_CHECKS),
    "strict": measured_checks(STRICT_CHECKS),
}

LIMITS: Final = (0.02, 0.05, 0.10)
CACHED: Final = 2000


def support_lookups(
    rng: np.random.Generator,
    embedder: Embedder,
    splits: Sequence[str],
    *,
    repeat_fraction: float,
    checks: Sequence[ParaphraseCheck] = DEFAULT_CHECKS,
    new: int | None = None,
) -> tuple[Lookup, ...]:
    """Look-ups of the support desk: half of the queries are cached, the other half is asked, among repetitions.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides what is cached, and makes the repetitions.
    embedder : Embedder
        Makes vectors.
    splits : sequence of str
        Parts of the set to take queries from.
    repeat_fraction : float
        Share of the look-ups that are cached queries typed again in nearly the same words, in [0, 1); see
        :func:`costlab.synthetic.reworded`. The others are new: paraphrases, other questions, contrast twins.
    checks : sequence of ParaphraseCheck
        What may refuse a hit.
    new : int, optional
        Most queries asked that are no repetitions, >= 1: fewer make a smaller study. By default the whole other half.

    Returns
    -------
    tuple of Lookup
        Right means: of the same intent. An out-of-scope query has no right answer but its own.
    """
    repeated = fraction("repeat_fraction", repeat_fraction, one=False)
    queries = [query for split in splits for query in support_queries().split(split)]
    order = rng.permutation(len(queries)).tolist()
    half = len(queries) // 2
    cached = [(queries[k].text, queries[k].meaning) for k in order[:half]]
    last = None if new is None else half + integer("new", new, at_least=1)
    asked = [(queries[k].text, queries[k].meaning) for k in order[half:last]]
    for k in rng.integers(len(cached), size=round(len(asked) * repeated / (1 - repeated))).tolist():
        text, label = cached[k]
        asked.append((reworded(rng, text), label))
    return labelled_lookups(embedder, cached, asked, checks=checks)


def intent_lookups(
    rng: np.random.Generator,
    embedder: Embedder,
    data: IntentQueries,
    *,
    cached: int = CACHED,
    asked: int = CACHED,
    checks: Sequence[ParaphraseCheck] = DEFAULT_CHECKS,
) -> tuple[Lookup, ...]:
    """Look-ups of a published set: `asked` of its test queries against `cached` of its training queries.

    Right means: of the same intent, which is taken for "needs the same answer", though now and then it is not.
    """
    parts = []
    for split, size in (("train", cached), ("test", asked)):
        queries = data.split(split)
        chosen = rng.permutation(len(queries))[: integer(f"queries of {split}", size, at_least=1)].tolist()
        parts.append([(queries[k].text, queries[k].intent) for k in chosen])
    return labelled_lookups(embedder, parts[0], parts[1], checks=checks)


def check_rows(split: str, seed: int = 4) -> list[Row]:
    """What paraphrase checks refuse in one split of the support set: contrast pairs, as they should, and repetitions.

    Returns
    -------
    list of dict
        For each set of checks and each kind of pair: pairs, and those refused. The kind ``reworded`` has queries
        against themselves, typed again.
    """
    queries = support_queries()
    rng = np.random.default_rng(seed)
    pairs = [(pair.kind, pair.a.text, pair.b.text) for pair in queries.split_pairs(split)]
    pairs += [("reworded", query.text, reworded(rng, query.text)) for query in queries.split(split)]
    rows: list[Row] = []
    for name in ("default", "strict"):
        for kind in dict.fromkeys(kind for kind, _, _ in pairs):
            refused = [bool(refusal_reasons(a, b, CHECK_SETS[name])) for k, a, b in pairs if k == kind]
            counts = {"pairs": len(refused), "refused": sum(refused)}
            rows.append({"what": "guards", "split": split, "guards": name, "kind": kind, **counts})
    return rows


def measure_semantic(
    embedder: Embedder | None = None,
    *,
    splits: Annotated[int, Option("Random divisions of each set.", metavar="N")] = 200,
    seed: Annotated[int, Option("Of everything random.", metavar="SEED")] = 4,
    published: Annotated[bool, Option("CLINC150 and BANKING77 too.")] = True,
) -> Recording:
    """False hits with and without paraphrase checks, and how often fitted thresholds keep their guarantee.

    Parameters
    ----------
    embedder : Embedder, optional
        By default the packaged MiniLM.
    splits, seed : int
        Random divisions of each set of look-ups, >= 1; and the seed of everything random.
    published : bool
        Whether to look at CLINC150 and BANKING77 too.

    Returns
    -------
    Recording
        Rows of three kinds, told apart by ``what``: ``promise``, the outcome of
        :func:`costlab.cache.semantic.check_guarantee`; ``held_out``, a threshold fitted on the calibration split of the
        support set and looked at on the test split; ``guards``, see :func:`check_rows`.

    Raises
    ------
    DatasetError
        If a published set can neither be found nor fetched.
    """
    integer("splits", splits, at_least=1)
    integer("seed", seed)
    model: Embedder = CachingEmbedder(PackagedMiniLm() if embedder is None else embedder)
    rows: list[Row] = []
    both = ("calibration", "test")
    for name, checks in CHECK_SETS.items():
        sets: dict[str, tuple[Lookup, ...]] = {}
        for share in (0.0, 0.5, 0.8):
            lookups_of = partial(support_lookups, repeat_fraction=share, checks=checks)
            key = f"support, {share:.0%} repeated"
            sets[key] = lookups_of(_rng(seed), model, both)
            fitted, held_out = (lookups_of(_rng(seed), model, (split,)) for split in both)
            rows += (
                {"what": "held_out", "data": key, "guards": name, **_held_out(fitted, held_out, e)} for e in LIMITS
            )
        if published:
            for data in (banking77(), clinc150()):
                sets[data.name] = intent_lookups(_rng(seed), model, data, checks=checks)
        for key, lookups in sets.items():
            for limit in LIMITS:
                check = check_guarantee(_rng(seed), lookups, max_error_fraction=limit, splits=splits)
                rows.append({"what": "promise", "data": key, "guards": name, "lookups": len(lookups), **asdict(check)})
    rows += check_rows("test", seed)
    return Recording.from_run(
        "semantic",
        rows,
        device=find_device("cpu"),
        versions=library_versions("numpy", "onnxruntime", "tokenizers") | {"model": model.name},
        options={"splits": splits, "seed": seed},
    )


def _held_out(fitted: Sequence[Lookup], held_out: Sequence[Lookup], limit: float) -> Row:
    fit = fit_threshold(fitted, max_error_fraction=limit)
    found = {} if fit.threshold is None else asdict(evaluate_threshold(held_out, fit.threshold))
    return {"max_error_fraction": limit, "fitted_on": len(fitted), "threshold": fit.threshold, **found}


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _lines(result: Recording) -> Iterator[str]:
    for row in result.rows:
        if row["what"] == "promise":
            hits = "no threshold" if row["found"] == 0 else f"hit rate {row['hit_rate_fraction']:.1%}"
            yield (
                f"{row['data']:<22} guards {row['guards']:<8} at most {row['max_error_fraction']:.0%} wrong: found "
                f"in {row['found']} of {row['splits']}, promise broken in {row['broken']}, {hits}"
            )


EXPERIMENT: Final = Experiment(measure=measure_semantic, lines=_lines)
