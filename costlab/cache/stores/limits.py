"""What every store asks of a value before it takes it."""

from typing import Final

from costlab._internal import checks
from costlab.errors import EntryTooLargeError

__all__ = ["MAX_VALUE_BYTES", "check_entry"]

#: The longest answer of today's models, 128k tokens of about 4 bytes, fits twice.
MAX_VALUE_BYTES: Final = 1_000_000


def check_entry(value: bytes, ttl_s: float | None, max_value_bytes: int) -> None:
    """Raise unless `value` is short enough and `ttl_s` a time.

    Raises
    ------
    EntryTooLargeError
        If `value` is longer than `max_value_bytes`.
    InvalidValueError
        If `ttl_s` is neither None nor a number > 0.
    """
    if len(value) > max_value_bytes:
        raise EntryTooLargeError(len(value), max_value_bytes)
    if ttl_s is not None:
        checks.positive("ttl_s", ttl_s)
