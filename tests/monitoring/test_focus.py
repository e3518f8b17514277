"""Bills as FOCUS has them: written from a log, and read."""

import csv
import os
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import InvalidValueError, LogError
from costlab.monitoring import (
    CommitmentsFileError,
    GpuCommitment,
    aggregate,
    build_report,
    focus_table,
    load_commitments,
    open_log,
    write_focus,
)
from costlab.monitoring.report.render import facts, group_tables
from tests import needs

needs.extra("duckdb", "usage")

DAY = 86_400
#: Two days of two teams; a credit, a request without a price, one in the batch tier.
LOG: dict[str, Any] = {
    "time_s": [0.0, 60.0, DAY + 5.0, DAY + 9.0, DAY + 9.0, 90.0],
    "tier": ["large"] * 6,
    "provider": ["openai", "openai", "openai", "", "openai", "openai"],
    "model": ["gpt-4o", "gpt-4o", "gpt-4o", "in-house", "gpt-4o", "gpt-4o"],
    "service_tier": ["standard", "batch", "standard", "standard", "standard", "standard"],
    "tenant": ["shop", "shop", "help", "help", "shop", ""],
    "input_tokens": [1000, 1000, 500, 70, 0, 10],
    "cached_input_tokens": [200, 0, 0, 0, 0, 0],
    "output_tokens": [100, 100, 50, 7, 0, 1],
    "cost_micro_usd": [3000, 1500, 1250, None, -400, 35],
}

#: One GPU runs for two days, the other for ten hours of the first.
HOURS: dict[str, Any] = {
    "time_s": [3600.0 * hour for hour in range(48)] + [3600.0 * hour for hour in range(10)],
    "gpu": ["a100-0"] * 48 + ["a100-1"] * 10,
    "hours": [1.0] * 58,
    "usd_per_hour": [2.745] * 58,
    "utilization_fraction": [0.4] * 58,
}
COMMITTED = GpuCommitment(id="ri-1", gpus=("a100-0", "a100-1"), count=2, usd_per_hour=1.73)

#: Rules of FOCUS 1.2.0.1 that are written otherwise than they read, and so cannot hold in any file like ours. One wants
#: an invoice's id in every row, and another, beside it in the same "either or", in none. One wants a status where there
#: is *no* commitment, which the rule before it forbids; the two after it only gather it up.
INVOICE = {"InvoiceId-C-005-C"}
STATUS = {"CommitmentDiscountStatus-C-000-C", "CommitmentDiscountStatus-C-002-C", "CommitmentDiscountStatus-C-004-C"}


def frame(rows: dict[str, Any]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)


