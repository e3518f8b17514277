import math
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from costlab.errors import BudgetFileError, InvalidValueError, UnknownNameError
from costlab.monitoring.budget import Account, BudgetPolicy, decide, parse_policy
from costlab.monitoring.budget.limits import Calendar
from tests.monitoring.budget.support import policy

# S9 of the source lesson: soft 4,000, hard 5,000, monthly 120,000, emergency shutdown at 150 % of the budget.
LESSON: dict[str, Any] = {"daily_soft_usd": 4000, "daily_hard_usd": 5000, "monthly_usd": 120_000}
TOML = "[budget]\ndaily_soft_usd = 4000\ndaily_hard_usd = 5000\nmonthly_usd = 120_000\n"


def test_the_lessons_limits() -> None:
    limits = BudgetPolicy(**LESSON).limits
    assert {limit.name: (limit.micro_usd, limit.stops) for limit in (*limits.daily, *limits.monthly)} == {
        "daily_soft": (4_000_000_000, False),
        "daily_hard": (5_000_000_000, False),
        "daily_emergency": (7_500_000_000, True),
        "monthly": (120_000_000_000, False),
        "monthly_emergency": (180_000_000_000, True),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"daily_soft_usd": -1}, "daily_soft_usd must be a number >= 0, got -1"),
        ({"daily_soft_usd": 5001}, r"daily_soft_usd must be at most daily_hard_usd \(5000\), got 5001"),
        ({"daily_hard_usd": math.inf}, "daily_hard_usd must be a number > 0, got inf"),
        ({"monthly_usd": 4999}, r"daily_hard_usd must be at most monthly_usd \(4999\), got 5000"),
        ({"monthly_soft_usd": 130_000}, "monthly_soft_usd must be at most monthly_usd"),
        ({"emergency_fraction": 0.9}, "emergency_fraction must be a number >= 1, got 0.9"),
        ({"reservation_ttl_s": 0}, "reservation_ttl_s must be a number > 0, got 0"),
    ],
)
def test_wrong_numbers_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        BudgetPolicy(**LESSON | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timezone": "Europe/Berlim"}, "unknown time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'"),
        ({"timezone": "../etc/passwd"}, "unknown time zone"),
        ({"on_store_failure": "alow"}, "unknown on_store_failure 'alow'; did you mean 'allow'"),
    ],
)
def test_wrong_names_are_suggested(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        BudgetPolicy(**LESSON | change)


def test_a_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(TOML + 'timezone = "Europe/Berlin"\non_store_failure = "allow"\n[other]\nx = 1\n')
    expected = BudgetPolicy(**LESSON, timezone="Europe/Berlin", on_store_failure="allow")
    assert BudgetPolicy.from_toml(path) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("daily", "p.toml is not TOML"),
        ("[budgets]", "p.toml: budget is missing"),
        (TOML.replace("monthly_usd = 120_000\n", ""), "p.toml: budget.monthly_usd is missing"),
        (TOML + "dayly_usd = 1", "unknown key budget.dayly_usd"),
        (TOML + "monthly_sof_usd = 1", "unknown key budget.monthly_sof_usd; did you mean 'monthly_soft_usd'?"),
        (TOML.replace("4000", '"4000"'), "budget.daily_soft_usd must be a valid number, got '4000'"),
        (TOML.replace("4000", "6000"), "p.toml: budget.daily_soft_usd must be at most daily_hard_usd"),
        (TOML + 'timezone = "Mars"', "p.toml: budget.unknown time zone 'Mars'"),
    ],
)
def test_a_wrong_file_says_where(text: str, message: str) -> None:
    with pytest.raises(BudgetFileError, match=message):
        parse_policy(text, "p.toml")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(TOML.encode("utf-16"))
    with pytest.raises(BudgetFileError, match=r"p\.toml is not a text in UTF-8"):
        BudgetPolicy.from_toml(tmp_path / "p.toml")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert BudgetPolicy.from_toml(path) == parse_policy(TOML)


@pytest.mark.parametrize(
    ("used", "asked", "runs"),
    [
        (7_999_999, 1, {"batch", "standard", "essential"}),
        (7_999_999, 2, {"standard", "essential"}),
        (9_999_999, 1, {"standard", "essential"}),
        (9_999_999, 2, {"essential"}),
        (14_999_999, 1, {"essential"}),
        (14_999_999, 2, set()),
    ],
)
def test_both_sides_of_every_limit_to_the_micro_dollar(used: int, asked: int, runs: set[str]) -> None:
    limits = policy().limits
    day = Account(spent_micro_usd=used - 5, reserved_micro_usd=5)
    assert {p for p in limits.by_priority if decide(limits, p, asked, day, Account()).limit is None} == runs


