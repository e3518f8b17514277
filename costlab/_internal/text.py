"""Numbers as people read them."""

__all__ = ["dollars"]


def dollars(usd: float | None) -> str:
    """Dollars as text: cents, or below a dollar three digits that tell something; "-" for none.

    Examples
    --------
    >>> [dollars(usd) for usd in (1234.5, 0.3, 0.0095, 0.0, None)]
    ['$1,234.50', '$0.30', '$0.0095', '$0', '-']
    """
    if usd is None:
        return "-"
    if usd == 0:
        return "$0"
    if abs(usd) >= 1:
        return f"${usd:,.2f}"
    digits = f"{float(f'{usd:.3g}'):.12f}"
    return f"${digits[:4]}{digits[4:].rstrip('0')}"
