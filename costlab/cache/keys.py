"""The key of a request: everything that changes the answer, in one canonical form, hashed."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from costlab.errors import InvalidValueError

__all__ = ["IGNORED_PARAMETERS", "KEY_VERSION", "Request", "canonical", "request_key"]

#: Enters every key. It changes with the canonical form, so that an older costlab's entries are misses and not mix-ups.
KEY_VERSION: Final = 1

#: Parameters that say how an answer travels or is filed, and leave the answer as it is; they enter no key.
#: Any other parameter does, known to costlab or not.
IGNORED_PARAMETERS: Final = frozenset(
    {
        "extra_headers", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier",
        "store", "stream", "stream_options", "timeout", "user",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a model: all that changes the answer, and for whom.

    Attributes
    ----------
    model : str
        The model's name, with its version if it has one: an alias that moves makes old answers look current.
    messages : str or sequence of mapping
        The conversation, oldest first, each message as chat APIs take it (``role``, ``content``, ...). A string is
        short for one user message.
    parameters : mapping of str to Any
        Everything else that changes the answer: ``temperature``, ``seed``, ``max_tokens``, ``tools``,
        ``response_format``. Those of :data:`IGNORED_PARAMETERS` are left out of the key.
    namespace : str
        The tenant. Requests of two namespaces never share an answer.
    version : str
        What else the answer depends on: edition of the prompt template, date of the documents. Raise it, and every
        older answer is a miss.
    """

    model: str
    messages: str | Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = ""
    version: str = ""

    def within(self, namespace: str) -> Request:
        """The same request inside an outer `namespace`: a tenant of this application, not of another one."""
        return replace(self, namespace=json.dumps([namespace, self.namespace]))

    @property
    def text(self) -> str:
        """What the last message says, if it is the user's; otherwise the empty string."""
        raise NotImplementedError

    @property
    def scope(self) -> str:
        """Digest of all but :attr:`text`. Only requests of one scope can share an answer because they mean the same."""
        raise NotImplementedError
