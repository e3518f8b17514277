"""The calculators of the book: what they compute, what they refuse, and what a page gets of it."""

import inspect
import random
import re
import xml.etree.ElementTree as ET

import pytest

from costlab.calculator import monthly_cost
from costlab.catalog import api_price, service_tier_factor
from costlab.errors import UnknownNameError
from costlab.lessons.calculators import Calculator, NumberInput, answer_texts, calculator, calculators
from costlab.token_economics import CacheRates
from tests import needs

EVERY = pytest.mark.parametrize("one", calculators(), ids=lambda one: one.name)


def random_texts(one: Calculator, rng: random.Random) -> dict[str, str]:
    """A stop of each slider, or a choice, as the page would send it."""
    return {
        field.name: (
            f"{rng.choice(field.stops):.10g}" if isinstance(field, NumberInput) else rng.choice(list(field.words))
        )
        for field in one.inputs
    }


@EVERY
def test_inputs_are_the_parameters_and_defaults_are_stops(one: Calculator) -> None:
    assert set(inspect.signature(one.answer).parameters) == {field.name for field in one.inputs}
    for field in one.inputs:
        if isinstance(field, NumberInput):
            assert field.default in field.stops, field.name
            assert list(field.stops) == sorted(set(field.stops)), field.name
            assert 5 <= len(field.stops) <= 200, field.name
            assert field.read(field.text) == field.default
        else:
            assert field.default in field.words


@EVERY
def test_every_stop_and_choice_has_a_result_or_an_error_of_the_core(one: Calculator) -> None:
    answered = 0
    rng = random.Random(20)
    for texts in [{}, *(random_texts(one, rng) for _ in range(60))]:
        answer = answer_texts(one.name, texts)
        assert ("error" in answer) != ("html" in answer)
        if "error" in answer:
            assert "too large or too small" not in answer["error"], texts
            continue
        answered += 1
        drawing = re.search(r"<svg.*</svg>", answer["html"])
        assert drawing is not None
        ET.fromstring(drawing[0])
        assert "nan" not in answer["html"], texts
    assert "html" in answer_texts(one.name, {})
    assert answered > 30


@EVERY
def test_absurd_numbers_are_refused_beside_their_field(one: Calculator) -> None:
    for field in one.inputs:
        for absurd in ("-1", "1e400", "many", ""):
            answer = answer_texts(one.name, {field.name: absurd})
            assert answer["field"] == field.name, (field.name, absurd, answer)
            assert answer["error"]


def test_a_field_says_what_the_core_says_in_the_words_of_the_page() -> None:
    answer = answer_texts("useful_hour", {"gpus": "2.5"})
    assert answer == {"error": '"GPUs wanted" must be a whole number >= 1, got 2.5', "field": "gpus"}
    answer = answer_texts("useful_hour", {"hours_per_day": "many"})
    assert answer == {"error": "\"Switched on\" must be a finite number, got 'many'", "field": "hours_per_day"}
    answer = answer_texts("cascade", {"lowest_confidence": "0.9", "highest_confidence": "0.5"})
    said = '"Highest confidence" must be above "Lowest confidence of the small tier" (0.9), got 0.5'
    assert answer == {"error": said, "field": "highest_confidence"}
    answer = answer_texts("useful_hour", {"gpu": "H100", "pricing": "reserved_1y"})
    assert answer["error"] == "no price of AWS in us-east-1 is known for H100 reserved for one year"
    with pytest.raises(UnknownNameError, match="unknown calculator 'useful_hours'; did you mean 'useful_hour'"):
        calculator("useful_hours")


@EVERY
def test_no_error_of_a_field_names_a_parameter(one: Calculator) -> None:
    for field in (field for field in one.inputs if isinstance(field, NumberInput)):
        for absurd in ("-1", "1e400", "many"):
            said = answer_texts(one.name, {field.name: absurd})["error"]
            assert said.startswith(f'"{field.label}" must be'), said
            assert "_" not in said, said


@EVERY
def test_numbers_below_the_axis_are_on_the_drawing(one: Calculator) -> None:
    rng = random.Random(21)
    for texts in [{}, *(random_texts(one, rng) for _ in range(60))]:
        html = answer_texts(one.name, texts).get("html", "")
        numbers = re.findall(r'<text class="tick" x="([\d.]+)"[^>]*text-anchor="middle">([^<]+)<', html)
        assert all(float(x) + 4 * len(number) <= 360 for x, number in numbers), texts


def test_names_beside_lines_leave_each_other_room() -> None:
    for one in calculators():
        html = answer_texts(one.name, {})["html"]
        found = re.findall(r'<text class="(?:label \w+|you)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)<', html)
        boxes = [(float(x) - 3.6 * len(name), float(x) + 3.6 * len(name), float(y)) for x, y, name in found]
        for k, (left, right, y) in enumerate(boxes):
            assert 40 < left < right < 362, one.name
            assert not [a for a, b, c in boxes[:k] if left < b and a < right and abs(c - y) < 11], one.name


def test_numbers_beyond_use_are_not_written_out() -> None:
    often = {"mtbf_hours": "0.1", "restart_s": "7200", "interval_minutes": "1000"}
    answer = answer_texts("spot_interval", often)
    assert answer["said"].startswith("With your interval the job does not end in a century")
    assert max(len(word) for word in re.findall(r"<dd>([^<]+)</dd>", answer["html"])) < 25
    answer = answer_texts("spot_interval", {"mtbf_hours": "0.5"})
    assert re.match(r"With your interval spot costs [\d.]+\s% more than on demand; a checkpoint every", answer["said"])


def test_token_bill_begins_with_the_prices_of_the_catalogue() -> None:
    needs.extra("genai_prices", "lessons")
    price = api_price("claude-sonnet-4-5")
    rates = CacheRates.of(price)
    defaults = {field.name: field.default for field in calculator("token_bill").inputs}
    found = (price.input_usd_per_mtok, price.output_usd_per_mtok, rates.write, rates.read)
    assert found == tuple(defaults[n] for n in ("input_usd_per_mtok", "output_usd_per_mtok", "write", "read"))
    assert defaults["batch_price_fraction"] == service_tier_factor("anthropic", "claude-sonnet-4-5", "batch")
    rows = answer_texts("token_bill", {"batch_fraction": "0", "requests_per_day": "1000"})["rows"]
    assert rows["Without either"] == pytest.approx(1000 * price.usd(8500, 300))


def test_useful_hour_is_the_bill_over_the_hours_that_work() -> None:
    rows = answer_texts("useful_hour", {"gpus": "8", "utilization_fraction": "0.3", "hours_per_day": "10"})["rows"]
    bill = monthly_cost("A10G", 8, hours_per_day=10, snapshot="list", provider="aws")
    assert rows["Bill for a month of 30 days"] == bill.usd
    assert rows["Price of a useful GPU-hour"] == pytest.approx(bill.usd / (8 * 10 * 30 * 0.3))
    rows = answer_texts("useful_hour", {"pricing": "reserved_1y", "hours_per_day": "12"})["rows"]
    assert rows["Paid for committed hours that are not used"] == pytest.approx(rows["Bill for a month of 30 days"] / 2)
