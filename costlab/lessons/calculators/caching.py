"""The calculator of lesson 4: whether a response cache pays."""

from __future__ import annotations

from costlab._internal import checks
from costlab.cache.economics import CacheCosts, break_even_hit_rate, net_saving
from costlab.catalog import store_price
from costlab.lessons.calculators.definition import (
    Calculator,
    CalculatorResult,
    Chart,
    ChartLine,
    ChoiceInput,
    NumberInput,
    by_ratio,
    evenly,
    money_row,
    percent,
    share_input,
    share_row,
    usd,
)
from costlab.units import HOURS_PER_DAY

STORES = {
    "elasticache-serverless-valkey": "ElastiCache Serverless, Valkey",
    "elasticache-serverless-redis": "ElastiCache Serverless, Redis",
    "cache.r7g.large-valkey": "a node cache.r7g.large, Valkey",
    "cache.r7g.large-redis": "a node cache.r7g.large, Redis",
}


def cache_pay_off(
    requests: float,
    call_usd: float,
    hit_rate_fraction: float,
    false_hit_fraction: float,
    wrong_answer_usd: float,
    embedding_usd: float,
    store: str,
    gb: float,
) -> CalculatorResult:
    """What a cache saves in a day, net of what it costs."""
    price = store_price(store)
    store_usd = HOURS_PER_DAY * price.usd_per_hour(checks.non_negative("gb", gb))
    costs = CacheCosts(
        call_usd=call_usd,
        embedding_usd=embedding_usd,
        false_hit_fraction=false_hit_fraction,
        wrong_answer_usd=wrong_answer_usd,
    )
    day = net_saving(costs, requests=requests, hit_rate_fraction=hit_rate_fraction, store_usd=store_usd)
    needed = break_even_hit_rate(costs, requests=requests, store_usd=store_usd)
    rates = evenly(0, 1, 0.05)
    nets = [
        (rate, net_saving(costs, requests=requests, hit_rate_fraction=rate, store_usd=store_usd).net_usd)
        for rate in rates
    ]
    avoided = [(rate, rate * day.without_cache_usd) for rate in rates]
    pays = f"It pays from {percent(needed)} hits." if needed <= 1 else "No hit rate makes it pay."
    verb = f"saves {usd(day.net_usd)}" if day.net_usd >= 0 else f"loses {usd(-day.net_usd)}"
    return CalculatorResult(
        answer=f"The cache {verb} a day. {pays}",
        rows=(
            money_row("Net saving a day", day.net_usd),
            share_row("As a share of the bill without a cache", day.saving_fraction),
            money_row("Bill without a cache", day.without_cache_usd),
            money_row("Calls avoided", day.calls_avoided_usd),
            money_row("Wrong answers", -day.wrong_answers_usd),
            money_row("Embeddings", -day.embeddings_usd),
            money_row("Store", -day.store_usd),
        ),
        chart=Chart(
            title="Wrong answers and the store take their part of what the hits save",
            x_label="hit rate",
            y_label="USD a day",
            lines=(
                ChartLine(name="net saving", points=nets),
                ChartLine(name="calls avoided", points=avoided, kind="level"),
            ),
            point=(hit_rate_fraction, day.net_usd),
            point_name=f"you: {usd(day.net_usd)}",
        ),
        sources=((f"{STORES[store]}, {price.region}, {price.evidence}", price.source_url),),
    )


CACHE_PAY_OFF = Calculator(
    name="cache_pay_off",
    title="Does a response cache pay?",
    question="A hit saves a call. The store, the embeddings and hits that answer another question cost money.",
    lesson="04_caching",
    answer=cache_pay_off,
    inputs=(
        NumberInput(name="requests", label="Requests", unit="a day", default=20_000, stops=by_ratio(100, 10_000_000)),
        NumberInput(name="call_usd", label="Price of a call", unit="USD", default=0.005, stops=by_ratio(0.0001, 1)),
        share_input("hit_rate_fraction", "Hit rate", 0.45),
        NumberInput(
            name="false_hit_fraction",
            label="Hits that answer another question",
            unit="share of the hits",
            default=0.01,
            stops=evenly(0, 0.2, 0.0025),
        ),
        NumberInput(
            name="wrong_answer_usd",
            label="A wrong answer costs",
            unit="USD",
            default=0.25,
            stops=(0.0, *by_ratio(0.01, 100, 0.25)),
        ),
        NumberInput(
            name="embedding_usd",
            label="Embedding of a request",
            unit="USD; 0 for an exact cache",
            default=0.000001,
            stops=(0.0, *by_ratio(0.0000001, 0.001)),
        ),
        ChoiceInput(name="store", label="Store", default="elasticache-serverless-valkey", words=STORES),
        NumberInput(name="gb", label="Kept in it", unit="GB", default=1, stops=by_ratio(0.01, 1000)),
    ),
)
