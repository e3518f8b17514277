"""What must not be shown, in each form in which a message brings it."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from costlab._internal.masking import (
    LEAST_RUN,
    MASKED,
    Mask,
    check_server_address,
    is_visible_ascii,
    scheme,
    shown_address,
    without_credentials,
)
from costlab.errors import InvalidValueError
from tests import needs

ODD = "k\"e'y\\/&<+=%20"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://llm.example/v1", "https://llm.example/v1"),
        ("https://ann:pa55@llm.example:8443/v1", "https://llm.example:8443/v1"),
        ("https://ann@llm.example/v1", "https://llm.example/v1"),
        ("https://:pa55@llm.example/v1", "https://llm.example/v1"),
        ("https://ann:p%2F55@llm.example/v1/?token=7#there", "https://llm.example/v1/"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        # A password that was not percent-encoded ends anywhere.
        ("https://ann:pa/55@llm.example/v1", MASKED),
        ("https://ann:12?34@llm.example/v1", MASKED),
        ("https://ann:12#34@llm.example/v1", MASKED),
        ("https://ann:pa55", MASKED),
        ("https://[ann:pa55@llm.example/v1", MASKED),
        ("https:///v1", MASKED),
        ("https://llm.example/v1\n", MASKED),
        ("ann:pa55@llm.example", MASKED),
        ("sk-proj-0123456789", MASKED),
        ("", MASKED),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    ("address", "found"),
    [("redis://h", "redis"), ("REDISS://h", "rediss"), ("redis+cluster://h", "redis+cluster"), ("ann:pa55@h", ""),
     ("sk-proj-0123456789", ""), ("pa55://@h", "pa55"), ("pa:55://h", ""), ("", "")],
)  # fmt: skip
def test_a_scheme_is_one_only_before_an_address(address: str, found: str) -> None:
    assert scheme(address) == found


@pytest.mark.parametrize(
    ("text", "visible"), [("sk-1", True), ("", False), ("a b", False), ("a\n", False), ("é", False)]
)
def test_a_header_carries_visible_ascii(text: str, visible: bool) -> None:
    assert is_visible_ascii(text) is visible


@pytest.mark.parametrize(
    "form",
    [
        ODD,
        repr(ODD),
        repr([ODD]),
        repr(f'{ODD}"'),
        repr(f"{ODD}'"),
        json.dumps(ODD),
        json.dumps(ODD).replace("/", "\\/"),
        json.dumps(ODD).replace("&", "\\u0026").replace("<", "\\u003c"),
        repr(json.dumps(ODD)),
        html.escape(ODD),
        quote(ODD),
        quote(ODD, safe=""),
        quote(ODD, safe="").lower(),
        quote_plus(ODD),
        ODD.upper(),
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    masked = Mask(ODD)(f"before {form} after")
    assert MASKED in masked
    for part in ("k\\", 'k"', "k&", "k%", "20"):
        assert part not in masked.lower()


@given(
    st.text("abcXYZ019-_/+", min_size=LEAST_RUN, max_size=50), st.binary(max_size=7), st.binary(max_size=7),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, binascii.hexlify]),
)  # fmt: skip
def test_a_secret_is_masked_within_what_is_encoded(
    secret: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    told = encode(before + secret.encode() + after).decode()
    left = re.split(r"\*+", Mask(secret)(told))
    # Of the secret's own characters at most one at either end is left, shared with a neighbour: fewer than 8 bits.
    assert len(left) > 1
    others = sum(len(encode(one).rstrip(b"=")) for one in (before, after))
    assert len("".join(left).rstrip("=")) <= others + 2
    assert Mask(secret).hides(ValueError(told))


def test_what_is_secret_in_an_address_is_masked_wherever_it_stands() -> None:
    mask = Mask.of_address("https://ann:p%40ss-word@h/v1?api-version=2024-06-01&token=seven-7&n=1", "the-key")
    basic = base64.b64encode(b"ann:p@ss-word").decode()
    said = f"Basic {basic}; p@ss-word, p%40ss-word; token=seven-7 and seven-7; the-key; 1"
    assert mask(said) == "Basic ***; ***, ***; token=*** and ***; ***; 1"


def test_a_text_is_masked_before_it_is_cut() -> None:
    key = "sk-0123456789abcdef"
    for filler in range(30):
        cut = Mask(key).within("x" * filler + key + " is wrong", 20)
        assert all(key[i : i + 2] not in cut for i in range(len(key) - 1))
    assert Mask(key).within("x" * 30, 20) == "x" * 20 + "..."
    assert Mask().within("sk", 20) == "sk"


@given(st.text("abc-", min_size=1, max_size=20), st.text("abc-\\'\"", max_size=60), st.integers(0, 60))
def test_nothing_of_a_secret_is_left_that_is_long_enough_to_know_it_by(secret: str, text: str, length: int) -> None:
    found = Mask(secret).within(text + secret + text, length)
    runs = {secret[i : i + LEAST_RUN] for i in range(len(secret) - LEAST_RUN + 1)}
    assert not any(run in found for run in runs)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("got 's3://id:pa55@bucket/log.csv'", "got 's3://***@bucket/log.csv'"),
        ("no file 'https:/ann:pa55@h/a'", "no file 'https:/***@h/a'"),  # as a path it has one slash
        ("https://h/a.csv?X-Amz-Signature=5ec2e7 is none", "https://h/a.csv?*** is none"),
        ("https://h/a#5ec2e7", "https://h/a#***"),
        ("redis://:pa/55?w#o@rd@h:1/0", "redis://***@h:1/0"),
        ("one http://a:pa55@h, and two http://b:5ec2e7@i?k=5ec2e7", "one http://***@h, and two http://***@i?***"),
        ("is C:/me@home/log.csv? no, a://b; why? x@y", "is C:/me@home/log.csv? no, a://b; why? x@y"),
        ("https://h/v1: the server answered 401", "https://h/v1: the server answered 401"),
    ],
)
def test_addresses_in_a_text_show_no_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_long_texts_are_looked_through_in_short_time() -> None:
    for text in ("a" * 10**6, "a://" * 10**5, "ab:/" * 10**5, "ab://x@" * 10**5, "ab://?" * 10**5):
        without_credentials(text)


def test_without_secrets_nothing_is_changed() -> None:
    assert Mask("", "")("a *** b") == "a *** b"
    assert not Mask("").hides(ValueError("x"))
    assert Mask("").hides(ValueError("x" * 3000))  # nobody looked


def test_an_error_repeats_a_secret_also_through_what_it_came_from() -> None:
    mask = Mask("sk-secret")
    inner = KeyError("sk-secret")
    outer = ValueError("no")
    assert not mask.hides(outer)
    assert mask.hides(inner)
    outer.__context__ = inner
    inner.__cause__ = outer  # a ring ends, too
    assert mask.hides(outer)
    assert not mask.hides(None)


#: Addresses in which a password reaches beyond its place, or stands where a host should.
TORN = (
    "redis://ann:pa/55w0rd@host:6379/0", "redis://ann:12?34w0rd@host", "redis://ann:pa#55w0rd@host",
    "redis://ann:pa55w0rd", "redis://[ann:pa55w0rd@host", "redis://host:pa55w0rd/0", "redis://a,b:pa55w0rd",
)  # fmt: skip


@pytest.mark.parametrize("address", [*TORN, "ann:pa55w0rd@host", "pa55w0rd", "http://ann:pa55w0rd@host"])
def test_a_servers_address_that_would_show_its_password_is_refused(address: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^(the scheme of )?url must be ") as found:
        check_server_address(address, ("redis", "unix"))
    assert not any(part in f"{found.value}{vars(found.value)}" for part in ("55", "12", "w0rd", "ann"))


@pytest.mark.parametrize("address", ["redis://host/abc", "redis://ann:pa55w0rd@host/0/1", "rediss://host/-1"])
def test_a_database_that_has_no_number_is_not_taken_for_the_first(address: str) -> None:
    with pytest.raises(InvalidValueError, match="the number of a database after the host") as found:
        check_server_address(address, ("redis", "rediss"))
    assert "pa55" not in f"{found.value}{vars(found.value)}"


@pytest.mark.parametrize(
    "rest", ["host:99999/0", "host/0?socket_timeout=soon", "host/0?db=first", "host/0?no_such_option=1"]
)
@pytest.mark.parametrize("store", ["budget", "cache", "index"])
def test_what_a_client_refuses_of_an_address_is_said_when_the_store_is_made(store: str, rest: str) -> None:
    """redis-py 8 says it with errors of its own, and of an unknown option only when it connects for the first time."""
    needs.extra("redis", "redis")
    from costlab.cache import RedisStore
    from costlab.cache.semantic import RedisVectorIndex
    from costlab.monitoring.budget import RedisBudgetStore

    made = {"budget": RedisBudgetStore, "cache": RedisStore, "index": RedisVectorIndex}[store]
    with pytest.raises(InvalidValueError, match="an address whose port and options its client takes") as found:
        made(f"redis://ann:pa55w0rd@{rest}")
    assert "pa55" not in f"{found.value}{vars(found.value)}"
    assert found.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    ["redis://host", "redis://ann:pa%2F55@host:6379/0?x=1", "redis://[::1]:6379/0", "unix:///tmp/s?db=1",
     "unix://ann:pa55@/tmp/s", "redis://a:1,b:2", "redis://:a@b@host"],
)  # fmt: skip
def test_other_addresses_of_servers_are_taken(address: str) -> None:
    check_server_address(address, ("redis", "unix"))
