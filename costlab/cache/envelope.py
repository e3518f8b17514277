"""An answer as bytes: with a version and a checksum, so that whatever else a store returns is told apart from it.

::

    4 bytes        "clc" (checked) or "cls" (signed), and the version of this form
    4 or 16 bytes  CRC-32 of key and payload; or, with a secret, their BLAKE2b keyed with it
    the rest       payload: MessagePack of [cost in USD or nil, scope, answer]

The key is part of what is summed up. An entry that lands under another key, by a mistake of the server, of the client
library or on purpose, is therefore no entry.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgpack

from costlab.errors import CorruptedEntryError

__all__ = ["Entry", "pack", "unpack"]

CHECKED: Final = b"clc\x01"
SIGNED: Final = b"cls\x01"
CHECKED_HEAD: Final = len(CHECKED) + 4
SIGNED_HEAD: Final = len(SIGNED) + 16
MAYBE_COST: Final = (float, type(None))

_unpackb = msgpack.unpackb


class Entry(NamedTuple):
    """What is kept of an answer. A named tuple, since making a dataclass takes longer than reading the bytes.

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
    if secret:
        return _signed(key, payload, secret) + payload
    return _checked(key, payload) + payload


def unpack(key: str, data: bytes, secret: bytes = b"") -> Entry:
    """What :func:`pack` made `data` of.

    Raises
    ------
    CorruptedEntryError
        If it did not: `data` is torn, foreign, of another version, stored under another key or with another secret.
    """
    if type(data) is not bytes:
        raise CorruptedEntryError(f"no bytes under {key!r}")
    if secret:
        payload = data[SIGNED_HEAD:]
        whole = compare_digest(data[:SIGNED_HEAD], _signed(key, payload, secret))
    else:
        payload = data[CHECKED_HEAD:]
        whole = data[:CHECKED_HEAD] == _checked(key, payload)
    if not whole:
        raise CorruptedEntryError(f"no answer of this version of costlab under {key!r}")
    try:
        cost_usd, scope, value = _unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError) as error:  # rubbish with the right checksum: somebody made it
        raise CorruptedEntryError(f"an answer that cannot be read under {key!r}: {error}") from error
    if type(cost_usd) not in MAYBE_COST or type(scope) is not str:
        raise CorruptedEntryError(f"an answer without a cost or a scope under {key!r}")
    return Entry(cost_usd, scope, value)


def _checked(key: str, payload: bytes) -> bytes:
    return CHECKED + crc32(payload, crc32(key.encode())).to_bytes(4, "big")


def _signed(key: str, payload: bytes, secret: bytes) -> bytes:
    return SIGNED + blake2b(key.encode() + payload, digest_size=16, key=secret).digest()
