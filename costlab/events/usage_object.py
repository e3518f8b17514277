"""Where the usage that an API answers with names the parts of its tokens: OpenAI's protocol, as vendors fill it."""

from collections.abc import Mapping
from typing import Final

#: For each field of :class:`costlab.events.RequestEvent` the places that may have its count, the usual one first. The
#: names of one field repeat one another. DeepSeek says ``prompt_cache_hit_tokens``; ``cache_read_input_tokens`` and the
#: like are Anthropic's, also where a gateway passes them on; Perplexity counts ``num_search_queries``.
USAGE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "cached_input_tokens": (
        "prompt_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "cache_creation_input_tokens",
    ),
    "cache_write_1h_tokens": (
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
        "cache_creation_token_details.ephemeral_1h_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
    ),
    "audio_input_tokens": ("prompt_tokens_details.audio_tokens",),
    "cached_audio_input_tokens": ("prompt_tokens_details.cached_tokens_details.audio_tokens",),
    "image_input_tokens": ("prompt_tokens_details.image_tokens",),
    "reasoning_tokens": ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    "audio_output_tokens": ("completion_tokens_details.audio_tokens",),
    "image_output_tokens": ("completion_tokens_details.image_tokens",),
    "searches": (
        "server_tool_use.web_search_requests",
        "prompt_tokens_details.web_search_requests",
        "num_search_queries",
    ),
}
