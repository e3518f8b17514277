"""One endpoint's requests through a plan: what each costs and takes, and whether the answer is right."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costlab.capstone.company import (
    API_LATENCY_S,
    BATCH_LATENCY_S,
    BATCH_PRICE_FRACTION,
    CACHE_LATENCY_S,
    CACHE_STORE,
    ENTRY_BYTES,
    SUPPORT_LATENCY_S,
    Endpoint,
)
from costlab.capstone.fleets import FleetBill
from costlab.capstone.plan import Api, Cascade, Own, Plan, Route
from costlab.capstone.quality import model_quality
from costlab.capstone.support import support_outcomes
from costlab.catalog import api_price, store_price
from costlab.router import play

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from costlab.capstone.log import RequestLog

__all__ = ["Replay", "cache_hits", "hits_of", "replay", "support_today_fraction"]


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """An endpoint's requests, served; arrays in the order of time.

    Attributes
    ----------
    rows : numpy.ndarray of int
        Places of the requests in the log.
    hit : numpy.ndarray of bool
        Whether the cache had the answer.
    usd : numpy.ndarray of float
        What each cost, GPUs of one's own aside.
    quality : numpy.ndarray of float
        Share of right answers to be expected; of a measured answer 0 or 1.
    latency_s : numpy.ndarray of float
        From request to answer.
    """

    rows: NDArray[np.intp]
    hit: NDArray[np.bool_]
    usd: NDArray[np.float64]
    quality: NDArray[np.float64]
    latency_s: NDArray[np.float64]


def cache_hits(texts: NDArray[np.int64], entries: int) -> NDArray[np.bool_]:
    """Which requests find their answer in an empty cache that drops the least recently used.

    Parameters
    ----------
    texts : numpy.ndarray of int, shape (requests,)
        What is asked; -1 is neither looked up nor kept.
    entries : int
        How many answers it holds, >= 1.

    Examples
    --------
    >>> cache_hits(np.array([0, 1, 0, 2, 1, -1, -1]), entries=2).tolist()
    [False, False, True, False, False, False, False]
    """
    held: OrderedDict[int, None] = OrderedDict()
    hit = np.zeros(len(texts), dtype=bool)
    for place, text in enumerate(texts.tolist()):
        if text < 0:
            continue
        if text in held:
            hit[place] = True
            held.move_to_end(text)
        else:
            held[text] = None
            if len(held) > entries:
                held.popitem(last=False)
    return hit


def hits_of(log: RequestLog, name: str, route: Route) -> NDArray[np.bool_]:
    """Which requests to an endpoint the plan's cache answers."""
    texts = log.text[log.of(name)]
    return cache_hits(texts, route.cache.entries) if route.cache else np.zeros(len(texts), dtype=bool)


def replay(log: RequestLog, one: Endpoint, plan: Plan, hit: NDArray[np.bool_], own: Mapping[str, FleetBill]) -> Replay:
    """The requests to an endpoint, served as the plan says.

    Parameters
    ----------
    log : RequestLog
        The day.
    one : Endpoint
        Which.
    plan : Plan
        How.
    hit : numpy.ndarray of bool
        Which of its requests the cache answers.
    own : mapping of str to FleetBill
        The plan's fleets.
    """
    rows = log.of(one.name)
    route = plan.routes[one.name]
    serve = route.serve
    if isinstance(serve, Cascade):
        usd, quality, latency = _cascade(log.question[rows], serve)
    elif isinstance(serve, Api):
        usd, latency = _api(log, rows, one, serve)
        quality = np.full(len(rows), model_quality(serve.model))
    else:
        usd, latency = np.zeros(len(rows)), _own(log.output_tokens[rows], serve, own)
        fleet = plan.fleets[serve.fleet]
        quality = np.full(len(rows), model_quality(fleet.model, fleet.weights))
    if route.cache is not None:
        asked = log.text[rows] >= 0
        # A hit is read and a miss is written; that a miss was looked up before is cents a month.
        usd = np.where(hit, 0.0, usd) + asked * store_price(CACHE_STORE).usd_per_transfer(ENTRY_BYTES)
        latency = np.where(hit, 0.0, latency) + asked * CACHE_LATENCY_S
    return Replay(rows, hit, usd, quality, latency)


def _cascade(question: NDArray[np.int64], serve: Cascade) -> tuple[NDArray[np.float64], ...]:
    table = support_outcomes("test").only(serve.tiers)
    played = play(table, serve.thresholds)
    tried_s = np.cumsum([SUPPORT_LATENCY_S[tier] for tier in serve.tiers])
    return played.usd[question], played.correct[question], tried_s[played.tier][question]


def _api(
    log: RequestLog, rows: NDArray[np.intp], one: Endpoint, serve: Api
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Providers read from their prompt cache in blocks of 128 tokens.
    cached = one.prefix_tokens // 128 * 128 if serve.stable_prefix else 0
    given, written = log.input_tokens[rows], log.output_tokens[rows]
    usd = api_price(serve.model).usd(given, written, cached)
    if serve.batch:
        return usd * BATCH_PRICE_FRACTION, np.full(len(rows), BATCH_LATENCY_S)
    first_s, token_s = API_LATENCY_S
    latency: NDArray[np.float64] = first_s + token_s * written.astype(np.float64)
    return usd, latency


def _own(written: NDArray[np.int64], serve: Own, own: Mapping[str, FleetBill]) -> NDArray[np.float64]:
    bill = own[serve.fleet]
    latency: NDArray[np.float64] = bill.ttft_s + bill.inter_token_s * written.astype(np.float64)
    return latency


def support_today_fraction(log: RequestLog) -> float:
    """Share of the support questions that the largest tier answers right."""
    return float(support_outcomes("test").correct[log.question[log.of("support")], -1].mean())
