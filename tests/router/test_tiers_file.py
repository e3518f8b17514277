"""The file of tiers: what it says is what is read, and a mistake is named with file, table and key."""

from pathlib import Path

import pytest

from costlab.catalog import ApiPrice, api_price
from costlab.router.tiers_file import TiersFileError, example_tiers, load_tiers, parse_tiers

LARGE = '[[tier]]\nname = "large"\nusd_per_request = 0.03\n'
SMALL = '[[tier]]\nname = "small"\nusd_per_request = 0.0005\n'


def test_the_example_has_the_source_lessons_prices_and_thresholds() -> None:
    found = parse_tiers(example_tiers())
    assert [tier.name for tier in found.keys.tier] == ["small", "medium", "large"]
    assert found.prices == (0.0005, 0.003, 0.03)
    assert [tier.min_confidence for tier in found.keys.tier[:-1]] == [0.95, 0.85]
    assert found.keys.cache is not None
    assert (found.keys.cache.hit_rate_fraction, found.keys.cache.usd_per_lookup) == (0.3, 0.00001)


def test_what_the_example_leaves_out_can_be_put_in() -> None:
    offered = [
        line.removeprefix("# ") for line in example_tiers().splitlines() if line.startswith(("# model", "# path"))
    ]
    assert len(offered) == 5
    for line in offered:
        parse_tiers(LARGE + line if line.startswith("model") else f"{LARGE}[outcomes]\n{line}")


def test_a_price_is_per_request_from_the_catalogue_or_by_the_token() -> None:
    listed, own = parse_tiers(
        '[[tier]]\nname = "a"\nprice = { model = "gpt-4o-mini", as_of = 2026-01-01 }\n'
        '[[tier]]\nname = "b"\nprice = { input_usd_per_mtok = 1.0, cached_input_usd_per_mtok = 0.1, '
        "output_usd_per_mtok = 4.0 }\n"
    ).prices
    assert listed == api_price("gpt-4o-mini", as_of="2026-01-01")
    assert isinstance(own, ApiPrice)
    # 800 of 1,000 input tokens at a tenth of a dollar per million, 200 at a dollar, and 10 of the answer at four.
    assert own.usd(1000, output_tokens=10, cached_input_tokens=800) == pytest.approx((80 + 200 + 40) / 1e6)
    assert own.model == "b"


