"""What decides an API's bill beside the price list: prompt caches, resent histories, waiting, limits, long contexts.

Pure functions of counts, times and prices; prices come from :mod:`costlab.catalog`. An argument outside its domain
raises :class:`~costlab.errors.InvalidValueError`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.token_economics.agents import (
        Call as Call,
        calls_usd as calls_usd,
        conversation as conversation,
        resent_input_tokens as resent_input_tokens,
    )
    from costlab.token_economics.documents import (
        PastedDocuments as PastedDocuments,
        Retrieval as Retrieval,
        pasted_break_even_tokens as pasted_break_even_tokens,
    )
    from costlab.token_economics.prompt_caching import (
        CacheRates as CacheRates,
        PromptCacheTerms as PromptCacheTerms,
        cached_prefix_tokens as cached_prefix_tokens,
        expected_hit_fraction as expected_hit_fraction,
        keep_alive_calls as keep_alive_calls,
        prompt_cache_terms as prompt_cache_terms,
        replayed_hit_fraction as replayed_hit_fraction,
    )
    from costlab.token_economics.reasoning import EffortRun as EffortRun, effort_runs as effort_runs
    from costlab.token_economics.waiting import (
        batch_saving_fraction as batch_saving_fraction,
        limited_waits_s as limited_waits_s,
        mean_wait_s as mean_wait_s,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
