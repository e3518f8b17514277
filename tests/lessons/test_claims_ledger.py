from decimal import Decimal

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.lessons import claim, claims
from costlab.lessons.claims_ledger import Claim, ClaimContradictedError


def row(**change: object) -> Claim:
    given = {
        "id": "S9.x",
        "lesson": "09",
        "text": "t",
        "claimed": "1",
        "verdict": "holds",
        "why": "w",
        "found": "{0} USD",
    }
    return Claim(**{"values": (Decimal("5817.60"),), **given, **change})  # type: ignore[arg-type]


def test_found_text_is_filled_from_the_values() -> None:
    assert row().found_text == "5,817.60 USD"
    assert row(found="{0} to {1} %", values=(Decimal("0"), Decimal("81"))).found_text == "0 to 81 %"


@pytest.mark.parametrize("entry", claims(), ids=lambda entry: entry.id)
def test_rows_are_complete(entry: Claim) -> None:
    assert all([entry.text, entry.claimed, entry.why, entry.found])
    assert entry.section in {f"S{number}" for number in range(14)}
    assert entry.lesson in {f"{number:02d}" for number in range(1, 13)}
    # Every number that the lesson computes is shown, and every number shown is computed.
    for position in range(len(entry.values)):
        assert f"{{{position}}}" in entry.found
    entry.found_text  # noqa: B018 - raises if it shows a number that is not there


def test_lesson_1_tries_its_sections() -> None:
    assert {entry.section for entry in claims("01")} == {"S1", "S2", "S3", "S11"}


def test_a_claim_needs_a_computed_value_or_a_source() -> None:
    with pytest.raises(InvalidValueError, match=r"S9\.x: source_url must be given where no value is computed"):
        row(values=())
    with pytest.raises(UnknownNameError, match="unknown verdict 'true'"):
        row(verdict="true")


def test_how_a_value_was_obtained_is_said() -> None:
    assert row().obtained == "computed"
    assert row(values=(), found="2", source_url="https://example.org").obtained == "read"
    assert row(obtained="measured").obtained == "measured"
    with pytest.raises(UnknownNameError, match="unknown obtained 'guessed'"):
        row(obtained="guessed")


def test_anchors_are_unlike() -> None:
    assert row(id="S2.on_demand").anchor == "claim-s2-on-demand"
    assert len({entry.anchor for entry in claims()}) == len(claims())


def test_agreeing_values_print_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    claim("S2.on_demand", 5817.6)
    out = capsys.readouterr().out
    assert "HOLDS" in out
    assert "5,817.60" in out


@pytest.mark.parametrize("value", [5817.61, 5818, 0.0, -5817.6])
def test_a_value_that_does_not_agree_stops_the_lesson(value: float) -> None:
    with pytest.raises(ClaimContradictedError, match=r"S2\.on_demand: the ledger says 5817\.60, the lesson computes"):
        claim("S2.on_demand", value)


def test_wrong_use() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'S2\.on_demand'"):
        claim("S2.on-demand", 5817.6)
    with pytest.raises(InvalidValueError, match="must be 1 numbers"):
        claim("S2.on_demand")