@pytest.mark.parametrize(
    ("used", "runs"),
    [
        (79_999_999, {"batch", "standard", "essential"}),
        (80_000_000, {"standard", "essential"}),
        (99_999_999, {"standard", "essential"}),
        (100_000_000, {"essential"}),
        (149_999_999, {"essential"}),
        (150_000_000, set()),
    ],
)
def test_both_sides_of_every_monthly_limit(used: int, runs: set[str]) -> None:
    limits = policy(monthly_soft_usd=80).limits
    month = Account(spent_micro_usd=used - 5, reserved_micro_usd=5)
    assert {p for p in limits.by_priority if decide(limits, p, 1, Account(), month).limit is None} == runs


@pytest.mark.parametrize(
    ("used", "runs"), [(99_999_999, {"standard", "essential"}), (154_999_999, {"essential"}), (155_000_000, set())]
)
def test_a_person_raises_the_months_emergency_limit_alone(used: int, runs: set[str]) -> None:
    limits = policy(monthly_soft_usd=80).limits
    month = Account(spent_micro_usd=used, extra_micro_usd=5_000_000)
    assert {p for p in limits.by_priority if decide(limits, p, 1, Account(), month).limit is None} == runs


def test_a_person_raises_the_days_emergency_limit_alone() -> None:
    limits, day = policy().limits, Account(spent_micro_usd=10_000_000, extra_micro_usd=5_000_000)
    assert {p for p in limits.by_priority if decide(limits, p, 1, day, Account()).limit is None} == {"essential"}


@pytest.mark.parametrize(("used", "stops"), [(50_000_000, False), (99_999_999, False), (100_000_000, True)])
def test_an_absurd_estimate_stops_the_month_only_beyond_its_hard_limit(used: int, stops: bool) -> None:
    limits, month = policy(daily_hard_usd=90).limits, Account(spent_micro_usd=used)
    essential = decide(limits, "essential", 120_000_000, Account(), month)
    assert (essential.limit, essential.trips) == (limits.named("monthly_emergency"), stops)
    standard = decide(limits, "standard", 80_000_000, Account(), month)
    assert (standard.limit, standard.trips) == (limits.named("monthly"), False)


def test_a_single_absurd_estimate_does_not_stop_everything() -> None:
    limits = policy().limits
    below = decide(limits, "essential", 10**12, Account(spent_micro_usd=9_999_999), Account())
    above = decide(limits, "essential", 10**12, Account(spent_micro_usd=10_000_000), Account())
    assert below.limit == above.limit == limits.named("daily_emergency")
    assert (below.trips, above.trips) == (False, True)


def test_the_engine_works_with_the_standard_library_alone() -> None:
    code = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {"costlab", *sys.stdlib_module_names} and not name.startswith("_"):
            raise ImportError(f"{name} is no part of the standard library")

sys.meta_path.insert(0, Refused())
import costlab.monitoring.budget.engine, costlab.monitoring.budget.limits
from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, MemoryBudgetStore, SqliteBudgetStore
guard = BudgetGuard(BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100), MemoryBudgetStore())
guard.reserve(2).settle(1)
print(guard.status().day_spent_usd)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


# In 2026 Berlin's clocks go forward on 29 March and back on 25 October, at 01:00 UTC.
@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_has_as_many_hours_as_the_wall_clock_gives_it(day: str, hours: int) -> None:
    calendar = Calendar("Europe/Berlin")
    start_s = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    named = [calendar.periods(start_s + 900 * quarter).day for quarter in range(-4, 4 * 27)]
    assert named.count(day) == 4 * hours
    assert named == sorted(named)


def test_where_midnight_does_not_exist_the_day_begins_at_one() -> None:
    # Cairo, 2026-04-24: clocks go from 00:00 to 01:00.
    calendar = Calendar("Africa/Cairo")
    change_s = datetime.fromisoformat("2026-04-23T22:00:00+00:00").timestamp()
    assert calendar.periods(change_s - 1) == ("2026-04-23", "2026-04")
    assert calendar.periods(change_s) == ("2026-04-24", "2026-04")


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland", "Africa/Cairo"]),
    st.lists(st.datetimes(datetime(1980, 1, 1), datetime(2036, 1, 1)), min_size=1, max_size=20),
)
def test_the_calendar_agrees_with_the_wall_clock_whatever_it_was_asked_before(
    zone: str, moments: list[datetime]
) -> None:
    calendar = Calendar(zone)
    for moment in moments:
        now_s = (moment - datetime(1970, 1, 1)) / timedelta(seconds=1)
        wall = datetime.fromtimestamp(now_s, ZoneInfo(zone))
        assert calendar.periods(now_s) == (wall.strftime("%Y-%m-%d"), wall.strftime("%Y-%m"))
