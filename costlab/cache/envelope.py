"""An answer as bytes: with a version and a checksum, so that whatever else a store returns is told apart from it.

::

    4 bytes   magic: "clc" and the version of this form
    16 bytes  BLAKE2b of key and payload, keyed with the secret if there is one
    rest      payload: MessagePack of (cost in USD or nil, scope, answer)
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgpack

from costlab.errors import CorruptedEntryError

__all__ = ["Entry", "pack", "unpack"]

MAGIC: Final = b"clc\x01"
HEAD: Final = len(MAGIC) + 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of an answer.

    Attributes
    ----------
    cost_usd : float or None
        What the model's call cost; None where the caller did not say.
    scope : str
        :attr:`costlab.cache.Request.scope` of its request; empty where no other request may be given the answer.
    value : Any
        The answer.
    """

    cost_usd: float | None
    scope: str
    value: Any


def pack(key: str, entry: Entry, secret: bytes = b"") -> bytes:
    """The bytes to keep under `key`.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the answer would not come back as it went in: it is not made of texts, bytes, numbers, lists and dicts.
    """
    # Strict types refuse a tuple, which would come back as a list, and subclasses, which would lose what they add.
    payload: bytes = msgpack.packb([entry.cost_usd, entry.scope, entry.value], strict_types=True)
    return MAGIC + _digest(key, payload, secret) + payload


def unpack(key: str, data: bytes, secret: bytes = b"") -> Entry:
    """What :func:`pack` made `data` of.

    Raises
    ------
    CorruptedEntryError
        If it did not: `data` is torn, foreign, of another version, stored under another key or with another secret.
    """
    payload = data[HEAD:]
    if data[:4] != MAGIC or data[4:HEAD] != _digest(key, payload, secret):
        raise CorruptedEntryError(f"no answer of this version of costlab under {key!r}")
    try:
        cost_usd, scope, value = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError) as error:  # the checksum of rubbish can be right where there is no secret
        raise CorruptedEntryError(f"an answer that cannot be read under {key!r}: {error}") from error
    return Entry(cost_usd, scope, value)


def _digest(key: str, payload: bytes, secret: bytes) -> bytes:
    return blake2b(key.encode() + payload, digest_size=16, key=secret).digest()
