"""Amounts, times and names as people read them."""

import re
from datetime import UTC, datetime
from typing import Final

#: What a terminal obeys rather than shows: control characters, lines and directions of text, halves of a character.
_OBEYED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def dollars(usd: float | None, *, cents: bool = False) -> str:
    """Dollars as text: cents, or below a dollar three digits that tell something; "-" for none.

    Parameters
    ----------
    usd : float or None
        The amount.
    cents : bool
        Whether an amount below a dollar is given in whole cents, too.

    Examples
    --------
    >>> [dollars(usd) for usd in (1234.5, 0.3, 0.0095, 0.0, -0.3, None)]
    ['$1,234.50', '$0.30', '$0.0095', '$0', '-$0.30', '-']
    """
    if usd is None:
        return "-"
    if usd < 0:
        return f"-{dollars(-usd, cents=cents)}"
    if cents or usd >= 1:
        return f"${usd:,.2f}"
    if usd == 0:
        return "$0"
    digits = f"{float(f'{usd:.3g}'):.12f}"
    return f"${digits[:4]}{digits[4:].rstrip('0')}"


def shortened(name: str, most: int = 100) -> str:
    """A name as it is shown: its first characters, with an ellipsis for the rest.

    Examples
    --------
    >>> shortened("gpt-4.1"), shortened("gpt-4.1" * 1000, 10)
    ('gpt-4.1', 'gpt-4.1gpt…')
    """
    return name if len(name) <= most else f"{name[:most]}…"


def counted(number: int, one: str, many: str = "") -> str:
    """A count with what is counted, in the singular or the plural; `many` where that is not `one` with an s.

    Examples
    --------
    >>> counted(1, "request"), counted(12_000, "request")
    ('1 request', '12,000 requests')
    >>> counted(1, "reply tells", "replies tell"), counted(0, "reply tells", "replies tell")
    ('1 reply tells', '0 replies tell')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def moment(second: float, unit: str = "minute") -> str:
    """A time as text, in UTC: the day, or with hours and minutes."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d" if unit == "day" else "%Y-%m-%d %H:%M")


def harmless(text: str) -> str:
    r"""A text of several lines with the other control characters as escapes.

    Examples
    --------
    >>> harmless("two\nlines\x1b[2J")
    'two\nlines\\x1b[2J'
    """
    return _OBEYED.sub(lambda one: one[0] if one[0] in "\n\t" else _escaped(one[0]), text)


def in_json(text: str) -> str:
    r"""The text of a JSON document with JSON's own escapes for what a terminal would obey.

    Examples
    --------
    >>> in_json('{"model": "m\u202e"}')
    '{"model": "m\\u202e"}'
    """
    return _OBEYED.sub(lambda one: one[0] if one[0] in "\n\t" else f"\\u{ord(one[0]):04x}", text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def printable(text: str) -> str:
    r"""A text from a file in one line, its control characters as escapes: a terminal must not obey a log.

    Examples
    --------
    >>> printable("gpt-4o\x1b[31m")
    'gpt-4o\\x1b[31m'
    """
    return _OBEYED.sub(lambda one: _escaped(one[0]), text)