def rows_of(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = focus_table(*arguments, **options).to_pylist()
    return rows


def test_a_row_each_day_team_model_and_service_tier() -> None:
    rows = rows_of(frame(LOG))
    told = [
        (row["ChargePeriodStart"].day, row["SubAccountId"], row["x_ServiceTier"], row["BilledCost"], row["x_Requests"])
        for row in rows
    ]
    assert told == [
        (1, None, "standard", Decimal("0.000035"), 1),
        (1, "shop", "batch", Decimal("0.0015"), 1),
        (1, "shop", "standard", Decimal("0.003"), 1),
        (2, "help", "standard", Decimal("0.00125"), 1),
        (2, "shop", "standard", Decimal("-0.0004"), None),
    ]
    assert [row["ChargeCategory"] for row in rows] == ["Usage"] * 4 + ["Credit"]
    plain = rows[2]
    assert (plain["ConsumedQuantity"], plain["x_InputTokens"], plain["x_CachedInputTokens"]) == (1100, 1000, 200)
    assert (plain["BillingPeriodStart"].isoformat(), plain["BillingPeriodEnd"].isoformat()) == (
        "1970-01-01T00:00:00+00:00",
        "1970-02-01T00:00:00+00:00",
    )


def test_what_nobody_knows_the_cost_of_is_not_billed_at_0() -> None:
    assert all(row["x_Model"] != "in-house" for row in rows_of(frame(LOG)))
    with pytest.raises(LogError, match="no request of the log has a known cost"):
        focus_table(frame(LOG | {"cost_micro_usd": [None] * 6}))


def test_the_bill_is_the_sum_of_its_rows() -> None:
    (total,) = aggregate(frame(LOG))
    assert sum(row["BilledCost"] for row in rows_of(frame(LOG))) * 10**6 == total.cost_micro_usd


def test_december_ends_in_january() -> None:
    row = rows_of(frame({name: values[:1] for name, values in LOG.items()} | {"time_s": [1_798_700_000.0]}))[0]
    assert (row["BillingPeriodStart"].isoformat()[:10], row["BillingPeriodEnd"].isoformat()[:10]) == (
        "2026-12-01",
        "2027-01-01",
    )


def test_a_commitment_is_billed_for_every_hour_and_shows_the_unused_ones() -> None:
    rows = rows_of(frame(LOG), frame(HOURS), [COMMITTED])
    under = [row for row in rows if row["CommitmentDiscountId"]]
    bought = [row for row in under if row["ChargeCategory"] == "Purchase"]
    assert [row["BilledCost"] for row in bought] == [Decimal("83.04")] * 2  # 2 GPUs x 24 hours x 1.73
    hours = {
        (row["ChargePeriodStart"].day, row["ResourceId"]): row["CommitmentDiscountQuantity"]
        for row in under
        if row["ChargeCategory"] == "Usage"
    }
    assert hours == {(1, "a100-0"): 24, (1, "a100-1"): 10, (1, "ri-1"): 14, (2, "a100-0"): 24, (2, "ri-1"): 24}
    unused = [row for row in under if row["CommitmentDiscountStatus"] == "Unused"]
    assert [row["ConsumedQuantity"] for row in unused] == [None, None]
    # The specification's own demand: effective costs of usage add up to what was billed for the purchase.
    assert sum(row["EffectiveCost"] for row in under) == sum(row["BilledCost"] for row in under) == Decimal("166.08")


def test_hours_beyond_the_commitment_stand_at_their_own_price() -> None:
    one = GpuCommitment(id="ri-1", gpus=("a100-0", "a100-1"), count=1, usd_per_hour=1.73)
    rows = [row for row in rows_of(frame(LOG), frame(HOURS), [one]) if row["ServiceCategory"] == "Compute"]
    beyond = [row for row in rows if row["PricingCategory"] == "Standard" and row["ChargeCategory"] == "Usage"]
    assert [(row["ResourceId"], row["ConsumedQuantity"], row["BilledCost"]) for row in beyond] == [
        ("a100-1", 10, Decimal("27.45"))
    ]


def test_a_commitment_needs_hours_and_gpus_that_are_there() -> None:
    with pytest.raises(InvalidValueError, match="commitments must be given with a log of GPU hours"):
        focus_table(frame(LOG), None, [COMMITTED])
    strange = GpuCommitment(id="ri-1", gpus=("h100",), count=1, usd_per_hour=1.0)
    with pytest.raises(InvalidValueError, match="gpus of ri-1 must be names in the log of GPU hours, got 'h100'"):
        focus_table(frame(LOG), frame(HOURS), [strange])
    with pytest.raises(InvalidValueError, match="billing_account must be a text that is not empty"):
        focus_table(frame(LOG), billing_account="")


def test_commitments_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "commitments.toml"
    path.write_text('[[commitment]]\nid = "ri-1"\ngpus = ["a100-0", "a100-1"]\nusd_per_hour = 1.73\n')
    assert load_commitments(path) == (COMMITTED,)
    path.write_text('[[commitment]]\nid = "ri-1"\ngpu = ["a"]\nusd_per_hour = 1.73\n')
    with pytest.raises(CommitmentsFileError, match=r"commitment.1.gpus is missing; unknown key .*did you mean 'gpus'"):
        load_commitments(path)
    twice = '[[commitment]]\nid = "{}"\ngpus = ["a"]\nusd_per_hour = 1.73\n'
    path.write_text(twice.format("x") + twice.format("y"))
    with pytest.raises(CommitmentsFileError, match="GPU 'a' occurs twice"):
        load_commitments(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_was_written_is_read_as_the_same_bill(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"focus.{ending}"
    write_focus(focus_table(frame(LOG)), path)
    log = open_log(path)
    assert log.format == "focus"
    (total,), (before,) = aggregate(log.frame), aggregate(frame(LOG))
    for name in ("cost_micro_usd", "credit_micro_usd", "cached_input_tokens"):
        assert getattr(total, name) == getattr(before, name), name
    assert total.requests == before.requests - before.unpriced_requests
    assert {group.key for group in aggregate(log.frame, by=["tenant"])} == {("",), ("help",), ("shop",)}


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"focus must be a file that ends in .csv or .parquet, got 'bill.xlsx'"):
        write_focus(focus_table(frame(LOG)), tmp_path / "bill.xlsx")


def cloud_bill(path: Path, *lines: tuple[object, ...]) -> Path:
    """A bill as the sample of the specification writes it (FOCUS 1.0, September 2024): NULL as a word, no zone."""
    columns = (
        "BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
        "ProviderName", "ServiceName", "SkuMeter", "SubAccountName",
    )  # fmt: skip
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


def test_a_cloud_bill_is_what_was_billed_taxes_and_credits_with_it(tmp_path: Path) -> None:
    hour = "2024-09-18 22:00:00"
    bill = cloud_bill(
        tmp_path / "bill.csv",
        ("0.00000080000", "USD", "Usage", hour, "2.0", "Requests", "AWS", "Amazon SQS", "NULL", "Atlas"),
        ("12.5", "USD", "Usage", hour, "4.1", "1M tokens", "AWS", "Amazon Bedrock", "Claude-input-tokens", "Zenith"),
        ("30", "USD", "Usage", hour, "2", "1M tokens", "AWS", "Amazon Bedrock", "Claude-output-tokens", "Zenith"),
        ("-2", "USD", "Credit", hour, "NULL", "NULL", "AWS", "Amazon Bedrock", "NULL", "Zenith"),
        ("4.05", "USD", "Tax", hour, "NULL", "NULL", "AWS", "Tax", "NULL", "NULL"),
    )
    log = open_log(bill)
    (total,) = aggregate(log.frame)
    assert (total.cost_micro_usd, total.requests, total.credits) == (44_550_001, 0, 1)
    assert (total.input_tokens, total.output_tokens) == (4_100_000, 2_000_000)
    assert total.usd_per_request is None
    assert [(group.key[0], group.cost_micro_usd) for group in aggregate(log.frame, by=["tier"])] == [
        ("Amazon Bedrock", 40_500_000),
        ("Amazon SQS", 1),
        ("Tax", 4_050_000),
    ]
    report = build_report(log.frame)
    assert report.total == total
    assert dict(facts(report))["cost of the requests"].startswith("$44.55")
    (tiers, *_) = group_tables(report)
    assert [row[:4] for row in tiers.rows] == [
        ("Amazon Bedrock", "0", "-", "$40.50"),
        ("Tax", "0", "-", "$4.05"),
        ("Amazon SQS", "0", "-", "$0.000001"),
    ]


def test_other_currencies_are_refused(tmp_path: Path) -> None:
    line = ("1", "EUR", "Usage", "2024-09-18 22:00:00", "2.0", "Requests", "X", "Y", "NULL", "Z")
    with pytest.raises(LogError, match=r"bill.csv has 1 charge in other currencies, such as EUR; only USD is read"):
        open_log(cloud_bill(tmp_path / "bill.csv", line))


def failed_rules(path: Path, *supported: str) -> set[str]:
    """Rules that the specification's validator finds broken; it needs a newer Python than we do."""
    home = Path(__file__).parents[2] / ".venv" / "focus"
    program = shutil.which("focus-validator", path=home / "bin")
    if program is None:
        reason = f"focus-validator is not in {home}; run: make setup"
        if os.environ.get("CI") == "true" and not os.environ.get("COSTLAB_BARE"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    criteria = (
        "ACCOUNT_NAMING_SUPPORTED,MULTIPLE_PRICING_CATEGORIES_SUPPORTED,USAGE_MEASUREMENT_SUPPORTED,"
        "SUB_ACCOUNT_SUPPORTED,BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED,RESOURCE_TYPE_ASSIGNMENT_SUPPORTED,"
        "TAGGING_SUPPORTED"
    )
    command = [
        program, "--data-file", str(path), "--validate-version", "1.2.0.1", "--block-download",
        "--focus-dataset", "CostAndUsage", "--applicability-criteria", ",".join([criteria, *supported]),
    ]  # fmt: skip
    # It opens its list of currencies by a path relative to its own packages, and ends with 0 whatever it finds.
    (packages,) = home.glob("lib/python3*/site-packages")
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=True, timeout=300)
    counts = [line for line in done.stdout.splitlines() if line.startswith("Total: 578 | Pass: ")]
    assert counts, done.stdout[-2000:] + done.stderr[-2000:]
    return {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if ": FAIL" in line}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_validator_of_the_specification_accepts_the_rows(tmp_path: Path, ending: str) -> None:
    """focus-validator 2.2.1 with the rules of FOCUS 1.2.0.1."""
    path = tmp_path / f"focus.{ending}"
    write_focus(focus_table(frame(LOG), frame(HOURS), [COMMITTED]), path)
    assert failed_rules(path, "COMMITMENT_DISCOUNT_SUPPORTED") == INVOICE | STATUS
    write_focus(focus_table(frame(LOG)), path)
    assert failed_rules(path) == INVOICE
