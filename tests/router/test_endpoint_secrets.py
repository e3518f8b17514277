"""Keys and passwords before a real server that repeats them, sends requests on, or never ends: what gets out."""

from __future__ import annotations

import base64
import contextlib
import gzip
import html
import json
import logging
import os
import traceback
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from costlab._internal.masking import LEAST_RUN
from costlab.errors import CostlabError, InvalidValueError
from costlab.router import EndpointModel, ModelError, load_tiers, open_cascade
from costlab.router.models.endpoint import MOST_HOPS, _headers
from tests import needs
from tests.router.chat_server import ChatServer, Handler, Script, completion, fails, replies, says

needs.extra("httpx2", "router")

pytestmark = pytest.mark.anyio

KEY = "sk-0123-harmless-ABCDEF"
#: What a key may hold, since a header can carry it: every mark that some way of writing escapes.
ODD_KEY = "sk-\"0123'\\/harmless<&>+=%2541"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("ODD_KEY", ODD_KEY)


def told(error: BaseException) -> str:
    """All that an error says in any way, through what it came from, too."""
    words = ""
    one: BaseException | None = error
    while one is not None:
        words += "".join(traceback.format_exception_only(one)) + f"{one}{one!r}{one.args}{vars(one)}"
        one = one.__cause__ or one.__context__
    return words


def holds(words: str, secret: str) -> bool:
    """Whether a text has a part of a secret by which one would know it."""
    return any(secret[i : i + LEAST_RUN] in words for i in range(len(secret) - LEAST_RUN + 1))


def variables(error: BaseException) -> str:
    """What a tool that reports an error with the local variables of its traceback would print of the package's."""
    frames = traceback.walk_tb(error.__traceback__)
    ours = [frame for frame, _ in frames if f"{os.sep}costlab{os.sep}" in frame.f_code.co_filename]
    return " ".join(repr(value) for frame in ours for value in frame.f_locals.values())


async def failure(url: str, key_variable: str | None = "MY_KEY", **settings: Any) -> ModelError:
    async with EndpointModel("m", url, key_variable, **({"retries": 0} | settings)) as model:
        with pytest.raises(ModelError) as found:
            await model.predict("Is it on?")
    return found.value


def headers(server: ChatServer, number: int = 0) -> dict[str, str]:
    return {name.lower(): value for name, value in server.requests[number]["headers"].items()}


# --- the key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flaw", ["{}\n", "{}\r\n", "{} ", " {}", "{}\t", "\N{ZERO WIDTH NO-BREAK SPACE}{}", "{}\x1b", "{}…"]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, flaw: str) -> None:
    monkeypatch.setenv("MY_KEY", flaw.format(KEY))
    with pytest.raises(CostlabError, match="must hold a key, of visible ASCII characters alone") as found:
        EndpointModel("m", "http://127.0.0.1:9/v1", "MY_KEY")
    assert not holds(told(found.value), KEY)
    shown = variables(found.value)
    assert shown
    assert not holds(shown, KEY)


@pytest.mark.parametrize(
    "pasted", [KEY, "gsk_0123harmless", "AIzaSy0123_harmless", "sk_live_0123harmless", "", "MY KEY", "MY_KEY\n"]
)
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_shown(pasted: str) -> None:
    with pytest.raises(InvalidValueError, match="key_variable must be the name of an environment variable") as found:
        EndpointModel("m", "http://127.0.0.1:9/v1", pasted)
    assert not holds(told(found.value), pasted)


def test_a_key_in_capitals_in_the_place_of_its_variable_is_not_shown() -> None:
    with pytest.raises(CostlabError, match=r"the environment variable that key_variable names, .* is not set") as found:
        EndpointModel("m", "http://127.0.0.1:9/v1", "AKIA0123HARMLESS")
    assert not holds(told(found.value), "AKIA0123HARMLESS")


def forms(key: str) -> Iterator[str]:
    yield from (key, repr(key), repr([key]), json.dumps(key), html.escape(key), quote(key, safe=""), key.upper())
    yield json.dumps([key]).replace("/", "\\/")


