"""What the tokens of each kind cost: where the money of a log goes that uses the provider's prompt cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from costlab.catalog import api_price
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.monitoring.usage import UsageTotals

#: Kinds of tokens, as the catalogue calls their rates.
KINDS: Final = ("cache_write", "cached_input", "input", "output")

#: Models with a price must be at least this share of the cost.
MIN_COVERED_FRACTION: Final = 0.9


def usd_by_kind(models: Sequence[UsageTotals]) -> dict[str, float] | None:
    """The cost of requests in USD by kind: what was written to the prompt cache, read from it, fresh, output, searches.

    Parameters
    ----------
    models : sequence of UsageTotals
        Requests by model.

    Returns
    -------
    dict of str to float or None
        Each model's cost, divided as list prices divide it; None where most of the cost is of models without any.

    Notes
    -----
    Searches have their list price. Fees and writes for an hour are not told apart: the shares are about right.
    """
    found, covered, cost = dict.fromkeys((*KINDS, "searches"), 0.0), 0.0, sum(model.cost_usd for model in models)
    for model in models:
        try:
            price = api_price(model.key[0])
        except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
            continue
        fresh = model.input_tokens - model.cached_input_tokens - model.cache_write_tokens
        counts = (model.cache_write_tokens, model.cached_input_tokens, fresh, model.output_tokens)
        length = model.input_tokens / model.requests if model.requests else 0.0
        usd = {k: n * price.usd_per_token(k, length) for k, n in zip(KINDS, counts, strict=True)}
        listed, searches = sum(usd.values()), min(model.priced_searches * (price.usd_per_search or 0.0), model.cost_usd)
        if listed:
            covered += model.cost_usd
            found["searches"] += searches
            for kind in KINDS:
                found[kind] += usd[kind] / listed * (model.cost_usd - searches)
    return found if cost > 0 and covered >= MIN_COVERED_FRACTION * cost else None
