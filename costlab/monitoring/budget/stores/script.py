"""The words that the script on the Redis server takes and says."""

import json
import secrets
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

from costlab.monitoring.budget.engine import ADMITTED, SETTLED
from costlab.monitoring.budget.limits import Account, Limits
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Close, Restart

__all__ = ["KEYS", "Words", "entries", "script"]

KEYS: Final = ("books", "expiry", "audit", "lapsed")
Arguments = tuple[Any, ...]


def script() -> str:
    """The text of the script."""
    return (files("costlab.monitoring.budget.stores") / "budget.lua").read_text(encoding="utf-8")


def entries(texts: Iterable[str]) -> tuple[AuditEntry, ...]:
    """Audit entries as the script writes them."""
    return tuple(AuditEntry(**json.loads(text)) for text in texts)


class Words:
    """Arguments for the script, and the sense of its answers; remembers which books it was told of."""

    def __init__(self) -> None:
        # The generation that it knows, or one that it offers, after a plus.
        self._generation = f"+{secrets.token_hex(8)}"
        self._plan: tuple[Limits | None, Arguments] = (None, ())

    def reserve(self, limits: Limits, ask: Ask) -> Arguments:
        """Arguments of a reservation."""
        day, month = limits.by_priority[ask.priority]
        told = (ask.token, ask.amount_micro_usd, repr(ask.expires_s), day.micro_usd, month.micro_usd, ask.priority)
        return (*self._head("reserve", ask.now_s, limits, ask.day), *told)

    def close(self, limits: Limits, said: Close) -> Arguments:
        """Arguments of a settlement."""
        actual = "" if said.actual_micro_usd is None else said.actual_micro_usd
        told = (said.token, said.amount_micro_usd, actual, int(said.again), int(said.unbooked))
        return (*self._head("close", said.now_s, limits, said.day), *told)

    def restart(self, limits: Limits, ask: Restart) -> Arguments:
        """Arguments of a reset."""
        told = (json.dumps(ask.person), json.dumps(ask.reason), ask.extra_micro_usd)
        return (*self._head("restart", ask.now_s, limits, ask.day), *told)

    def read(self, now_s: float, day: str) -> Arguments:
        """Arguments of a look at the accounts of a day and its month."""
        return ("read", self._generation, repr(now_s), "{}", day)

    def answer(self, said: str | list[Any]) -> Answer:
        """The sense of an answer."""
        if isinstance(said, str):  # nothing but the outcome is new
            return ADMITTED if said == "admitted" else SETTLED
        outcome, generation, *rest = said
        self._generation = generation
        if not rest:
            return Answer(outcome)
        new: tuple[AuditEntry, ...] = ()
        if "entries" in rest:
            at = rest.index("entries")
            rest, new = rest[:at], entries(rest[at + 1 :])
        if not rest:
            return Answer(outcome, new)
        name, cap, spent, reserved, stopped = rest
        return Answer(outcome, new, name, int(cap), int(spent), int(reserved), bool(stopped))

    @staticmethod
    def accounts(said: list[Any]) -> tuple[str, tuple[Account, Account]]:
        """The sense of an answer to a look at the accounts."""
        stopped_by, day, month = said
        return stopped_by, (_account(day), _account(month))

    def _head(self, step: str, now_s: float, limits: Limits, day: str) -> Arguments:
        planned, plan = self._plan
        if planned is not limits:
            plan = (_plan(limits), limits.daily[0].micro_usd, limits.monthly[0].micro_usd)
            self._plan = (limits, plan)  # as a whole, so that threads need no lock
        text, low_day, low_month = plan
        return (step, self._generation, repr(now_s), text, day, low_day, low_month)


def _plan(limits: Limits) -> str:
    """The limits as the script reads them, where one is met."""
    every = (*limits.daily, *limits.monthly)
    return json.dumps(
        {
            "stops_when_lost": limits.stops_when_lost,
            "limits": [(one.name, 1 + one.monthly, one.micro_usd, int(one.stops)) for one in every],
            "by": {priority: [1 + every.index(one) for one in pair] for priority, pair in limits.by_priority.items()},
            "hard": [one.micro_usd for one in limits.hard],
        }
    )


def _account(text: str) -> Account:
    spent, reserved, extra, lapsed = map(int, text.split())
    return Account(spent, reserved, extra, lapsed)
