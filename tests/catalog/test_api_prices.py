"""API prices: read from the snapshot as they stand there, and nothing unknown is free."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import given, strategies as st

from costlab.catalog import ApiPrice, ApiTier, api_cost, api_models, api_price, api_snapshot, image_price
from costlab.catalog.api_prices import price_periods
from costlab.errors import AmbiguousPriceError, InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.workload import Workload
from tests import needs

TOKENS = st.integers(0, 150_000)


def price(**changes: object) -> ApiPrice:
    given_ = {"model": "m", "provider": "p", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}
    return ApiPrice(**{**given_, "as_of": date(2026, 1, 1), "snapshot": api_snapshot(), "source_url": "", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "claude-sonnet-4-5", "gemini-2.5-pro"])
@given(TOKENS, TOKENS, st.floats(0, 1))
def test_a_request_costs_what_the_library_says(model: str, tokens_in: int, out: int, share: float) -> None:
    cached = int(share * tokens_in)
    ours = api_price(model)
    theirs = calc_price(
        Usage(input_tokens=tokens_in, output_tokens=out, cache_read_tokens=cached),
        ours.model,
        provider_id=ours.provider,
    )
    assert math.isclose(ours.usd(tokens_in, out, cached), float(theirs.total_price), rel_tol=1e-12, abs_tol=1e-15)


def test_every_priced_model_costs_what_the_library_says() -> None:
    """All of the snapshot but those priced by the hour of the day, which are averaged here."""
    compared = 0
    for provider in providers:
        for model in provider.models:
            try:
                ours = api_price(model.id, provider.id)
            except PriceNotFoundError:
                continue
            if "changes with the hour" in ours.note or model.id != ours.model:
                continue
            out = 0 if ours.output_usd_per_mtok is None else 500
            moment = datetime(ours.as_of.year, ours.as_of.month, ours.as_of.day, 12, tzinfo=UTC)
            theirs = model.calc_price(
                Usage(input_tokens=1000, output_tokens=out), provider, genai_request_timestamp=moment
            )
            assert math.isclose(ours.usd(1000, out), float(theirs.total_price), rel_tol=1e-9, abs_tol=1e-15), model.id
            compared += 1
    assert compared > 1000


def test_a_price_per_request_is_counted() -> None:
    # Perplexity asks 12 dollars per thousand requests of sonar, beside the tokens.
    sonar = api_price("sonar")
    assert math.isclose(sonar.usd(400, 200), 0.012 + 600e-6)
    cost = api_cost(Workload(1000, 400, 200), sonar)
    assert cost.request_usd == 0.012
    assert math.isclose(cost.usd_per_request, cost.input_usd + cost.output_usd + cost.request_usd)


def test_a_price_that_changes_with_the_hour_is_the_mean_of_a_day() -> None:
    # DeepSeek: 0.27 dollars from 0:30 to 16:30 UTC, half of that at night.
    chat = api_price("deepseek-chat", "deepseek")
    assert math.isclose(chat.input_usd_per_mtok, (16 * 0.27 + 8 * 0.135) / 24)
    assert "mean over a day" in chat.note


def test_another_providers_model_is_priced_as_there_and_says_so() -> None:
    azure = api_price("gpt-4o", "azure")
    assert (azure.provider, azure.input_usd_per_mtok) == ("azure", 2.5)
    assert "price as at openai" in azure.note


def test_no_price_is_known_after_the_snapshot() -> None:
    with pytest.raises(PriceNotFoundError, match=r"no API prices after 2026-11-09, the day of genai-prices 0\.2\.3"):
        api_price("gpt-4o", as_of="2026-11-10")


@pytest.mark.parametrize("name", ["claude-haiku-4-5-foo", "claude-sonnet-4-5-bogus", "gemini-2.5-pro-xyz"])
def test_a_generous_rule_for_aliases_does_not_price_what_does_not_exist(name: str) -> None:
    with pytest.raises(UnknownNameError):
        api_price(name)


def test_a_long_request_pays_the_tier_for_all_its_tokens() -> None:
    # Anthropic, Sonnet 4.5: 3 USD up to 200,000 input tokens, 6 USD above, and 15 and 22.50 for the output.
    sonnet = api_price("claude-sonnet-4-5")
    assert math.isclose(sonnet.usd(200_000, 1000), 0.2 * 3 + 0.001 * 15)
    assert math.isclose(sonnet.usd(200_001, 1000), 0.200001 * 6 + 0.001 * 22.5)


def test_cached_tokens_are_never_counted_twice() -> None:
    one = price(cached_input_usd_per_mtok=0.1)
    assert math.isclose(one.usd(1000, 0, 1000), 1000 * 0.1e-6)
    assert math.isclose(one.usd(1000, 0, 400), 600 * 1e-6 + 400 * 0.1e-6)
    # Without a price of their own they cost what others cost, not nothing.
    assert price().usd(1000, 0, 1000) == price().usd(1000, 0, 0)


def test_prices_as_they_were_on_a_day() -> None:
    # OpenAI cut o3 from 10 to 2 dollars on 10 June 2025.
    assert api_price("o3", as_of="2025-06-09").input_usd_per_mtok == 10
    assert api_price("o3", as_of=date(2025, 6, 10)).input_usd_per_mtok == 2


def test_without_a_day_the_snapshots_own_day_is_meant() -> None:
    assert api_price("gpt-4o").as_of == api_snapshot().date
    assert api_price("gpt-4o").snapshot.version == version("genai-prices")


def test_the_tested_release_has_its_day() -> None:
    folder = Path(__file__).parents[2]
    (pin,) = [line for line in (folder / "constraints.txt").read_text().splitlines() if line.startswith("genai-prices")]
    rows = (folder / "costlab" / "catalog" / "api_snapshots.toml").read_text()
    assert f'version = "{pin.split("==")[1]}"' in rows


def test_names_with_a_release_date_are_the_model() -> None:
    assert api_price("gpt-4o-2024-08-06") == api_price("gpt-4o")


@pytest.mark.parametrize(
    ("model", "provider", "error", "message"),
    [
        ("gpt-4o-minii", None, UnknownNameError, "unknown model 'gpt-4o-minii'; did you mean 'gpt-4o-mini'?"),
        ("gpt-4o", "openia", UnknownNameError, "unknown provider 'openia'; did you mean 'openai'?"),
        ("gpt-4p", "openai", UnknownNameError, "unknown model at openai 'gpt-4p'; did you mean"),
        ("", None, UnknownNameError, "unknown model ''"),
        ("qqqqqqqqq", None, UnknownNameError, "unknown model 'qqqqqqqqq'; known: "),
        (
            "deepseek-ai/DeepSeek-V4.1-Flash",
            None,
            AmbiguousPriceError,
            "5 providers serve 'deepseek-ai/DeepSeek-V4.1-Flash': baseten",
        ),
        ("whisper-1", "openai", PriceNotFoundError, "no price per input token for 'whisper-1' at openai; there is"),
    ],
)
def test_nothing_unknown_or_unpriced_is_free(
    model: str, provider: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        api_price(model, provider)
    assert message in str(caught.value)


def test_every_model_in_the_snapshot_has_a_price_or_an_error() -> None:
    priced = refused = 0
    for provider in providers:
        for model in provider.models:
            try:
                found = api_price(model.id, provider.id)
            except PriceNotFoundError:
                refused += 1
                continue
            priced += 1
            assert math.isfinite(found.usd(1000))
            assert found.usd(1000) > 0 or "listed as free" in found.note
    assert priced > 1000
    assert refused < priced / 10


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((-1, 0, 0), "input_tokens must be a number >= 0, got -1"),
        ((math.nan, 0, 0), "input_tokens must be a number >= 0, got nan"),
        ((10, -1, 0), "output_tokens must be a number >= 0, got -1"),
        ((10, math.inf, 0), "output_tokens must be a number >= 0, got inf"),
        ((10, 0, 11), "cached_input_tokens must be between 0 and the 10 input tokens, got 11"),
        ((10, 0, -1), "cached_input_tokens must be between 0 and the 10 input tokens, got -1"),
    ],
)
def test_absurd_tokens_are_refused(tokens: tuple[float, float, float], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        price().usd(*tokens)
    assert message in str(caught.value)


def test_where_nobody_says_what_output_costs_it_is_not_free() -> None:
    with pytest.raises(InvalidValueError, match="output_tokens must be 0, as m has no output price, got 1"):
        price(output_usd_per_mtok=None).usd(10, 1)
    # A provider that asks for the input of an embedding alone does say so.
    embedding = api_price("text-embedding-3-small", "openai")
    assert math.isclose(embedding.usd(1_000_000, 1), 0.02)
    assert embedding.note == "output is not billed"


def test_searches_without_a_price_are_not_free() -> None:
    claude = api_price("claude-sonnet-4-5")
    assert math.isclose(claude.usd(1000, 0, searches=3), 0.003 + 3 * 0.01)
    with pytest.raises(InvalidValueError, match="searches must be 0, as claude-3-haiku has no price per search, got 3"):
        api_price("claude-3-haiku").usd(1000, 0, searches=3)
    with pytest.raises(InvalidValueError, match="claude-3-haiku has no price per search"):
        api_price("claude-3-haiku").usd(np.array([1000, 1000]), 0, searches=np.array([0, 3]))


def test_what_is_written_to_the_cache_costs_more_and_for_an_hour_twice_as_much() -> None:
    # Anthropic, prompt caching: writes cost 1.25 times the input price for five minutes and 2 times for an hour.
    claude = api_price("claude-sonnet-4-5")
    plain, kinds = (
        claude.usd(100_000),
        [claude.usd_per_token(kind) for kind in ("input", "cache_write", "cache_write_1h")],
    )
    assert math.isclose(claude.usd(100_000, cache_write_tokens=80_000), plain + 80_000 * 0.25 * kinds[0])
    hours = claude.usd(100_000, cache_write_tokens=80_000, cache_write_1h_tokens=80_000)
    assert math.isclose(hours, plain + 80_000 * kinds[0])
    assert kinds[1:] == pytest.approx([1.25 * kinds[0], 2 * kinds[0]], rel=1e-12)


def test_a_price_at_a_moment_is_the_hours() -> None:
    day = datetime(2026, 11, 9, 12, tzinfo=UTC)
    chat = [api_price("deepseek-chat", "deepseek", day.replace(hour=hour)).input_usd_per_mtok for hour in (0, 12, 17)]
    assert chat == [0.135, 0.27, 0.135]
    before = api_price("deepseek-chat", "deepseek", datetime(2026, 11, 9, 0, 29, 59))
    assert before.input_usd_per_mtok == 0.135
    zone = timezone(timedelta(hours=8))
    assert api_price("deepseek-chat", "deepseek", datetime(2026, 11, 9, 20, tzinfo=zone)).input_usd_per_mtok == 0.27


def test_the_periods_of_a_price_follow_each_other() -> None:
    old, new = price_periods("gpt-5.6-luna", "openai")
    # OpenAI cut it on 30 July 2026.
    assert old.until_s == new.from_s == datetime(2026, 7, 30, tzinfo=UTC).timestamp()
    assert (old.from_s, new.until_s) == (-math.inf, math.inf)
    assert old.price.input_usd_per_mtok > new.price.input_usd_per_mtok
    assert (new.of_day_from_s, new.of_day_until_s) == (0, 86_400)
    night, day, evening = price_periods("deepseek-chat", "deepseek")
    assert [part.of_day_from_s / 3600 for part in (night, day, evening)] == [0, 0.5, 16.5]
    assert night.price.input_usd_per_mtok == evening.price.input_usd_per_mtok == day.price.input_usd_per_mtok / 2
    with pytest.raises(PriceNotFoundError, match="no price per input token for 'whisper-1'"):
        price_periods("whisper-1", "openai")


def test_every_moment_of_every_model_is_in_one_period() -> None:
    for provider in providers:
        for model in provider.models:
            try:
                periods = price_periods(model.id, provider.id)
            except PriceNotFoundError:
                continue
            starts = {period.from_s for period in periods}
            for period in periods:
                assert period.until_s in starts | {math.inf}
            for start in starts:
                inside = [p for p in periods if p.from_s <= start < p.until_s]
                assert sum(p.of_day_until_s - p.of_day_from_s for p in inside) == 86_400


def test_a_discount_takes_its_share_of_everything() -> None:
    sonar, claude = api_price("sonar-pro"), api_price("claude-sonnet-4-5")
    assert math.isclose(sonar.discounted(0.12).usd(9, 150), 0.88 * sonar.usd(9, 150))
    parts = {"cache_write_tokens": 150_000, "searches": 2}
    for tokens in (200_000, 200_001):
        assert math.isclose(claude.discounted(0.5).usd(tokens, 9, **parts), claude.usd(tokens, 9, **parts) / 2)
    assert claude.discounted(0.0) is claude
    assert math.isclose(claude.discounted(0.5).discounted(0.5).discount_fraction, 0.75)
    with pytest.raises(InvalidValueError, match="fraction must be a fraction >= 0 and <= 1, got 12"):
        claude.discounted(12)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"cache_write_tokens": 101},
            "cache_write_tokens must be at most input_tokens, of which they are a part, got 101",
        ),
        (
            {"cache_write_tokens": 5, "cache_write_1h_tokens": 6},
            "cache_write_1h_tokens must be at most cache_write_tokens",
        ),
        ({"reasoning_tokens": 51}, "reasoning_tokens must be at most output_tokens"),
        ({"searches": -1}, "searches must be a number >= 0, got -1"),
        ({"audio_input_tokens": math.nan}, "audio_input_tokens must be a number >= 0, got nan"),
    ],
)
def test_parts_are_checked(parts: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        price(usd_per_search=0.01).usd(100, 50, **parts)
    assert message in str(caught.value)
    rows = {name: np.array([0, value]) for name, value in parts.items()}
    with pytest.raises(InvalidValueError, match=f"{list(parts)[-1]} must be .* got 'a row"):
        price(usd_per_search=0.01).usd(np.array([100, 100]), 50, **rows)
    with pytest.raises(TypeError, match="unexpected keyword argument 'tokens'"):
        price().usd(100, tokens=5)


def test_a_row_of_many_requests_is_as_long_as_one_of_them_and_pays_each_fee() -> None:
    tiered = price(tiers=(ApiTier(1000, 2.0, 8.0, None),), usd_per_request=0.005)
    assert math.isclose(tiered.usd(10_000, 100, requests=10), 10 * tiered.usd(1000, 10))
    assert math.isclose(tiered.usd(10_010, 100, requests=10), 10 * tiered.usd(1001, 10))
    assert math.isclose(tiered.usd(1000, 10, request_fee_usd=0.5), tiered.usd(1000, 10) + 0.495)
    rows = tiered.usd(np.array([10_000.0, 10_010.0]), 100, requests=np.array([10, 10]))
    assert rows == pytest.approx([tiered.usd(10_000, 100, requests=10), tiered.usd(10_010, 100, requests=10)])


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro"])
def test_prices_of_rows_agree(model: str) -> None:
    price = api_price(model)
    rng = np.random.default_rng(0)
    tokens_in = rng.integers(0, 400_000, 500)
    cached, out = (tokens_in * rng.random(500)).astype(int), rng.integers(0, 5000, 500)
    single = [price.usd(float(i), float(o), float(c)) for i, o, c in zip(tokens_in, out, cached, strict=True)]
    assert np.allclose(price.usd(tokens_in, out, cached), single, rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([10, -1], [1, 1], 0), "tokens must be numbers >= 0"),
        (([10, 5], [1, np.nan], 0), "tokens must be numbers >= 0"),
        (([10, np.inf], [1, 1], 0), "tokens must be numbers >= 0"),
        (([10, 5], [1, 1], [0, 6]), "tokens must be numbers >= 0, the cached ones among the input tokens"),
    ],
)
def test_a_bad_row_is_refused(rows: tuple[list[float], ...], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        api_price("gpt-4o").usd(*map(np.asarray, rows))


def test_output_without_a_price_is_refused_in_rows_too() -> None:
    silent = price(output_usd_per_mtok=None)
    assert np.allclose(silent.usd(np.array([500, 1000])), [5e-4, 1e-3])
    with pytest.raises(InvalidValueError, match="m has no output price"):
        silent.usd(np.array([500]), 1)


def test_columns_of_a_data_frame_cost_what_their_rows_cost() -> None:
    needs.extra("narwhals", "usage")
    needs.extra("polars", "test")
    import narwhals as nw

    tiered = price(tiers=(ApiTier(1000, 2.0, 8.0, 0.2),), cached_input_usd_per_mtok=0.1, usd_per_request=0.005)
    tokens = {"tokens_in": [0, 900, 1000, 1001, 5000], "out": [0, 10, 20, 30, 0], "cached": [0, 900, 0, 500, 128]}
    columns = (nw.col("tokens_in"), nw.col("out"), nw.col("cached"))
    usd = tiered.usd_of_columns(*columns, lambda where, value, other: nw.when(where).then(value).otherwise(other))
    found = nw.from_dict(tokens, backend="polars").select(usd=usd)["usd"].to_list()
    rows = list(zip(*tokens.values(), strict=True))
    assert found == pytest.approx([tiered.usd(*row) for row in rows], rel=1e-12)
    assert tiered.usd(*(np.array(column) for column in tokens.values())) == pytest.approx(found, rel=1e-12)
    embedding = price(output_usd_per_mtok=None)
    usd = embedding.usd_of_columns(
        nw.col("tokens_in"), nw.col("out"), nw.col("cached"),
        lambda where, value, other: nw.when(~where).then(other) if value is None else nw.when(where).then(value),
    )  # fmt: skip
    found = nw.from_dict(tokens, backend="polars").select(usd=usd)["usd"].to_list()
    assert found == [0.0, None, None, None, pytest.approx(0.005)]


def test_the_bill_is_the_sum_of_its_terms() -> None:
    cost = api_cost(Workload(1000, 1500, 250, cached_input_fraction=0.3), "gpt-4.1-mini")
    assert math.isclose(cost.usd_per_request, cost.input_usd + cost.cached_input_usd + cost.output_usd)
    assert math.isclose(cost.usd_per_month, cost.usd_per_request * 1000 * 730 / 24)
    assert math.isclose(cost.output_usd, 250 * 1.6e-6)
    assert math.isclose(cost.cached_input_usd, 450 * 0.1e-6)


def test_every_kind_that_a_workload_has_is_a_term_of_its_bill() -> None:
    agent = Workload(
        1000, 20_000, 800, cached_input_fraction=0.7, cache_write_fraction=0.2, cache_write_1h_fraction=0.05,
        reasoning_tokens=500, searches=0.4,
    )  # fmt: skip
    cost = api_cost(agent, "claude-sonnet-4-5")
    terms = (cost.input_usd, cost.cached_input_usd, cost.cache_write_usd, cost.output_usd, cost.searches_usd)
    assert math.isclose(sum(terms), cost.usd_per_request)
    assert math.isclose(cost.cache_write_usd, 3000 * 3.75e-6 + 1000 * 6e-6)
    assert math.isclose(cost.searches_usd, 0.004)
    voice = Workload(1000, 1000, 500, audio_input_tokens=600, audio_output_tokens=400)
    heard = api_cost(voice, "gpt-4o-realtime-preview")
    assert math.isclose(heard.input_usd + heard.output_usd, heard.usd_per_request)
    assert heard.usd_per_request > 3 * api_cost(Workload(1000, 1000, 500), "gpt-4o-realtime-preview").usd_per_request
    batch = api_cost(agent, "claude-sonnet-4-5", service_tier="batch")
    assert math.isclose(batch.usd_per_request - batch.searches_usd, (cost.usd_per_request - cost.searches_usd) / 2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_cached_share_never_costs_more(a: float, b: float) -> None:
    low, high = sorted((a, b))
    bill = [api_cost(Workload(10, 1000, 10, cached_input_fraction=s), "gpt-4o").usd_per_month for s in (low, high)]
    assert bill[1] <= bill[0] * (1 + 1e-12)


def test_images_are_billed_by_the_image() -> None:
    pictures = Workload(10_000, images=1, days_per_month=30)
    assert math.isclose(api_cost(pictures, "dall-e-3").usd_per_month, 12_000)
    assert math.isclose(api_cost(pictures, image_price("gpt-image-1", "medium")).images_usd, 1056 * 40e-6)
    with pytest.raises(PriceNotFoundError, match="'gpt-image-1' has 3 prices by quality: low, medium, high; name one"):
        api_cost(pictures, "gpt-image-1")
    with pytest.raises(UnknownNameError, match="unknown image model 'dall-e-4'; did you mean 'dall-e-3'"):
        image_price("dall-e-4")


def test_images_and_tokens_are_not_mixed() -> None:
    with pytest.raises(InvalidValueError, match="images alone"):
        api_cost(Workload(10, 5, images=1), image_price("dall-e-3"))
    with pytest.raises(InvalidValueError, match="gpt-4o is priced by the token"):
        api_cost(Workload(10, images=1), api_price("gpt-4o"))


def test_prices_of_images_are_checked_too() -> None:
    with pytest.raises(PriceNotFoundError, match="no price of 'dall-e-3' at 'azure'; there is one at openai"):
        image_price("dall-e-3", provider="azure")
    with pytest.raises(PriceNotFoundError, match="no price of 'dall-e-3' for 1999-01-01; the oldest is of 2025-05-01"):
        image_price("dall-e-3", as_of="1999-01-01")
    with pytest.raises(InvalidValueError, match="dall-e-3 is priced by the image"):
        api_cost(Workload(10, 5, 5), "dall-e-3")
    assert image_price("gpt-image-1", "low").snapshot == api_snapshot()


def test_prices_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="input_usd_per_mtok must be a number >= 0, got -5"):
        price(input_usd_per_mtok=-5)
    with pytest.raises(InvalidValueError, match="output_usd_per_mtok must be a number >= 0, got nan"):
        price(output_usd_per_mtok=math.nan)


def test_models_are_listed() -> None:
    assert "gpt-4o" in api_models("openai")
    assert set(api_models("openai")) <= set(api_models())
