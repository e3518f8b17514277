"""Two requests share a key when no model could answer them differently, and only then."""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from costlab.cache import IGNORED_PARAMETERS, Request, as_request, canonical, is_sampled, request_key
from costlab.errors import InvalidValueError

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where are my files?"}]
BASE = Request(
    model="small",
    messages=MESSAGES,
    parameters={"temperature": 0, "max_tokens": 300, "stop": ["\n"], "tools": [{"name": "search", "strict": True}]},
    namespace="acme",
    version="3",
)
texts = st.text(max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
requests = st.builds(
    Request,
    model=texts,
    messages=texts | st.lists(st.dictionaries(texts, json_values, min_size=1, max_size=3), min_size=1, max_size=3),
    parameters=st.dictionaries(texts.filter(lambda name: name not in IGNORED_PARAMETERS), json_values, max_size=3),
    namespace=texts,
    version=texts,
)


def shuffled(value: Any) -> Any:
    """The same value with the names of every mapping in the opposite order, and tuples for lists."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(list(value))}
    return tuple(shuffled(item) for item in value) if isinstance(value, list) else value


@given(requests)
def test_order_of_names_and_kind_of_sequence_do_not_matter(request: Request) -> None:
    other = replace(request, messages=shuffled(request.messages), parameters=shuffled(request.parameters))
    assert request_key(other, "desk") == request_key(request, "desk")


@given(requests, requests)
def test_different_requests_have_different_keys(one: Request, two: Request) -> None:
    def plain(request: Request) -> Any:
        said = request.messages
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        return (request.model, normal(messages), normal(request.parameters), request.namespace, request.version)

    assert (request_key(one) == request_key(two)) == (plain(one) == plain(two))


def normal(value: Any) -> Any:
    """By the rules of the documentation, written a second way: numbers by value, texts in NFC, True is not 1."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {("name", name): normal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    exact = isinstance(value, int) or abs(value) < 2**53  # a larger float may stand for several whole numbers
    return ("number" if exact else "float", value)


CHANGES: list[dict[str, Any]] = [
    {"model": "large"},
    {"messages": "Where are my files?"},
    {"messages": MESSAGES[::-1]},
    {"messages": [MESSAGES[0], {"role": "user", "content": "where are my files?"}]},
    {"messages": [MESSAGES[0], {"role": "user", "content": "Where are my files? "}]},
    {"messages": [MESSAGES[0], {"role": "assistant", "content": "Where are my files?"}]},
    {"parameters": {**BASE.parameters, "temperature": 0.1}},
    {"parameters": {**BASE.parameters, "seed": 1}},
    {"parameters": {**BASE.parameters, "a parameter of tomorrow": 1}},
    {"parameters": {**BASE.parameters, "tools": [{"name": "search", "strict": 1}]}},
    {"parameters": {**BASE.parameters, "stop": "\n"}},
    {"namespace": "other"},
    {"namespace": ""},
    {"version": "4"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_whatever_changes_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert request_key(replace(BASE, **change)) != request_key(BASE)


@pytest.mark.parametrize("name", sorted(IGNORED_PARAMETERS))
def test_how_an_answer_travels_does_not_change_it(name: str) -> None:
    assert request_key(replace(BASE, parameters={**BASE.parameters, name: "x"})) == request_key(BASE)


@pytest.mark.parametrize(("one", "two"), [(1, 1.0), (0.0, -0.0), (2**53 - 1, float(2**53 - 1)), (-3, -3.0)])
def test_numbers_are_compared_by_value(one: float, two: float) -> None:
    keys = {request_key(replace(BASE, parameters={"x": [value]})) for value in (one, two)}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("caf\u00e9", "cafe\u0301", True),  # one code point, or e and an accent
        ("\u212b", "\u00c5", True),  # the sign for ångström is the letter
        ("x\u00b2", "x2", False),  # a square is not a two, which NFKC would make of it
        ("\ufb01le", "file", False),
        ("Caf\u00e9", "caf\u00e9", False),
    ],
)
def test_unicode_is_normalised_as_far_as_it_means_the_same(one: str, two: str, same: bool) -> None:
    for request in (Request(model="m", messages=""), Request(model="m", messages=[{"role": "user", "content": ""}])):
        keys = []
        for text in (one, two):
            messages = text if isinstance(request.messages, str) else [{"role": "user", "content": text}]
            keys.append(request_key(replace(request, messages=messages)))
        assert (keys[0] == keys[1]) is same
    assert (
        request_key(replace(BASE, parameters={"x": one})) == request_key(replace(BASE, parameters={"x": two}))
    ) is same


def test_the_query_is_in_no_key() -> None:
    key = request_key(Request(model="m", messages="my password is hush", namespace="acme"))
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")


def test_texts_do_not_run_into_each_other() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ('a","', "bc")]
    requests_ = [Request(model="m", messages="x", namespace=one, version=two) for one, two in pairs]
    requests_ += [Request(model=one, messages="x", namespace=two) for one, two in pairs]
    keys = {request_key(request) for request in requests_} | {request_key(request, "a") for request in requests_}
    assert len(keys) == 20


