"""Keys and passwords kept out of what is shown: addresses without them, and texts in which they are masked."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from costlab.errors import InvalidValueError

#: What is shown in the place of a secret.
MASKED: Final = "***"
#: Of a secret that someone else has cut, this many characters in a row are masked, too.
LEAST_RUN: Final = 8
#: This many characters of another error's message are looked through.
MOST_READ: Final = 2000
#: Shorter values of a query are words and numbers that occur everywhere.
LEAST_VALUE: Final = 4

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\[\]]*)(:[0-9]{1,5})?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
#: An address within a text, also one taken for a path; a password may hold whatever its writer forgot to encode.
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,20}:/{1,2})(?P<user>(?:[^\s'\"]*@)?)"
    r"(?P<place>[^\s'\"?#]*)(?P<sign>[?#]?)[^\s'\"]*"
)
#: What a header can carry, but for the space: the visible characters of ASCII.
_VISIBLE: Final = re.compile(r"[!-~]+")


def is_visible_ascii(text: str) -> bool:
    """Whether a text has visible characters of ASCII alone, and one at least."""
    return _VISIBLE.fullmatch(text) is not None


def scheme(address: str) -> str:
    """The scheme of an address; empty for a text that has none, whatever the text is."""
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def check_server_address(url: str, schemes: Collection[str]) -> None:
    """Refuse an address that has none of these schemes, or in which a password may reach beyond its place.

    Other software takes such a password for a host, a port or a path, and shows it in its errors.

    Raises
    ------
    InvalidValueError
        The message shows nothing of the address but its scheme.
    """
    found = scheme(url)
    if found not in schemes:
        raise InvalidValueError("the scheme of url", f"one of {', '.join(schemes)}", found)
    place, *rest = re.split("([/?#])", url.partition("://")[2], maxsplit=1)
    user, _, hosts = place.rpartition("@")
    torn = "@" in "".join(rest) or "[" in user or "]" in user
    if torn or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        wanted = (
            "an address with host and port, user and password percent-encoded (/ is %2F, ? %3F, # %23, @ %40, [ %5B)"
        )
        raise InvalidValueError("url", wanted, f"{found}://{MASKED}")
    path = urlsplit(url).path
    if found.startswith("redis") and not re.fullmatch(r"/?\d*", path):
        raise InvalidValueError("url", "an address with the number of a database after the host", f"{found}://{MASKED}")


@contextmanager
def addressing(url: str) -> Iterator[None]:
    """Within it, what a client refuses of a server's address is said as of the address, without showing that.

    Raises
    ------
    InvalidValueError
        In the place of a `ValueError` or `TypeError`: a port that there is not, or an option without sense or unknown.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        wanted = f"an address whose port and options its client takes ({' '.join(str(error).split())})"
        raise InvalidValueError("url", wanted, f"{scheme(url)}://{MASKED}") from None


def shown_address(address: str) -> str:
    """An address without user, password, query and fragment; of a text that is no address, nothing is shown.

    An ``@`` beyond the host may be the end of a password that was not percent-encoded, so nothing is shown then, too.

    Examples
    --------
    >>> shown_address("https://ann:pa55@llm.example:8443/v1?token=7")
    'https://llm.example:8443/v1'
    """
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        return MASKED
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    if not scheme(address) or not host or "@" in rest or not is_visible_ascii(address):
        return MASKED
    return f"{parts.scheme}://{host}{parts.path}"


def without_credentials(text: str) -> str:
    """A text whose addresses, in whatever words they stand, lack user, password, query and fragment.

    Examples
    --------
    >>> without_credentials("no such file: 'https://ann:pa55@logs.example/a.csv?signature=7'")
    "no such file: 'https://***@logs.example/a.csv?***'"
    """
    return _ADDRESS.sub(
        lambda one: (
            f"{one['scheme']}{one['user'] and MASKED + '@'}{one['place']}{one['sign'] and one['sign'] + MASKED}"
        ),
        text,
    )


class Mask:
    """Replaces secrets in a text, in each form that a message may have brought them into.

    That is as they are, escaped by ``repr`` and JSON, for HTML and URLs, as ``Basic`` credentials are sent, and, from
    :data:`LEAST_RUN` bytes on, in hex or within any text in base64.

    Parameters
    ----------
    *secrets : str
        What must not be shown; empty ones are no secrets.
    """

    def __init__(self, *secrets: str) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # The longest first: a secret may be a part of another one's form.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, self._forms)), re.IGNORECASE) if forms else None

    @classmethod
    def of_address(cls, address: str, *secrets: str) -> Mask:
        """For an address, too: its user and password, and its query with the values in it."""
        try:
            parts = urlsplit(address)
            user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        except ValueError:
            return cls(*secrets)
        values = [value for _, value in parse_qsl(parts.query) if len(value) >= LEAST_VALUE]
        both = f"{unquote(user)}:{unquote(password)}" if password else ""
        return cls(*secrets, both, _basic(both) if both else "", unquote(password), parts.query, *values)

    def __call__(self, text: str) -> str:
        """The text with every whole secret masked."""
        return self._pattern.sub(MASKED, text) if self._pattern else text

    def within(self, text: str, length: int) -> str:
        """The beginning of a text, at most this many characters and "..." where it was cut.

        Masked before it is cut, so that no half of a secret is left over; and halves of which the text was full before
        are masked after it.
        """
        masked = self(text)
        cut = masked if len(masked) <= length else masked[:length] + "..."
        for form in self._forms:
            cut = _without_runs(cut, form)
        return cut

    def hides(self, error: BaseException | None) -> bool:
        """Whether an error, or one that it came from, repeats a part of a secret or is too long to look through."""
        return any(self.within(text, MOST_READ) != text for one in _chain(error) for text in (str(one), repr(one)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    found = [error]
    while found:
        one = found.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            found += [one.__cause__, one.__context__]


def _basic(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def _forms(secret: str) -> set[str]:
    escapes: tuple[Callable[[str], str], ...] = (
        lambda text: repr(text)[1:-1],
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
        # As Go writes JSON.
        lambda text: re.sub("[<>&]", lambda one: f"\\u{ord(one[0]):04x}", json.dumps(text)[1:-1]),
        html.escape,
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
    )
    once = {secret, *(escape(secret) for escape in escapes)}
    once.update(_in_other_alphabets(secret.encode(errors="surrogatepass")))
    return once | {repr(form)[1:-1] for form in once} | {form.replace("'", "\\'") for form in once}


def _in_other_alphabets(secret: bytes) -> Iterator[str]:
    """A secret in hex, and what base64 makes of it wherever in a text it begins."""
    if len(secret) < LEAST_RUN:
        return
    yield secret.hex()
    for before in range(3):
        # Three bytes are four characters, so the characters at either end may be partly of a neighbour.
        whole = (before + len(secret)) * 4 // 3
        form = base64.b64encode(bytes(before) + secret + bytes(2)).decode()[-(-before * 4 // 3) : whole]
        yield form
        yield form.replace("+", "-").replace("/", "_")


def _without_runs(text: str, secret: str) -> str:
    """The text without any :data:`LEAST_RUN` or more characters in a row of the secret."""
    kept: list[str] = []
    place = 0
    while place < len(text):
        length = LEAST_RUN
        if len(text) - place < length or text[place : place + length] not in secret:
            kept.append(text[place])
            place += 1
            continue
        while place + length < len(text) and text[place : place + length + 1] in secret:
            length += 1
        kept.append(MASKED)
        place += length
    return "".join(kept)
