"""Conversion factors. Every other module takes them from here, so that no 3600 hides in a formula.

Decimal prefixes are powers of ten (``gb``, ``mtok``), binary ones powers of two (``gib``).
"""

from typing import Final

SECONDS_PER_MINUTE: Final = 60
SECONDS_PER_HOUR: Final = 3600
HOURS_PER_DAY: Final = 24
SECONDS_PER_DAY: Final = HOURS_PER_DAY * SECONDS_PER_HOUR
DAYS_PER_YEAR: Final = 365

#: A year of 8,760 hours in twelve equal parts. Clouds bill by the hour, so this is the month of a bill.
HOURS_PER_MONTH: Final = 730

#: The month of the source lesson; its 720 hours are 1.4 % fewer than :data:`HOURS_PER_MONTH`.
LESSON_DAYS_PER_MONTH: Final = 30

BITS_PER_BYTE: Final = 8
BYTES_PER_GB: Final = 10**9
BYTES_PER_GIB: Final = 2**30
TOKENS_PER_MTOK: Final = 10**6
FLOPS_PER_TFLOP: Final = 10**12
MICRO_USD_PER_USD: Final = 10**6
PICO_USD_PER_MICRO_USD: Final = 10**6
