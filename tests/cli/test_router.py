"""``costlab simulate`` and ``costlab route``, as somebody types them."""

import json
import math
from pathlib import Path

import pytest

from costlab.router import worked_example
from tests import needs
from tests.commands import Run, command_line
from tests.router.chat_server import ChatServer, fails
from tests.router.test_tiers_simulation import made, write

LARGE = '[[tier]]\nname = "large"\nusd_per_request = 0.03\n'
OPENAI = 'model = { kind = "openai", model = "m", base_url = "http://127.0.0.1:9/v1", retries = 0 }\n'


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys)


@pytest.fixture
def example(run: Run, tmp_path: Path) -> str:
    """The example, as a reader makes it."""
    status, out, err = run("route", "--example")
    assert (status, err) == (0, "")
    assert run("simulate", "--example")[1] == out
    (tmp_path / "tiers.toml").write_text(out)
    return str(tmp_path / "tiers.toml")


@pytest.fixture
def labelled(example: str, tmp_path: Path) -> str:
    """A file with labelled queries."""
    write(tmp_path / "outcomes.csv", made())
    path = tmp_path / "two.toml"
    path.write_text(
        '[[tier]]\nname = "small"\nusd_per_request = 0.001\nmin_confidence = 0.6\ngate = { max_words = 3 }\n'
        f'{LARGE}[outcomes]\npath = "outcomes.csv"\n'
    )
    return str(path)


def test_simulate_shows_each_tier_and_the_bill_but_no_saving_without_quality(run: Run, example: str) -> None:
    status, out, err = run("simulate", example)
    assert (status, err) == (0, "")
    for text in ("1,000,000 requests, seed 0", "cache", "small", "medium", "large", "quality: unknown", "tried"):
        assert text in out
    assert "saving: not stated" in out
    assert "saves" not in out