@pytest.mark.parametrize("filler", [0, 150, 185, 199, 5000])
@pytest.mark.parametrize("variable", ["MY_KEY", "ODD_KEY"])
async def test_what_a_server_repeats_of_a_key_is_masked(variable: str, filler: int) -> None:
    key = {"MY_KEY": KEY, "ODD_KEY": ODD_KEY}[variable]
    texts = [f"{'x' * filler} the key {form} is wrong" for form in forms(key)]
    answers: list[Script] = []
    for text in texts:
        answers += [
            fails(401, text),
            lambda handler, _, text=text: handler.reply(500, text),  # type: ignore[misc]
            replies(text),
            says(completion(message={"content": None, "refusal": text})),
            says(completion(text)),
        ]
    with ChatServer(*answers) as server:
        async with EndpointModel("m", server.url, variable, retries=0, parse=int) as model:
            for _ in answers:
                with pytest.raises(ModelError) as found:
                    await model.predict("Is it on?")
                said = told(found.value).lower()
                assert [form for form in forms(key) if holds(said, form.lower())] == [], said
        assert headers(server)["authorization"] == f"Bearer {key}"
        assert len(server.requests) == len(answers)


async def test_what_a_server_repeats_of_a_key_is_in_no_variable_of_an_error() -> None:
    answers = [
        fails(401, KEY),
        lambda handler, _: handler.reply(500, KEY),
        lambda handler, _: handler.reply(302, "", location=f"http://other.example/{KEY}"),
        replies(KEY),
        says(completion(KEY)),
        says(completion(message={"content": None, "refusal": KEY})),
        replies(KEY * 100),
    ]
    with ChatServer(*answers) as server:
        for _ in answers:
            failed = await failure(server.url, parse=int, max_answer_bytes=1000)
            shown = variables(failed)
            assert "EndpointModel" in shown
            assert not holds(shown, KEY)


async def test_what_a_server_repeats_of_half_a_key_is_masked() -> None:
    with ChatServer(fails(401, f"incorrect key {KEY[:14]}[...]{KEY[12:]}")) as server:
        error = await failure(server.url)
    assert "incorrect key ***[...]***" in str(error)
    assert not holds(told(error), KEY)


async def test_what_a_parser_says_is_kept_where_it_repeats_no_key() -> None:
    with ChatServer(says(completion("four"))) as server:
        error = await failure(server.url, parse=int)
    assert isinstance(error.__cause__, ValueError)


async def test_a_server_without_a_key_is_sent_none() -> None:
    with ChatServer(says(completion())) as server:
        async with EndpointModel("m", server.url, None) as model:
            await model.predict("?")
    assert "authorization" not in headers(server)


# --- the address -----------------------------------------------------------------------------------------


async def test_user_password_and_query_reach_the_server_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = (says(completion()), fails(500, "not for ann:pa55-word-1 (pa55-word-1, api-token=query-7)"))
    with ChatServer(*answers) as server:
        address = server.url.replace("://", "://ann:pa55%2Dword-1@") + "?api-token=query-7"
        async with EndpointModel("m", address, None, retries=0) as model:
            assert (await model.predict("?")).answer == "yes"
            assert model.base_url == server.url
            shown = f"{model!r} {vars(model)}"
        error = await failure(address, None)
    assert [asked["path"] for asked in server.requests] == ["/v1/chat/completions?api-token=query-7"] * 2
    assert headers(server)["authorization"] == "Basic " + base64.b64encode(b"ann:pa55-word-1").decode()
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "POST" in said
    for words in (told(error), said, shown.replace("query-7", "", 1)):  # the address that it needs is one attribute
        for secret in ("pa55", "ann:", "query-7"):
            assert secret not in words


@pytest.mark.parametrize(
    "address",
    [
        "https://ann:pa/55w0rd@llm.example/v1",
        "https://ann:12?34w0rd@llm.example/v1",
        "https://ann:pa55w0rd@",
        "https://ann:pa55w0rd",
        "https://llm.example/v1?mail=ann@pa55w0rd",
        "https://[ann:pa55w0rd@llm.example/v1",
        "https://llm.example/pa55w0rd v1",
        "pa55w0rd",
        "ann:pa55w0rd@llm.example",
    ],
)
def test_an_address_that_cannot_be_used_is_not_repeated(address: str) -> None:
    with pytest.raises(InvalidValueError, match="base_url must be") as found:
        EndpointModel("m", address, None)
    for part in ("pa55", "w0rd", "34", "ann"):
        assert part not in told(found.value)