def test_an_outer_namespace_is_not_a_tenant() -> None:
    request = Request(model="m", messages="x", namespace="b")
    assert request.within("a") != replace(request, namespace="a")
    keys = {
        request_key(request, "a"),
        request_key(request),
        request_key(request.within("a")),
        request_key(replace(request, namespace="a"), "b"),
        request_key(replace(request, namespace="a").within("b")),
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"x": float("nan")}, "parameters must be free of NaN and infinities, got nan"),
        ({"x": {"y": float("inf")}}, "parameters must be free of NaN"),
        ({"x": b"raw"}, "parameters must be made of texts, numbers, lists and mappings, got b'raw'"),
        ({"x": {1: 2}}, "a name in parameters must be a text, got 1"),
        ({1: 2}, "a name in parameters must be a text, got 1"),
        ({"x": 2**64}, "parameters must be free of whole numbers beyond 64 bits"),
        ({"x": {1, 2}}, "parameters must be made of"),
    ],
)
def test_what_has_no_canonical_form_is_refused(parameters: dict[Any, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        request_key(replace(BASE, parameters=parameters))


def test_cycles_are_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InvalidValueError, match="nested at most 64 deep"):
        request_key(replace(BASE, parameters={"x": cycle}))


@pytest.mark.parametrize("messages", [[], ["hello"], [None]])
def test_messages_are_messages(messages: Any) -> None:
    with pytest.raises(InvalidValueError, match="messages must be a text or"):
        request_key(Request(model="m", messages=messages))


@pytest.mark.parametrize("change", [{"model": None}, {"namespace": 1}, {"version": b"1"}])
def test_names_are_texts(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="model, namespace and version must be texts"):
        request_key(replace(BASE, **change))


def test_half_a_character_has_a_key_too() -> None:
    assert request_key(Request(model="m", messages="\ud83d")) != request_key(Request(model="m", messages="\ud83e"))


def test_other_mappings_than_dict_are_mappings() -> None:
    messages = [OrderedDict(content=message["content"], role=message["role"]) for message in MESSAGES]
    assert request_key(replace(BASE, messages=messages)) == request_key(BASE)


def test_the_canonical_form_is_pinned() -> None:
    """A change here makes every stored answer a miss: raise KEY_VERSION, then change these bytes."""
    request = Request(model="m", messages="Hi", parameters={"top_p": 1.0}, namespace="acme", version="2")
    assert canonical(request, "desk") == (
        b"\x97\x01\xa4desk\xa4acme\xa1m\xa12\x91\x82\xa7content\xa2Hi\xa4role\xa4user\x81\xa5top_p\x01"
    )


def test_a_chat_payload_is_a_request() -> None:
    payload = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    request = as_request(payload, "acme", "2")
    assert (request.model, request.namespace, request.version) == ("m", "acme", "2")
    assert request.parameters == {"temperature": 0}
    assert as_request(request) is as_request(request, "acme") is request


def test_no_payload_names_its_tenant() -> None:
    payload = {"model": "m", "messages": "Hi", "namespace": "victim", "version": "1"}
    request = as_request(payload, "acme")
    assert (request.namespace, request.version) == ("acme", "")
    victim = Request(model="m", messages="Hi", namespace="victim", version="1")
    assert request_key(as_request(payload)) != request_key(victim) != request_key(request)


@pytest.mark.parametrize("other", [{"namespace": "acme"}, {"version": "2"}])
def test_a_request_has_one_tenant(other: dict[str, str]) -> None:
    with pytest.raises(InvalidValueError, match="namespace and version must be those of the Request"):
        as_request(Request(model="m", messages="Hi", namespace="zeta", version="1"), **other)


@pytest.mark.parametrize("payload", [{}, {"model": "m"}, {"messages": "x"}, "question", None])
def test_other_things_are_no_request(payload: Any) -> None:
    with pytest.raises(InvalidValueError, match="request must be a Request or a mapping with model and messages"):
        as_request(payload)


@pytest.mark.parametrize(
    ("parameters", "sampled"),
    [({}, False), ({"temperature": 0}, False), ({"temperature": 0.7}, True), ({"temperature": 1, "seed": 7}, False),
     ({"temperature": None}, False)],
)  # fmt: skip
def test_a_temperature_without_a_seed_asks_for_a_random_answer(parameters: dict[str, Any], sampled: bool) -> None:
    assert is_sampled(replace(BASE, parameters=parameters)) is sampled


def test_text_is_the_users_last_word() -> None:
    assert BASE.text == "Where are my files?"
    assert Request(model="m", messages="Hi").text == "Hi"
    assert replace(BASE, messages=[*MESSAGES, {"role": "assistant", "content": "Here."}]).text == ""
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": "..."}]}
    assert replace(BASE, messages=[picture]).text == ""


def test_a_scope_is_all_but_the_text() -> None:
    other = [MESSAGES[0], {"role": "user", "content": "Who shares my folder?"}]
    assert replace(BASE, messages=other).scope == BASE.scope
    assert (
        Request(model="m", messages="a").scope == Request(model="m", messages=[{"role": "user", "content": "b"}]).scope
    )
    changes = [change for change in CHANGES if "messages" not in change]
    scopes = {replace(BASE, **change).scope for change in changes} | {BASE.scope, BASE.within("desk").scope}
    assert len(scopes) == len(changes) + 2
    first = {"role": "system", "content": "Be rude."}
    assert replace(BASE, messages=[first, MESSAGES[1]]).scope != BASE.scope


def test_a_request_without_text_has_a_scope_of_its_own() -> None:
    answered = replace(BASE, messages=[*MESSAGES, {"role": "assistant", "content": "Here."}])
    assert answered.scope != replace(answered, messages=[*MESSAGES, {"role": "assistant", "content": "x"}]).scope
