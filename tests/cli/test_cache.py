import json

import pytest

from costlab.catalog import current_store_prices
from tests.commands import Run, command_line

TRAFFIC = ("--requests", "100000", "--unique", "500000", "--zipf", "0.9")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys, "cache", "size")


def test_size_answers_how_big_and_does_it_pay(run: Run) -> None:
    status, out, err = run(*TRAFFIC)
    assert (status, err) == (0, "")
    for price in current_store_prices():
        assert price.name in out
    for text in ("86.9%", "yes", "2026-06-01", "Answers of 4 kB, good for 30 days"):
        assert text in out


def test_json_is_one_object_with_every_term_and_the_source(run: Run) -> None:
    status, out, err = run(*TRAFFIC, "--store", "elasticache-serverless-valkey", "--embedding-usd", "0.001", "--json")
    assert (status, err) == (0, "")
    (found,) = json.loads(out)["sizes"]
    saving = found["saving"]
    paid = ("embeddings_usd", "store_usd", "lookups_usd", "writes_usd", "wrong_answers_usd")
    assert saving["net_usd"] == pytest.approx(saving["calls_avoided_usd"] - sum(saving[term] for term in paid))
    assert saving["embeddings_usd"] == pytest.approx(100)
    assert saving["lookups_usd"] == pytest.approx(1e5 * 4 * 0.0023 / 1e6)
    assert found["store"]["checked"] == "2026-06-01"
    assert found["pays"] is True


def test_a_cache_that_no_hit_rate_pays_says_never(run: Run) -> None:
    wrong = ("--false-hits", "0.1", "--wrong-usd", "1", "--store", "redis")
    status, out, _ = run(*TRAFFIC, *wrong)
    assert status == 0
    assert "never" in out
    assert "no" in out
    (found,) = json.loads(run(*TRAFFIC, *wrong, "--json")[1])["sizes"]
    assert found["break_even_hit_rate"] is None


def test_a_store_that_dwarfs_the_calls_has_no_endless_percentage(run: Run) -> None:
    for call_usd in ("1e-9", "1e-320"):
        status, out, _ = run(*TRAFFIC, "--call-usd", call_usd, "--store", "cache.r7g.large-redis")
        assert status == 0
        assert "< -1000%" in out
        assert "inf" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAFFIC, "--zipf", "-1"), "zipf must be a number >= 0, got -1.0"),
        ((*TRAFFIC, "--unique", "many"), "Invalid value for '--unique': must be a whole number, got 'many'"),
        ((*TRAFFIC, "--unique", "0"), "unique must be a whole number >= 1, got 0"),
        ((*TRAFFIC, "--requests", "0"), "requests must be a number > 0, got 0.0"),
        ((*TRAFFIC, "--days", "nan"), "days must be a number > 0, got nan"),
        ((*TRAFFIC, "--entry-kb", "0"), "entry_kb must be a number > 0, got 0.0"),
        ((*TRAFFIC, "--call-usd", "0"), "call_usd must be a number > 0, got 0.0"),
        ((*TRAFFIC, "--false-hits", "10"), "false_hit_fraction must be a fraction >= 0 and <= 1, got 10.0"),
        ((*TRAFFIC, "--store", "valkey"), "unknown store 'valkey'"),
        ((*TRAFFIC, "--as-of", "soon"), "as_of must be a date such as 2026-01-31, got 'soon'"),
        (
            (*TRAFFIC, "--as-of", "2020-01-01"),
            "no price of a store on or before 2020-01-01; `costlab prices` lists all",
        ),
        (TRAFFIC[:4], "Missing option '--zipf'"),
    ],
)
def test_errors_are_one_line_and_status_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