@pytest.mark.parametrize(
    "address", ["http://[v1.x]/v1", "http://h:99999/v1", "http:///v1", "https://m\u00fcnchen.example/v1"]
)
def test_an_address_that_is_none_is_an_error_of_ours(address: str) -> None:
    with pytest.raises(InvalidValueError, match="base_url must be an address"):
        EndpointModel("m", address, None)


def test_a_password_and_a_key_cannot_both_be_sent() -> None:
    with pytest.raises(InvalidValueError, match="base_url must be without user and password where a key is sent"):
        EndpointModel("m", "https://ann:pa55@llm.example/v1", "MY_KEY")


@pytest.mark.parametrize(
    "model",
    [
        'base_url = 7, key_variable = ["{}"]',
        'base_url = ["https://ann:{}@llm.example"]',
        'key_variable = "{}"',
        'key_variable = "MY_KEY", base_url = "https://ann:{}@llm.example"',
        'base_url = "{}"',
        'parameters = "{}"',
        'api_key = "{}"',
        'parameters = {{ key = "{}" }}, retries = -1',
        'kin = "{}"',
    ],
)
async def test_a_file_of_tiers_that_cannot_be_used_does_not_show_what_stands_in_it(tmp_path: Path, model: str) -> None:
    (tmp_path / "t.toml").write_text(
        '[[tier]]\nname = "large"\nusd_per_request = 1\n'
        f'model = {{ kind = "openai", model = "m", {model.format(KEY)} }}\n'
    )
    with pytest.raises(CostlabError, match=r"t\.toml: ") as found:
        async with open_cascade(load_tiers(tmp_path / "t.toml")):
            raise AssertionError("it was taken")
    assert not holds(told(found.value), KEY)


def test_a_file_of_tiers_that_was_read_does_not_show_what_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        '[[tier]]\nname = "large"\nusd_per_request = 1\nmodel = { kind = "openai", model = "m", key_variable = "", '
        f'base_url = "https://ann:{KEY}@llm.example", parameters = {{ user = "{KEY}" }} }}\n'
    )
    found = load_tiers(tmp_path / "t.toml")
    assert not holds(f"{found!r}{found}{found.keys.tier[0].model}", KEY)
    assert found.keys.tier[0].model.base_url == f"https://ann:{KEY}@llm.example"  # type: ignore[union-attr]


def test_a_table_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    model = f'{{ kind = "openai", base_url = "https://ann:{KEY}@llm.example" }}'
    for text in (f"tier = {model}", f"[[tier]]\nname = {model}", f"[[tier]]\nmodel = [{model}]"):
        (tmp_path / "t.toml").write_text(text)
        with pytest.raises(CostlabError, match=r"got a (table|list)") as found:
            load_tiers(tmp_path / "t.toml")
        assert not holds(told(found.value), KEY)


# --- other servers ---------------------------------------------------------------------------------------


async def test_what_openai_is_to_know_goes_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    for variable in ("ORG_ID", "PROJECT_ID", "ADMIN_KEY", "API_KEY"):
        monkeypatch.setenv(f"OPENAI_{variable}", f"secret-{variable}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: secret-team")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    with ChatServer(says(completion())) as server:
        async with EndpointModel("m", server.url, "MY_KEY") as model:
            await model.predict("?")
    assert not any("secret" in value for value in headers(server).values())

    def account(address: str, key: str = KEY) -> set[str]:
        return {name for name in _headers(key, httpx2.URL(address)) if name.startswith("OpenAI")}

    both = {"OpenAI-Organization", "OpenAI-Project"}
    assert account("https://api.openai.com/v1") == account("https://eu.api.openai.com/v1") == both
    others = ("http://api.openai.com/v1", "https://api.openai.com.example/v1", "https://notapi.openai.com/v1")
    assert [account(address) for address in others] == [set()] * 3
    assert account("https://api.openai.com/v1", key="") == set()
    monkeypatch.setenv("OPENAI_ORG_ID", "org\n")
    assert account("https://api.openai.com/v1") == {"OpenAI-Project"}