def test_a_price_may_be_that_of_a_tier_and_less_a_discount_and_rates_may_have_every_kind() -> None:
    batch, own = parse_tiers(
        '[[tier]]\nname = "a"\nprice = { model = "gpt-4o-mini", service_tier = "batch", discount_fraction = 0.1 }\n'
        '[[tier]]\nname = "b"\nprice = { input_usd_per_mtok = 1.0, cache_write_usd_per_mtok = 1.25, '
        "output_usd_per_mtok = 4.0, reasoning_usd_per_mtok = 2.0, usd_per_request = 0.5, usd_per_search = 0.01 }\n"
    ).prices
    assert isinstance(batch, ApiPrice)
    assert isinstance(own, ApiPrice)
    assert batch.usd(1000, 10) == pytest.approx(0.45 * api_price("gpt-4o-mini").usd(1000, 10))
    by_hand = (200 + 800 * 1.25 + 10 * 4 + 30 * 2) / 1e6 + 0.5 + 2 * 0.01
    assert own.usd(1000, 40, cache_write_tokens=800, reasoning_tokens=30, searches=2) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.toml: tier is missing"),
        ("tier = []", "t.toml: tier must be there 1 to 12 times, got 0"),
        (
            "".join(SMALL.replace("small", str(i)) for i in range(13)),
            "t.toml: tier must be there 1 to 12 times, got 13",
        ),
        ("tier = 3", "t.toml: tier must be a list, got 3"),
        ("tier = [3]", "t.toml: tier.1 must be a table, got 3"),
        ("x =", "t.toml is not TOML: Invalid value"),
        ("[cach]\n" + LARGE, "t.toml: unknown key cach; did you mean 'cache'?"),
        ("[cache]\nhit_rate = 0.3\n" + LARGE, "unknown key cache.hit_rate; did you mean 'hit_rate_fraction'?"),
        ("[cache]\nhit_rate_fraction = 1.5\n" + LARGE, "cache.hit_rate_fraction must be <= 1, got 1.5"),
        ("[outcomes]\nfile = 'a.csv'\n" + LARGE, "outcomes.path is missing; unknown key outcomes.file"),
        (LARGE + "min_confidance = 0.9", "t.toml: unknown key tier.1.min_confidance; did you mean 'min_confidence'?"),
        (SMALL + "min_confidence = 2\n" + LARGE, "t.toml: tier.1.min_confidence must be <= 1, got 2"),
        (LARGE.replace("0.03", "-1"), "t.toml: tier.1.usd_per_request must be >= 0, got -1"),
        (LARGE.replace("0.03", "nan"), "t.toml: tier.1.usd_per_request must be a finite number, got nan"),
        (LARGE.replace("0.03", "1e308"), "t.toml: tier.1.usd_per_request must be <= 1000000000000000, got 1e+308"),
        (LARGE.replace("0.03", '"0.03"'), "t.toml: tier.1.usd_per_request must be a valid number, got '0.03'"),
        ('[[tier]]\nname = "a"', "t.toml: tier.1 must have usd_per_request or price, got neither"),
        (LARGE + "price = {}", "t.toml: tier.1 must have usd_per_request or price, got both"),
        ('[[tier]]\nname = "a"\nprice = {}', "tier.1.price must have model or input_usd_per_mtok, got neither"),
        ('[[tier]]\nname = "a"\nprice = { model = "gpt-4oo" }', "tier.1.price: unknown model 'gpt-4oo'; did you mean"),
        (LARGE + LARGE, "t.toml: tier.name must be used once and never be 'cache', got ['large', 'large']"),
        (LARGE.replace("large", "cache"), "t.toml: tier.name must be used once and never be 'cache', got ['cache']"),
        (LARGE.replace('"large"', '""'), "t.toml: tier.1.name must be"),
        (LARGE + "gate = { words = 3 }", "unknown key tier.1.gate.words; did you mean 'max_words'?"),
        (LARGE + "simulation = { latency = 3 }", "unknown key tier.1.simulation.latency; did you mean 'latency_s'?"),
        (LARGE + "model = 3", "t.toml: tier.1.model must be a table, got 3"),
        (LARGE + "model = {}", "t.toml: tier.1.model.kind is missing"),
        (
            LARGE + 'model = { kind = "opnai" }',
            "tier.1.model.kind must be one of 'scripted', 'sklearn', 'minilm', 'openai', got 'opnai'; did you mean",
        ),
        (LARGE + 'model = { kind = "openai" }', "t.toml: tier.1.model.model is missing"),
        (
            LARGE + 'model = { kind = "openai", model = "m", bas_url = "x" }',
            "t.toml: unknown key tier.1.model.bas_url; did you mean 'base_url'?",
        ),
        (
            SMALL + LARGE + 'model = { kind = "scripted", answers = [{ query = "q", answer = "a" }] }',
            "t.toml: tier.2.model.answers.1.confidence is missing",
        ),
        (LARGE + 'model = { kind = "sklearn", dataset = "suport" }', "tier.1.model.dataset must be 'support'"),
    ],
)
def test_a_mistake_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(TiersFileError) as raised:
        parse_tiers(text, "t.toml")
    assert message in str(raised.value)
    assert str(raised.value).startswith("t.toml")
    assert "\n" not in str(raised.value)


def test_a_file_is_text_and_its_folder_is_where_paths_begin(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LARGE.encode())  # as some editors save it
    found = load_tiers(path)
    assert (found.name, found.folder) == ("mine.toml", tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TiersFileError, match=r"mine.toml is not a text in UTF-8"):
        load_tiers(path)
    with pytest.raises(FileNotFoundError):
        load_tiers(tmp_path / "nothing.toml")
