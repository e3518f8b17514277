"""The words that the script on the Redis server takes and says."""

import json
import secrets
from collections.abc import Iterable
from importlib.resources import files
from threading import Lock
from typing import Any, Final

from costlab.monitoring.budget.limits import Account, Limits
from costlab.monitoring.budget.records import Answer, Ask, AuditEntry, Close, Restart

__all__ = ["KEYS", "Words", "entries", "script"]

KEYS: Final = ("books", "reservations", "expiry", "audit", "lapsed", "unbooked")
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
        self._generation, self._offer = "", secrets.token_hex(8)
        self._lock = Lock()

    def reserve(self, limits: Limits, ask: Ask) -> Arguments:
        """Arguments of a reservation."""
        judged: list[Any] = []
        for limit, hard in zip(limits.by_priority[ask.priority], limits.hard, strict=True):
            judged += (limit.name, limit.micro_usd, int(limit.stops), hard.micro_usd)
        told = (ask.token, ask.amount_micro_usd, ask.day, ask.month, repr(ask.expires_s))
        return (*self._head("reserve", ask.now_s, limits), *told, *judged)

    def close(self, limits: Limits, said: Close) -> Arguments:
        """Arguments of a settlement."""
        actual = "" if said.actual_micro_usd is None else said.actual_micro_usd
        told = (said.token, actual, said.day, said.month, int(said.again), int(said.unbooked))
        return (*self._head("close", said.now_s, limits), *told)

    def restart(self, limits: Limits, ask: Restart) -> Arguments:
        """Arguments of a reset."""
        told = (json.dumps(ask.person), json.dumps(ask.reason), ask.extra_micro_usd, ask.day, ask.month)
        return (*self._head("restart", ask.now_s, limits), *told)

    def read(self, now_s: float, periods: tuple[str, ...]) -> Arguments:
        """Arguments of a look at the accounts."""
        return ("read", "", self._offer, repr(now_s), 0, 0, *periods)

    def answer(self, said: list[Any]) -> Answer:
        """The sense of an answer."""
        outcome, generation, name, cap, spent, reserved, stopped, *texts = said
        if generation != self._generation:
            # Offered once: books that are begun after a loss must not pass for those that were lost.
            with self._lock:
                self._generation, self._offer = generation, secrets.token_hex(8)
        return Answer(outcome, entries(texts), name, int(cap), int(spent), int(reserved), bool(stopped))

    @staticmethod
    def accounts(said: list[Any], count: int) -> tuple[str, tuple[Account, ...]]:
        """The sense of an answer to a look at `count` accounts."""
        accounts = []
        for text in said[-count:]:
            spent, reserved, extra, lapsed = map(int, text.split())
            accounts.append(Account(spent, reserved, extra, lapsed))
        return str(said[2]), tuple(accounts)

    def _head(self, step: str, now_s: float, limits: Limits) -> Arguments:
        every = (*limits.daily, *limits.monthly)
        flat = [v for limit in every for v in (limit.name, 1 + limit.monthly, limit.micro_usd, int(limit.stops))]
        return (step, self._generation, self._offer, repr(now_s), int(limits.stops_when_lost), len(every), *flat)
