"""The cost of resent histories beside a conversation that is kept as a list of messages."""

import pytest
from hypothesis import given, strategies as st

from costlab.catalog import api_price
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.token_economics import Call, calls_usd, conversation, resent_input_tokens

counts = st.integers(0, 500)


@given(turns=st.integers(0, 40), system=counts, turn=counts, answer=counts)
def test_resent_tokens_are_those_of_a_list_of_messages(turns: int, system: int, turn: int, answer: int) -> None:
    messages, sent = [system], 0
    for _ in range(turns):
        messages.append(turn)
        sent += sum(messages)
        messages.append(answer)
    assert resent_input_tokens(turns, system, turn, answer) == sent
    assert sum(call.input_tokens for call in conversation(turns, system, turn, answer)) == sent


@given(turns=st.integers(1, 40), system=counts, turn=counts, answer=counts)
def test_a_cached_conversation_sends_the_same_and_writes_each_token_once(
    turns: int, system: int, turn: int, answer: int
) -> None:
    calls = conversation(turns, system, turn, answer, cached=True)
    assert [call.input_tokens for call in calls] == [
        call.input_tokens for call in conversation(turns, system, turn, answer)
    ]
    assert sum(call.cache_write_tokens for call in calls) == calls[-1].input_tokens
    assert all(call.cached_input_tokens + call.cache_write_tokens == call.input_tokens for call in calls)


def test_twice_as_long_costs_nearly_four_times_as_much_without_a_head() -> None:
    assert resent_input_tokens(200, 0, 600, 400) / resent_input_tokens(100, 0, 600, 400) == pytest.approx(4, rel=0.01)
    # The cache takes a tenth of it, and leaves the square.
    price = api_price("claude-haiku-4-5")
    bills = [calls_usd(conversation(n, 0, 600, 1, cached=True), price) for n in (2000, 4000)]
    assert bills[1] / bills[0] > 3.9


@given(turns=st.integers(1, 60), above=st.integers(1_700, 6_000), cached=st.booleans())
def test_compaction_bounds_every_call(turns: int, above: int, cached: bool) -> None:
    calls = conversation(turns, 1_000, 300, 200, cached=cached, compact_above_tokens=above, summary_tokens=400)
    summaries = len(calls) - turns
    # A summary is of a history that the last answer may have taken above the limit.
    assert max(call.input_tokens for call in calls) <= above + 200
    assert max(call.input_tokens for call in calls if call.output_tokens == 200) <= above
    assert all(call.cached_input_tokens <= call.input_tokens for call in calls)
    assert sum(call.output_tokens for call in calls) == 200 * turns + 400 * summaries


def test_compaction_counted_out() -> None:
    """1,000 of system and 500 a turn: the fourth turn would send 2,800, so a summary of 400 takes 2,500 away."""
    calls = conversation(4, 1_000, 300, 200, cached=True, compact_above_tokens=2_400, summary_tokens=400)
    assert [(call.input_tokens, call.cached_input_tokens, call.output_tokens) for call in calls] == [
        (1_300, 0, 200),
        (1_800, 1_300, 200),
        (2_300, 1_800, 200),
        (2_500, 2_300, 400),
        (1_700, 1_000, 200),
    ]


def test_the_bill_is_the_sum_of_its_kinds() -> None:
    """Sonnet 4.5: 3 USD a million, written 3.75 or 6, read 0.30, answered 15."""
    calls = conversation(2, 1_000, 300, 200, cached=True)
    by_hand = (1_300 * 3.75 + 200 * 15 + 1_300 * 0.30 + 500 * 3.75 + 200 * 15) / 1e6
    price = api_price("claude-sonnet-4-5")
    assert calls_usd(calls, price) == pytest.approx(by_hand)
    assert calls_usd(calls, price, write="cache_write_1h") == pytest.approx(by_hand + 1_800 * (6 - 3.75) / 1e6)
    assert calls_usd((), price) == 0
    assert calls_usd((Call(100, 10),), price) == price.usd(100, 10)  # nothing read, nothing written
    with pytest.raises(UnknownNameError, match="unknown kind of write 'hour'"):
        calls_usd(calls, price, write="hour")


def test_what_is_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="turns must be a whole number >= 0, got -1"):
        conversation(-1, 0, 0, 0)
    with pytest.raises(InvalidValueError, match="compact_above_tokens must be at least 1700: one turn after a summary"):
        conversation(5, 1_000, 300, 200, compact_above_tokens=1_699, summary_tokens=400)
    with pytest.raises(InvalidValueError, match="summary_tokens must be a whole number >= 1, got 0"):
        conversation(5, 1_000, 300, 200, compact_above_tokens=5_000)
