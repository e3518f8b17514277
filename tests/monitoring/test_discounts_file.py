"""``--discount``: a share, or a file with one for each provider."""

from pathlib import Path

import pytest

from costlab.catalog import Discounts
from costlab.errors import InvalidValueError
from costlab.monitoring import DiscountFileError, load_discounts, parse_discounts


def test_a_number_is_a_share_off_every_list_price() -> None:
    assert load_discounts("0.12") == Discounts(0.12)


def test_a_file_names_providers_as_logs_do(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('everywhere = 0.05\n[providers]\nazure = 0.12\n"aws.bedrock" = 0.08\n', encoding="utf-8")
    assert load_discounts(str(path)) == Discounts(0.05, {"azure": 0.12, "aws": 0.08})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("everywhere = 12", "ours.toml: everywhere must be < 1, got 12"),
        ("everywhere = '5 %'", "ours.toml: everywhere must be a valid number, got '5 %'"),
        ("[providers]\nazure = -0.1", "ours.toml: providers.azure must be >= 0, got -0.1"),
        ("[providers]\nazzure = 0.1", "ours.toml: providers.azzure: unknown provider 'azzure'; did you mean 'azure'?"),
        ("[providers]\naws = 0.1\nbedrock = 0.2", "ours.toml: providers.bedrock is aws, which has a discount already"),
        ("[provider]\naws = 0.1", "ours.toml: unknown key provider; did you mean 'providers'?"),
        ("everywhere", "ours.toml is not TOML"),
    ],
)
def test_a_file_that_is_none_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DiscountFileError) as caught:
        load_discounts(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("option", ["12", "-0.1", "nan", "1"])
def test_a_number_outside_is_refused(option: str) -> None:
    with pytest.raises(InvalidValueError, match="discount must be"):
        load_discounts(option)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        load_discounts("no-such-file.toml")
    with pytest.raises(InvalidValueError, match=r"a share such as 0\.12, or a file of discounts, got '12 %'"):
        load_discounts("12 %")


def test_an_empty_file_takes_nothing_off() -> None:
    assert not parse_discounts("")
