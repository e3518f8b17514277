"""A log of everything at once costs what genai-prices says of its requests one by one."""

import csv
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Final

from genai_prices import Usage, calc_price
from genai_prices.data import providers

from costlab.catalog import api_price, api_snapshot
from costlab.errors import PriceNotFoundError
from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run

for module in ("duckdb", "narwhals", "pyarrow"):
    needs.extra(module, "usage")

__all__ = ["run"]

ROWS: Final = 2000

#: Models whose price changes within the two years, with the hour, with the length or the tier, or has a fee: no choice
#: by chance may miss them.
ALWAYS: Final = (
    ("anthropic", "claude-sonnet-4-5"),
    ("deepseek", "deepseek-chat"),
    ("google", "gemini-2.5-pro"),
    ("openai", "gpt-5.6-luna"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-5-mini"),
    ("openai", "o3"),
    ("perplexity", "sonar-pro"),
)

#: Disjoint parts of a request's input and output, what we call each as a part of the whole, and what the library does.
INPUT: Final = {
    "plain": ({}, {}),
    "cached": ({"cached_input_tokens"}, {"cache_read_tokens"}),
    "written": ({"cache_write_tokens"}, {"cache_write_tokens"}),
    "written_1h": (
        {"cache_write_tokens", "cache_write_1h_tokens"}, {"cache_write_tokens", "cache_write_1h_tokens"},
    ),
    "audio": ({"audio_input_tokens"}, {"input_audio_tokens"}),
    "cached_audio": (
        {"cached_input_tokens", "audio_input_tokens", "cached_audio_input_tokens"},
        {"cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens"},
    ),
    "image": ({"image_input_tokens"}, {"input_image_tokens"}),
}  # fmt: skip
OUTPUT: Final = {
    "plain": ({}, {}),
    "reasoning": ({"reasoning_tokens"}, {"output_reasoning_tokens"}),
    "audio": ({"audio_output_tokens"}, {"output_audio_tokens"}),
    "image": ({"image_output_tokens"}, {"output_image_tokens"}),
}


@dataclass(frozen=True)
class Sold:
    """A model: who sells it, since when the library knows its price in a tier, and whether searches have one."""

    provider: str
    model: str
    tiers: dict[str, date]
    searched: bool


def models(chance: random.Random, end: datetime) -> list[Sold]:
    """Those of ALWAYS, and others by chance."""
    found = []
    for provider in providers:
        for model in provider.models:
            try:
                price = api_price(model.id, provider.id, end)
            except PriceNotFoundError:
                continue
            tiers = {
                tier: getattr(variant.constraint, "start_date", date.min)
                for tier in ("batch", "flex", "priority")
                for variant in model.price_variants or ()
                if variant.when == context(tier)
            }
            found.append(Sold(provider.id, model.id, tiers, price.usd_per_search is not None))
    always = [one for one in found if (one.provider, one.model) in ALWAYS]
    assert len(always) == len(ALWAYS)
    return [*always, *chance.sample([one for one in found if one not in always], 40 - len(always))]


def context(tier: str) -> dict[str, str]:
    """What the library calls a tier."""
    return {"standard": {}, "batch": {"processing": "batch"}}.get(tier, {"service_tier": tier})


def parts(chance: random.Random, kinds: Iterable[str], most: int) -> dict[str, int]:
    """How many tokens of each kind; of most kinds none."""
    return {kind: chance.randint(1, most) if kind == "plain" or chance.random() < 0.3 else 0 for kind in kinds}


def rounded(micro_usd: Decimal) -> int:
    """To the nearest whole number, halves up."""
    return int(micro_usd.quantize(Decimal(1), ROUND_HALF_UP))


def test_a_log_costs_what_the_library_says_of_each_request(run: Run, tmp_path: Path) -> None:
    """2,000 requests to 40 models over two years, of every kind of tokens, in every tier; sums are rounded once."""
    chance = random.Random(17)
    end = datetime.combine(api_snapshot().date, datetime.min.time(), UTC)
    chosen = models(chance, end)
    rows, wanted, tiers = [], defaultdict[str, Decimal](Decimal), Counter[str]()
    for number in range(ROWS):
        sold = chosen[number % len(chosen)]
        # Some of it lately, since when tiers of service have prices in the library.
        at = end - timedelta(seconds=chance.randrange(chance.choice((2, 2 * 365)) * 86_400))
        tier = chance.choice(["standard", *(one for one, day in sold.tiers.items() if day <= at.date())])
        tiers[tier] += 1
        long = chance.random() < 0.2
        ours, theirs = defaultdict[str, int](int), defaultdict[str, int](int)
        for whole, kinds, most in (
            ("input_tokens", INPUT, 200_000 if long else 3000), ("output_tokens", OUTPUT, 1000),
        ):  # fmt: skip
            for kind, tokens in parts(chance, kinds, most).items():
                for name in (whole, *kinds[kind][0]):
                    ours[name] += tokens
                for name in (whole, *kinds[kind][1]):
                    theirs[name] += tokens
        if sold.searched and chance.random() < 0.5:
            ours["searches"] = theirs["web_searches"] = chance.randint(1, 4)
        usd = calc_price(
            Usage(**theirs), sold.model, provider_id=sold.provider, genai_request_timestamp=at,
            price_context=context(tier) or None,
        ).total_price  # fmt: skip
        wanted[sold.model] += Decimal(usd) * 1_000_000
        rows.append(
            {"time_s": at.isoformat(), "model": sold.model, "provider": sold.provider, "service_tier": tier} | ours
        )
    assert min(tiers[tier] for tier in ("standard", "batch", "flex", "priority")) > 10
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval=0)
        writer.writeheader()
        writer.writerows(rows)
    status, out, err = run("report", str(tmp_path / "log.csv"), "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["total"]["requests"], found["total"]["unpriced_requests"]) == (ROWS, 0), found["pricing"]["unpriced"]
    assert {one["key"][0]: one["cost_micro_usd"] for one in found["models"]} == {
        model: rounded(micro_usd) for model, micro_usd in wanted.items()
    }
    assert found["total"]["cost_micro_usd"] == rounded(sum(wanted.values(), Decimal(0)))
    assert found["total"]["input_tokens"] == sum(int(row["input_tokens"]) for row in rows)
