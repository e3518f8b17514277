"""From a file of tiers to answers: every kind of model, and what is said where one cannot be had."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from costlab.cache.semantic import PackagedMiniLm
from costlab.errors import MissingExtraError
from costlab.router import CascadeFailedError, Routed
from costlab.router.tiers_file import TiersFileError, example_tiers, open_cascade, parse_tiers
from tests import needs
from tests.router.cascades import outcomes
from tests.router.chat_server import ChatServer, completion, says
from tests.router.tiny import LABELS, TEXTS

pytestmark = pytest.mark.anyio

SMALL = '[[tier]]\nname = "small"\nusd_per_request = 0.001\nmin_confidence = 0.6\n'
LARGE = '[[tier]]\nname = "large"\nusd_per_request = 0.03\n'
SURE = 'model = { kind = "scripted", answer = "large", confidence = 1.0 }\n'


async def ask(text: str, question: str = "reset password", folder: Path = Path(), **settings: Any) -> Routed:
    async def story() -> Routed:
        async with open_cascade(parse_tiers(text, "t.toml", folder), **settings) as cascade:
            return await cascade.route(question)

    return await story()


def labelled(folder: Path, *columns: str) -> None:
    rows = [f"{text},{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "rows.csv").write_text("\n".join([",".join(columns or ("text", "label")), *rows]))


async def test_the_example_answers_one_question_cheaply_and_others_dearly() -> None:
    known = await ask(example_tiers(), "How do I reset my password?")
    assert (known.tier, known.cost_usd) == ("small", 0.0005)
    other = await ask(example_tiers(), "Why is it slow?")
    assert outcomes(other) == [("small", "escalated"), ("medium", "escalated"), ("large", "answered")]
    assert other.cost_usd == pytest.approx(0.0005 + 0.003 + 0.03)
    long = await ask(example_tiers(), "Why is it slow? " * 11)
    assert outcomes(long)[0] == ("small", "skipped")
    assert long.cost_usd == pytest.approx(0.003 + 0.03)


async def test_a_gate_lets_as_many_words_through_as_it_says_and_is_paid_for() -> None:
    gated = SMALL + "gate = { max_words = 3, usd_per_request = 0.25 }\n" + SURE + LARGE + SURE
    assert outcomes(await ask(gated, "one two three"))[0] == ("small", "answered")
    skipped = await ask(gated, "one two three four")
    assert outcomes(skipped)[0] == ("small", "skipped")
    assert skipped.cost_usd == pytest.approx(0.25 + 0.03)


async def test_a_script_without_an_answer_sends_the_query_on() -> None:
    found = await ask(SMALL + 'model.kind = "scripted"\n' + LARGE + SURE)
    assert outcomes(found) == [("small", "error"), ("large", "answered")]
    assert found.cost_usd == 0.03


async def test_a_scripts_tokens_are_billed() -> None:
    text = '[[tier]]\nname = "a"\nprice = { input_usd_per_mtok = 1.0, output_usd_per_mtok = 10.0 }\n'
    script = 'model = { kind = "scripted", answer = "x", input_tokens = 1000, output_tokens = 100 }'
    assert (await ask(text + script)).cost_usd == pytest.approx(0.002)


async def test_a_deadline_ends_the_route() -> None:
    slow = 'model = { kind = "scripted", answer = "x", latency_s = 60.0 }\n'
    with pytest.raises(CascadeFailedError, match=r"no answer within 0.05 s"):
        await ask("[cascade]\ndeadline_s = 0.05\n" + LARGE + slow)
    with pytest.raises(CascadeFailedError, match="large: timeout"):
        await ask(LARGE + "timeout_s = 0.05\n" + slow)


async def test_a_call_that_is_given_up_costs_what_the_file_says() -> None:
    slow = 'model = { kind = "scripted", answer = "x", latency_s = 60.0 }\n'
    found = await ask(SMALL + "timeout_s = 0.05\nabandoned_usd_per_request = 0.25\n" + slow + LARGE + SURE)
    assert outcomes(found) == [("small", "timeout"), ("large", "answered")]
    assert found.cost_usd == pytest.approx(0.25 + 0.03)


async def test_a_classifier_is_trained_on_the_files_rows(tmp_path: Path) -> None:
    needs.extra("sklearn", "router")
    labelled(tmp_path)
    model = 'model = { kind = "sklearn", training = "rows.csv", c = 100.0 }\n'
    found = await ask(SMALL + model + LARGE + SURE, folder=tmp_path)
    assert (found.answer, found.tier) == ("password", "small")
    assert (await ask(SMALL.replace("0.6", "0.999") + model + LARGE + SURE, folder=tmp_path)).tier == "large"
    timid = await ask(SMALL + model.replace("100.0", "0.1") + LARGE + SURE, folder=tmp_path)
    assert (timid.attempts[0].confidence or 0) < (found.attempts[0].confidence or 0)
    labelled(tmp_path, "query", "intent")
    named = model.replace("}", ', text_column = "query", label_column = "intent" }')
    assert (await ask(SMALL + named + LARGE + SURE, folder=tmp_path)).answer == "password"


async def test_sentence_vectors_know_words_that_were_not_in_the_rows(tmp_path: Path, minilm: PackagedMiniLm) -> None:
    needs.extra("sklearn", "router")
    assert minilm.dimensions == 384
    labelled(tmp_path)
    found = await ask(LARGE + 'model = { kind = "minilm", training = "rows.csv" }', "lost my login code", tmp_path)
    assert found.answer == "password"


@pytest.mark.slow
async def test_the_shipped_queries_train_a_classifier_too() -> None:
    needs.extra("sklearn", "router")
    found = await ask(LARGE + 'model = { kind = "sklearn", dataset = "support" }', "How do I reset my password?")
    assert found.answer == "reset_forgotten_password"


async def test_a_server_is_asked_with_the_files_settings_and_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs.extra("httpx2", "router")
    monkeypatch.setenv("MY_KEY", "sk-secret")
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    with ChatServer(says(completion("on", usage, [math.log(0.9)]))) as server:
        model = (
            f'model = {{ kind = "openai", model = "m", base_url = "{server.url}", key_variable = "MY_KEY", '
            'system = "Be brief.", max_tokens = 0, parameters = { temperature = 0 } }\n'
        )
        price = "price = { input_usd_per_mtok = 1.0, output_usd_per_mtok = 10.0 }\n"
        found = await ask(f'[[tier]]\nname = "api"\nmin_confidence = 0.8\n{price}{model}{LARGE}{SURE}')
        (asked,) = server.requests
    assert (found.answer, found.tier) == ("on", "api")
    assert found.attempts[0].confidence == pytest.approx(0.9)
    assert found.cost_usd == pytest.approx(0.002)
    assert {key.lower(): value for key, value in asked["headers"].items()}["authorization"] == "Bearer sk-secret"
    assert asked["body"]["temperature"] == 0
    assert "max_tokens" not in asked["body"]
    assert asked["body"]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_server_that_is_not_there_sends_the_query_on_or_ends_it() -> None:
    needs.extra("httpx2", "router")
    with ChatServer(says(completion())) as server:
        url = server.url  # nobody listens there any more
    model = f'model = {{ kind = "openai", model = "m", base_url = "{url}", key_variable = "", retries = 0 }}\n'
    found = await ask(SMALL + model + LARGE + SURE)
    assert outcomes(found) == [("small", "error"), ("large", "answered")]
    assert "no connection" in found.attempts[0].error
    assert found.cost_usd == 0.03
    with pytest.raises(CascadeFailedError, match="no connection"):
        await ask(LARGE + model)


@pytest.mark.parametrize(
    ("model", "rows", "message"),
    [
        ("", "", "tier.1.model is missing; every tier needs one to answer"),
        ('kind = "sklearn"', "", "tier.1.model: must have training or dataset, got neither"),
        (
            'kind = "sklearn", dataset = "support", training = "x"',
            "",
            "tier.1.model: must have training or dataset, got both",
        ),
        ('kind = "sklearn", training = "no.csv"', "", "training: no.csv cannot be read: No such file or directory"),
        ('kind = "sklearn", training = "rows.csv"', "", "rows.csv has no column 'text' and 'label'"),
        (
            'kind = "sklearn", training = "rows.csv"',
            "text,label\na,b\n",
            "must have at least two different labels, got 1",
        ),
        ('kind = "sklearn", training = "rows.csv"', "text,label\n.,b\n.,c\n", "nothing to learn from: empty"),
        (
            'kind = "sklearn", training = "rows.csv"',
            "text,label\na,b\nb\n",
            "line 3: must have a text and a label, got",
        ),
        ('kind = "sklearn", training = "rows.csv"', "text,label\n\udcff,b\n", "rows.csv is not a CSV in UTF-8"),
    ],
)
async def test_a_model_that_cannot_be_trained_is_named(tmp_path: Path, model: str, rows: str, message: str) -> None:
    if model:
        needs.extra("sklearn", "router")
    (tmp_path / "rows.csv").write_bytes(rows.encode("utf-8", "surrogateescape"))
    with pytest.raises(TiersFileError) as raised:
        await ask(LARGE + (f"model = {{ {model} }}" if model else ""), folder=tmp_path)
    assert str(raised.value).startswith("t.toml: tier.1.model")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "t.toml: tier.1.model: the environment variable OPENAI_API_KEY, which holds the server's key, is not set"),
        (', base_url = "localhost"', "t.toml: tier.1.model: base_url must be an address that begins with http://"),
    ],
)
async def test_a_server_that_cannot_be_asked_is_named(
    monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(TiersFileError) as raised:
        await ask(LARGE + f'model = {{ kind = "openai", model = "m"{model} }}')
    assert str(raised.value).startswith(message)


async def test_a_library_that_is_missing_is_said_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r'pip install "costlab\[router\] @ git\+https://'):
        await ask(LARGE + 'model = { kind = "sklearn", dataset = "support" }')
