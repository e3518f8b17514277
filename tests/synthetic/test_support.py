"""The support day: its mix is what was asked for, and a cache in front of it is judged rightly."""

from collections import Counter

import numpy as np
import pytest

from costlab.cache import MemoryStore, Request, ResponseCache
from costlab.cache.semantic import SemanticHit
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.synthetic import SupportDay, cache_replay, support_day
from costlab.units import SECONDS_PER_DAY

DAY = SupportDay((0.0, 10.0, 20.0, 30.0, 4000.0), ("on?", "off?", "on?", "turn on", "on?"), {
    "on?": "enable", "off?": "disable", "turn on": "enable",
})  # fmt: skip


class EverythingIsAlike:
    """A semantic layer that takes every request for the first one."""

    def __init__(self) -> None:
        self.first = ""

    async def lookup(self, request: Request) -> SemanticHit | None:
        return SemanticHit(self.first, 0.9) if self.first else None

    async def remember(self, request: Request, key: str) -> None:
        self.first = self.first or key

    async def forget(self, key: str) -> None:
        self.first = ""


def test_a_day_has_as_many_requests_as_asked_for_most_of_them_by_day() -> None:
    day = support_day(np.random.default_rng(1), requests=4000)
    assert len(day.texts) == len(day.times_s) == pytest.approx(4000, rel=0.05)
    assert list(day.times_s) == sorted(day.times_s)
    assert 0 <= day.times_s[0] <= day.times_s[-1] < SECONDS_PER_DAY
    by_day = sum(8 * 3600 < time < 20 * 3600 for time in day.times_s)
    assert by_day > 0.6 * len(day.texts)


def test_words_come_from_one_split_and_most_are_typed_anew() -> None:
    texts = {query.text: query.meaning for query in support_queries().split("calibration")}
    day = support_day(np.random.default_rng(2), split="calibration", retyped_fraction=0.8)
    as_in_the_data = [text in texts for text in day.texts]
    # A fifth is word for word; of the others some are in lower case already, or have nothing to leave out.
    assert 0.2 < np.mean(as_in_the_data) < 0.27
    assert all(day.meanings[text] == texts[text] for text in day.texts if text in texts)
    word_for_word = support_day(np.random.default_rng(2), split="calibration", retyped_fraction=0.0)
    assert set(word_for_word.texts) <= set(texts)


def test_popularity_of_meanings_falls_with_the_exponent() -> None:
    def top_share(zipf: float) -> float:
        day = support_day(np.random.default_rng(3), zipf=zipf)
        return Counter(day.meanings[text] for text in day.texts).most_common(1)[0][1] / len(day.texts)

    assert top_share(0.0) < 0.03
    assert top_share(1.2) > 0.15


def test_the_same_seed_makes_the_same_day() -> None:
    assert support_day(np.random.default_rng(4)) == support_day(np.random.default_rng(4))


def test_out_of_scope_queries_mean_nothing_but_themselves() -> None:
    outside = [query for query in support_queries().queries if query.intent == "out_of_scope"]
    assert len({query.meaning for query in outside}) == len(outside)


@pytest.mark.anyio
async def test_an_exact_cache_hits_on_equal_texts_and_is_never_wrong() -> None:
    report = await cache_replay(DAY, lambda _: ResponseCache(MemoryStore()))
    assert (report.requests, report.exact_hits, report.semantic_hits, report.wrong) == (5, 2, 0, 0)
    assert (report.hits, report.hit_rate_fraction, report.false_hit_fraction) == (2, 0.4, 0.0)


@pytest.mark.anyio
async def test_wrong_answers_are_counted() -> None:
    """The first question's answer is given to all: that is right for 'turn on' and wrong for 'off?'."""
    report = await cache_replay(DAY, lambda _: ResponseCache(MemoryStore(), semantic=EverythingIsAlike()))
    assert (report.exact_hits, report.semantic_hits, report.wrong) == (2, 2, 1)
    assert report.false_hit_fraction == 0.25


@pytest.mark.anyio
async def test_the_clock_is_the_day_s() -> None:
    """Half a minute passes between most requests, and more than an hour before the last."""

    def hour(clock: object) -> ResponseCache:
        return ResponseCache(MemoryStore(clock=clock), ttl_s=3600)  # type: ignore[arg-type]

    assert (await cache_replay(DAY, hour)).exact_hits == 1


def test_a_day_is_refused_that_cannot_be() -> None:
    with pytest.raises(InvalidValueError, match="requests must be"):
        support_day(np.random.default_rng(1), requests=0)
    with pytest.raises(InvalidValueError, match="retyped_fraction must be"):
        support_day(np.random.default_rng(1), retyped_fraction=1.5)
    with pytest.raises(UnknownNameError, match="unknown split 'tests'; did you mean 'test'"):
        support_day(np.random.default_rng(1), split="tests")


@pytest.mark.anyio
async def test_an_empty_day_has_no_hits() -> None:
    report = await cache_replay(SupportDay((), (), {}), lambda _: ResponseCache(MemoryStore()))
    assert (report.requests, report.hit_rate_fraction, report.false_hit_fraction) == (0, 0.0, 0.0)