def sends_on(status: int, goal: str) -> Script:
    return lambda handler, _: handler.reply(status, "", location=goal)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_key_does_not_travel_to_another_server(status: int) -> None:
    with ChatServer(says(completion())) as other:
        goals = (
            other.url,
            f"//{other.url.partition('://')[2]}",
            other.url.replace("://", f"://ann:{KEY}@") + f"?k={KEY}",
        )
        for goal in goals:
            with ChatServer(sends_on(status, goal)) as server:
                error = await failure(server.url)
                https = await failure(server.url, retries=2)
            assert f"the server answered {status}: " in str(error)
            assert error.bill_unknown is https.bill_unknown is False
            assert not holds(told(error), KEY)
            assert len(server.requests) == 2
    assert other.requests == []


@pytest.mark.parametrize("status", [307, 308])
async def test_a_server_may_send_on_to_another_of_its_own_places(status: int) -> None:
    with ChatServer(sends_on(status, "/v2/chat/completions?n=1"), says(completion("on"))) as server:
        async with EndpointModel("m", server.url, "MY_KEY") as model:
            assert (await model.predict("Is it on?")).answer == "on"
    first, second = server.requests
    assert (first["path"], second["path"]) == ("/v1/chat/completions", "/v2/chat/completions?n=1")
    assert first["body"] == second["body"]
    assert headers(server, 1)["authorization"] == f"Bearer {KEY}"


async def test_a_ring_of_places_ends() -> None:
    with ChatServer(sends_on(308, "/v1/chat/completions")) as server:
        assert "answered 308" in str(await failure(server.url))
        assert len(server.requests) == 1 + MOST_HOPS


# --- long answers ----------------------------------------------------------------------------------------


def endless(status: int, **given: str) -> Script:
    """A script that writes until the client hangs up."""

    def script(handler: Handler, _: dict[str, Any]) -> None:
        handler.send_response(status)
        for name, value in ({"content_type": "application/json", "connection": "close"} | given).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b'{"choices": ' + b"[" * 2**16)

    return script


@pytest.mark.parametrize(
    ("script", "message", "unknown"),
    [
        (endless(200), "the answer has more than 2,097,152 bytes", True),
        (endless(200, content_length=str(10**15)), "the answer has more than 2,097,152 bytes", True),
        (endless(500), "the server answered 500: ", True),
        (endless(404), "the server answered 404: ", False),
    ],
)
async def test_an_answer_without_an_end_is_an_error_in_little_memory(
    script: Script, message: str, unknown: bool
) -> None:
    with ChatServer(script) as server:
        tracemalloc.start()
        try:
            error = await failure(server.url, timeout_s=60)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert message in str(error)
    assert error.bill_unknown is unknown
    assert most_bytes < 100e6
    assert len(str(error)) < 1200


@pytest.mark.parametrize("unit", ["[],", '{"a":{}},', "[[]],", "1.5,"])
async def test_an_answer_within_its_limit_takes_little_memory_whatever_it_says(unit: str) -> None:
    count = (2 * 2**20 - 20) // len(unit)
    with ChatServer(replies('{"choices": [' + unit * count + "0]}")) as server:
        tracemalloc.start()
        try:
            await failure(server.url, timeout_s=60)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most_bytes < 100e6


async def test_the_limit_can_be_set_and_is_exact() -> None:
    text = json.dumps(completion())
    with ChatServer(replies(text)) as server:
        async with EndpointModel("m", server.url, None, max_answer_bytes=len(text)) as model:
            assert (await model.predict("?")).answer == "yes"
        assert "more than" in str(await failure(server.url, None, max_answer_bytes=len(text) - 1))
    with pytest.raises(InvalidValueError, match="max_answer_bytes must be a whole number >= 1"):
        EndpointModel("m", "http://127.0.0.1:9/v1", None, max_answer_bytes=0)


@pytest.mark.parametrize(
    ("status", "message"), [(200, "compressed, which was not asked for"), (500, "a compressed text")]
)
async def test_a_compressed_answer_is_not_unpacked(status: int, message: str) -> None:
    def packed(handler: Handler, _: dict[str, Any]) -> None:
        body = gzip.compress(json.dumps(completion()).encode())
        handler.send_response(status)
        handler.send_header("content-encoding", "gzip")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with ChatServer(packed) as server:
        error = await failure(server.url)
        assert message in str(error)
        assert error.bill_unknown
        assert headers(server)["accept-encoding"] == "identity"


def test_parameters_that_json_cannot_say_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidValueError, match="parameters must be what JSON can say, got 'dict'"):
        EndpointModel("m", "http://127.0.0.1:9/v1", None, parameters={"stop": {KEY}})