def test_simulate_as_json_is_the_source_lessons_bill(run: Run, example: str) -> None:
    status, out, err = run("simulate", example, "--requests", "1000000", "--seed", "5", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["usd"] == pytest.approx(worked_example().low_usd_per_day, rel=0.01)
    assert found["served_only_usd"] == pytest.approx(worked_example().lesson_usd_per_day, rel=0.01)
    assert (found["requests"], found["seed"], found["quality_fraction"]) == (1_000_000, 5, None)
    assert found["comparison"] is None
    assert "saving" not in out
    tiers = found["tiers"]
    assert [tier["name"] for tier in tiers] == ["cache", "small", "medium", "large"]
    assert sum(tier["served"] for tier in tiers) == 1_000_000
    assert math.isclose(sum(tier["usd"] for tier in tiers), found["usd"])


def test_savings_stand_beside_quality_and_all_four_baselines(run: Run, labelled: str) -> None:
    status, out, err = run("simulate", labelled)
    assert (status, err) == (0, "")
    for text in ("all at large", "random mix of the", "best fixed mix", "oracle", "quality", "200 labelled queries"):
        assert text in out
    assert "95 % interval" in out
    assert "gates are not asked" in out
    compared = json.loads(run("simulate", labelled, "--json")[1])["comparison"]
    assert {"usd_per_request", "quality_fraction", "quality_low", "quality_high", "queries"} < set(compared)
    assert [one["name"] for one in compared["baselines"]] == ["all_large", "random_mix", "best_fixed_mix", "oracle"]
    for one in compared["baselines"]:
        assert set(one) == {"name", "usd_per_request", "quality_fraction", "saving_fraction"}


def test_a_mix_that_is_never_as_good_is_said_not_to_be(run: Run, labelled: str, tmp_path: Path) -> None:
    outcomes = made()
    outcomes.correct[:, 0] = outcomes.confidence[:, 0] > 0.6  # right exactly where it is trusted
    outcomes.correct[:20, 0], outcomes.correct[:20, 1], outcomes.confidence[:20, 0] = 1, 0, 0.9
    write(tmp_path / "outcomes.csv", outcomes)
    out = run("simulate", labelled)[1]
    assert "reaches no such quality" in out
    assert "nan" not in out
    for one in json.loads(run("simulate", labelled, "--json")[1])["comparison"]["baselines"][1:3]:
        assert (one["usd_per_request"], one["quality_fraction"], one["saving_fraction"]) == (None, None, None)


def test_a_trillion_requests_take_no_longer(run: Run, example: str) -> None:
    status, out, err = run("simulate", example, "--requests", str(10**12), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["usd_per_request"] == pytest.approx(worked_example().low.usd_per_request, rel=1e-5)


def test_route_gives_the_answer_and_the_trail(run: Run, example: str) -> None:
    status, out, err = run("route", example, "Why is it slow?")
    assert (status, err) == (0, "")
    assert out.startswith("A colleague will call you back.\n")
    for text in ("small", "escalated", "0.500", "medium", "large", "answered", "answered by large, 0.0335 USD in all"):
        assert text in out


def test_route_as_json_is_one_object_with_every_attempt(run: Run, example: str) -> None:
    status, out, err = run("route", example, "How do I reset my password?", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["answer"], found["tier"]) == ("Settings, Security, Reset password.", "small")
    assert found["cost_usd"] == sum(one["cost_usd"] for one in found["attempts"]) == 0.0005
    assert found["latency_s"] > 0
    (attempt,) = found["attempts"]
    assert (attempt["tier"], attempt["outcome"], attempt["confidence"]) == ("small", "answered", 0.98)


def test_a_model_that_is_trained_first_says_so_on_stderr(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.extra("sklearn", "router")
    monkeypatch.setenv("COSTLAB_CACHE_DIR", str(tmp_path / "kept"))
    (tmp_path / "rows.csv").write_text("text,label\nreset my password,password\ncancel my plan,cancel\n")
    (tmp_path / "t.toml").write_text(LARGE + 'model = { kind = "sklearn", training = "rows.csv" }\n')
    status, out, err = run("route", str(tmp_path / "t.toml"), "my password", "--json")
    assert (status, err) == (0, "training large\n")
    assert json.loads(out)["answer"] == "password"
    assert run("route", str(tmp_path / "t.toml"), "my password", "--json")[2] == ""  # it is kept


@pytest.mark.parametrize("command", [("simulate",), ("route",)])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory: "),
        ("", "t.toml: tier is missing"),
        ("x", "t.toml is not TOML"),
        (LARGE + "min_confidance = 1", "t.toml: unknown key tier.1.min_confidance; did you mean 'min_confidence'?"),
        (LARGE.replace("0.03", "-0.03"), "t.toml: tier.1.usd_per_request must be >= 0, got -0.03"),
        (LARGE + "min_confidence = 2", "t.toml: tier.1.min_confidence must be <= 1, got 2"),
    ],
)
def test_a_bad_file_is_one_line_and_status_2(
    run: Run, tmp_path: Path, command: tuple[str, ...], text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "t.toml").write_text(text)
    status, out, err = run(*command, str(tmp_path / "t.toml"), *(["Why?"] if command == ("route",) else []))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate",), "no file of tiers given; --example prints one to begin with"),
        (("route",), "no file of tiers given; --example prints one to begin with"),
        (("simulate", "."), "no file of tiers given"),
        (("simulate", "FILE", "--requests", "0"), "requests must be a whole number >= 1, got 0"),
        (("simulate", "FILE", "--requests", "-5"), "requests must be a whole number >= 1, got -5"),
        (("simulate", "FILE", "--requests", "1e12"), "'--requests': must be a whole number, got '1e12'"),
        (("simulate", "FILE", "--requests", str(10**18)), "requests must be at most 1000000000000000, got 10000"),
        (("simulate", "FILE", "--seed", "-1"), "seed must be a whole number >= 0, got -1"),
        (("route", "FILE"), "question must be a text that is not empty, got ''"),
        (("route", "FILE", " \n"), "question must be a text that is not empty"),
    ],
)
def test_absurd_arguments_are_one_line_and_status_2(
    run: Run, example: str, arguments: tuple[str, ...], message: str
) -> None:
    status, out, err = run(*(example if one == "FILE" else one for one in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_key_that_is_not_set_is_said_before_anything_is_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "t.toml").write_text(LARGE + OPENAI)
    status, out, err = run("route", str(tmp_path / "t.toml"), "Why?")
    assert (status, out) == (2, "")
    assert "t.toml: tier.1.model: the environment variable OPENAI_API_KEY" in err
    assert err.count("\n") == 1


def test_a_key_is_shown_nowhere_whatever_goes_wrong(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("httpx2", "router")
    key, file = "sk-0123-harmless", tmp_path / "t.toml"

    def ask(said: str, server: str = "http://127.0.0.1:9/v1", variable: str = "MY_KEY", *options: str) -> str:
        settings = f'base_url = "{server}", key_variable = "{variable}", retries = 0'
        file.write_text(LARGE + f'model = {{ kind = "openai", model = "m", {settings} }}\n')
        status, out, err = run("route", str(file), "Why?", *options)
        assert status == 2
        assert said in err
        assert not any(key[i : i + 8] in out + err for i in range(len(key) - 7))
        return err

    monkeypatch.setenv("MY_KEY", f"{key}\n")
    ask("must hold a key, of visible ASCII characters alone")
    ask("key_variable must be the name of an environment variable", variable=key)
    monkeypatch.setenv("MY_KEY", key)
    ask("base_url must be", f"https://ann:{key}@llm.example/v1")
    ask("base_url must be", f"https://ann:{key}/@llm.example/v1")
    ask("no connection", f"http://127.0.0.1:9/v1?key={key}")
    with ChatServer(fails(401, "x" * 190 + f"incorrect key {key}")) as server:
        for options in ((), ("--json",)):
            ask("the server answered 401", server.url, "MY_KEY", *options)
        assert len(server.requests) == 2


def test_an_endpoint_that_is_not_there_is_one_line_with_what_was_paid(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.extra("httpx2", "router")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    small = '[[tier]]\nname = "small"\nusd_per_request = 0.002\nmin_confidence = 0.9\n'
    script = 'model = { kind = "scripted", answer = "perhaps" }\n'
    (tmp_path / "t.toml").write_text(small + script + LARGE + OPENAI)
    status, out, err = run("route", str(tmp_path / "t.toml"), "Why?", "--json")
    assert (status, out) == (2, "")
    assert "no connection" in err
    assert "paid all the same: 0.002 USD" in err
    assert "sk-secret" not in err
    assert err.count("\n") == 1
