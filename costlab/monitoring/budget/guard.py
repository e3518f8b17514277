"""The guards: nothing is spent that was not reserved before."""

import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Literal, Self, TypeVar

from costlab._internal import checks
from costlab._internal.fork_safety import UniqueNames
from costlab.errors import BudgetExceeded, BudgetReservationError, BudgetStoreError, InvalidValueError
from costlab.events import PRIORITIES, Priority, micro_usd
from costlab.monitoring.budget import engine
from costlab.monitoring.budget.engine import AuditEntry, BudgetStatus, BudgetStore, ReserveRequest, SettleRequest
from costlab.monitoring.budget.limits import Calendar, level
from costlab.monitoring.budget.policy import BudgetPolicy

R = TypeVar("R")

_log = logging.getLogger("costlab.budget")

#: What is called with each change of a budget's state.
Alert = Callable[[AuditEntry], object]


@dataclass(frozen=True, slots=True)
class GuardCounts:
    """What a guard has done since it was made.

    Requests that the store admitted and refused, and those that ran unguarded because it could not be reached and the
    policy allows that; settlements that came after their reservation had expired; how often the store could not be
    asked, and how often `on_alert` raised.
    """

    admitted: int = 0
    refused: int = 0
    unguarded: int = 0
    late: int = 0
    store_failures: int = 0
    alert_failures: int = 0


class _Reservation(Generic[R]):
    """What a guard set aside.

    Attributes
    ----------
    request : ReserveRequest
        What was asked for.
    guarded : bool
        Whether it stands in the books; False where the store could not be reached and the policy allows that.
    state : {'open', 'settled', 'released'}
        What became of it.
    actual_micro_usd : int or None
        What was spent, in micro-dollars, once it is settled.
    """

    __slots__ = ("_clock", "_tell", "actual_micro_usd", "guarded", "request", "state")

    def __init__(
        self, request: ReserveRequest, guarded: bool, tell: Callable[[SettleRequest], R], clock: Callable[[], float]
    ) -> None:
        self.request, self.guarded, self._tell, self._clock = request, guarded, tell, clock
        self.state: Literal["open", "settled", "released"] = "open"
        self.actual_micro_usd: int | None = None

    @property
    def estimate_micro_usd(self) -> int:
        """What is set aside, in micro-dollars."""
        return self.request.amount_micro_usd

    @property
    def priority(self) -> Priority:
        """Whose turn it is when money runs short."""
        return self.request.priority

    def settle(self, actual_usd: float) -> R:
        """Record what was spent, in USD, >= 0: in full, also where it is above the estimate or a limit.

        Raises
        ------
        InvalidValueError, BudgetReservationError
            If the amount is negative or not finite, or it was settled or released before.
        """
        return self._tell(self._end(micro_usd("actual_usd", actual_usd)))

    def release(self) -> R:
        """Give the amount back: the call was not sent, or its provider says that it bills nothing.

        Raises
        ------
        BudgetReservationError
            If it was settled or released before.
        """
        return self._tell(self._end(None))

    def _end(self, actual_micro_usd: int | None) -> SettleRequest:
        """What the store is to be told."""
        if self.state != "open":
            raise BudgetReservationError(f"this reservation was {self.state} already")
        now_s = self._clock()
        self.state = "released" if actual_micro_usd is None else "settled"
        self.actual_micro_usd = actual_micro_usd
        token, amount, _, _, day, month, _ = self.request
        return SettleRequest(token, actual_micro_usd, now_s, day, month, amount, False, not self.guarded)


class Reservation(_Reservation[None]):
    """What :meth:`BudgetGuard.reserve` set aside; a ``with`` block closes it at its end.

    Notes
    -----
    A block that ends without `settle` or `release` is settled at the estimate, whether it ends by itself, with an
    exception, in a time-out or because its task is cancelled: a call that was sent may be billed, and what nobody knows
    is not free. Who knows better says so inside the block, where the exception is caught: `settle` with the bill,
    `release` where nothing was sent. That goes for a second guard that refuses inside the block of a first one, too.

    Examples
    --------
    The first call is cut off on its way and the second finds no connection. What do they cost of an estimate of 1
    dollar each?

    >>> from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, MemoryBudgetStore
    >>> policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100)
    >>> guard = BudgetGuard(policy, MemoryBudgetStore())
    >>> try:
    ...     with guard.reserve(1.00):
    ...         raise ConnectionResetError
    ... except ConnectionResetError:
    ...     guard.status().day_spent_usd
    1.0
    >>> with guard.reserve(1.00) as r:
    ...     try:
    ...         raise ConnectionRefusedError
    ...     except ConnectionRefusedError:
    ...         r.release()
    >>> guard.status().day_spent_usd
    1.0
    """

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.state == "open":
            self._tell(self._end(self.request.amount_micro_usd))


class AsyncReservation(_Reservation[Coroutine[object, object, None]]):
    """As :class:`Reservation`, for an event loop: what its methods return is to be awaited."""

    __slots__ = ()

    async def close(self) -> None:
        """What the end of an ``async with`` block does where nothing was settled or released."""
        if self.state == "open":
            await self._tell(self._end(self.request.amount_micro_usd))


class PendingReservation:
    """A reservation about to be made: ``async with guard.reserve(...) as r`` or ``r = await guard.reserve(...)``."""

    __slots__ = ("_make", "_reservation")

    def __init__(self, make: Callable[[], Generator[object, None, AsyncReservation]]) -> None:
        self._make = make
        self._reservation: AsyncReservation | None = None

    def __await__(self) -> Generator[object, None, AsyncReservation]:
        return self._make()

    async def __aenter__(self) -> AsyncReservation:
        self._reservation = await self
        return self._reservation

    async def __aexit__(self, *_: object) -> None:
        if self._reservation is not None:
            await self._reservation.close()


class _Guard:
    """What guards of both kinds do before and after they ask the store."""

    def __init__(
        self,
        policy: BudgetPolicy,
        store: BudgetStore,
        *,
        clock: Callable[[], float] = time.time,
        on_alert: Alert | None = None,
        new_token: Callable[[], str] | None = None,
    ) -> None:
        self.policy = policy
        self._store = store
        self._limits = policy.limits
        self._clock = clock
        self._calendar = Calendar(policy.timezone)
        self._on_alert = on_alert
        self._new_token = new_token or UniqueNames()
        self._waiting: deque[SettleRequest] = deque()
        self._counts = dict.fromkeys(GuardCounts.__dataclass_fields__, 0)
        self._out = False
        self._last_error: BudgetStoreError | None = None
        self._lock = Lock()

    @property
    def counts(self) -> GuardCounts:
        """What this guard has done since it was made."""
        with self._lock:
            return GuardCounts(**self._counts)

    @property
    def waiting(self) -> int:
        """Settlements that the store has not heard yet."""
        return len(self._waiting)

    @property
    def last_store_error(self) -> BudgetStoreError | None:
        """Why the store could not be asked the last time, or None."""
        return self._last_error

    def _reserve_request(self, estimate_usd: float, priority: Priority) -> ReserveRequest:
        amount = micro_usd("estimate_usd", estimate_usd)
        if priority not in PRIORITIES:
            checks.one_of("priority", priority, PRIORITIES)
        now_s = self._clock()
        day, month = self._calendar.periods(now_s)
        token = self._new_token()
        return ReserveRequest(token, amount, priority, now_s, day, month, now_s + self.policy.reservation_ttl_s)

    def _record_request(self, actual_usd: float) -> SettleRequest:
        amount, status = micro_usd("actual_usd", actual_usd), self._status_request()
        return SettleRequest(self._new_token(), amount, *status, amount, unbooked=True)

    def _reset_request(self, person: str, reason: str, extra_usd: float) -> engine.ResetRequest:
        for name, text in (("person", person), ("reason", reason)):
            if not isinstance(text, str) or not text.strip():
                raise InvalidValueError(name, "a text that is not empty", text)
        return engine.ResetRequest(person, reason, micro_usd("extra_usd", extra_usd), *self._status_request())

    def _status_request(self) -> engine.StatusRequest:
        now_s = self._clock()
        return engine.StatusRequest(now_s, *self._calendar.periods(now_s))

    def _admit(self, request: ReserveRequest, reply: engine.StoreReply) -> None:
        """Count and tell, and raise where the reply is no."""
        self._heard(reply)
        if reply.outcome == "admitted":
            self._count("admitted")
            return
        self._count("refused")
        spent, reserved = reply.spent_micro_usd, reply.reserved_micro_usd
        raise BudgetExceeded(
            reply.limit_name, reply.limit_micro_usd, spent, reserved, request.amount_micro_usd, reply.stopped
        )

    def _status(self, request: engine.StatusRequest, standing: engine.Standing) -> BudgetStatus:
        stopped_by, day, month = standing
        return BudgetStatus(
            level(self._limits, day, month, bool(stopped_by)), request.day, request.month,
            day.spent_micro_usd, day.reserved_micro_usd, month.spent_micro_usd, month.reserved_micro_usd,
            day.lapsed_micro_usd, month.lapsed_micro_usd, stopped_by,
        )  # fmt: skip

    def _heard(self, reply: engine.StoreReply) -> bool:
        """The store replied: tell what changed, and return True."""
        if self._out:
            self._out = False
            _log.warning("the budget's store answers again")
        if reply.outcome == "late":
            self._count("late")
        for entry in reply.entries:
            if entry.change == "opened":
                continue
            _log.warning("budget: %s", entry)
            if self._on_alert is not None:
                try:
                    self._on_alert(entry)
                except Exception:
                    self._count("alert_failures")
        return True

    def _unreachable(self, error: BudgetStoreError) -> None:
        """Do what the policy says, and say so: raise, or return where the request may run all the same."""
        self._missed(error)
        if self.policy.on_store_failure == "refuse":
            raise error
        self._count("unguarded")

    def _wait(self, request: SettleRequest, error: BudgetStoreError) -> bool:
        """The store could not be asked: keep the settlement, and return False."""
        self._missed(error)
        self._waiting.append(request._replace(again=True))
        return False

    def _missed(self, error: BudgetStoreError) -> None:
        self._count("store_failures")
        self._last_error = error
        if not self._out:
            self._out = True
            does = "nothing is admitted" if self.policy.on_store_failure == "refuse" else "everything runs UNGUARDED"
            _log.error("%s; until it answers %s", error, does)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


class BudgetGuard(_Guard):
    """Reserves before a call and settles after it, so that a budget is never overspent.

    Parameters
    ----------
    policy : BudgetPolicy
        The limits.
    store : BudgetStore
        Where the books are kept. Guards that share a store share a budget, and should have the same policy.
    clock : callable
        Seconds since 1970-01-01 UTC. Hosts must agree on the time: a day ahead, tomorrow's budget is opened.
    on_alert : callable, optional
        Called with each change of the budget's state that one of this guard's calls caused: once a day or month for
        each limit, whatever the number of guards. It cannot break a request; its failures are counted.
    new_token : callable, optional
        Makes a name for each reservation, unique among all guards of the store.

    Notes
    -----
    A request is admitted when what is spent, what is reserved and its own estimate are together at most the limit for
    its priority. Where every call costs at most its estimate, a limit is therefore never passed, not by a micro-dollar
    and not by any number of guards at once. So estimate what a call can cost at most: its input and the greatest number
    of output tokens. One that costs more is recorded in full, and what it overspent is missing for those that follow.

    Spend belongs to the day and month in which it was reserved. When the store cannot be reached a settlement waits in
    the guard and is said again at the next opportunity, see :meth:`flush`.

    Examples
    --------
    10 dollars a day: is a call admitted that may cost 4 when 5 are spent and 2 are reserved for another?

    >>> from costlab.monitoring.budget import BudgetGuard, BudgetPolicy, MemoryBudgetStore
    >>> policy = BudgetPolicy(daily_soft_usd=8, daily_hard_usd=10, monthly_usd=100)
    >>> guard = BudgetGuard(policy, MemoryBudgetStore(), clock=lambda: 1_800_000_000.0)
    >>> with guard.reserve(6.00) as r:
    ...     r.settle(5.00)
    >>> waiting = guard.reserve(2.00)
    >>> guard.reserve(4.00)
    Traceback (most recent call last):
    costlab.errors.BudgetExceeded: 4 USD refused by the daily hard limit of 10 USD: 5 USD are spent and 2 USD reserved
    >>> guard.status().level
    'normal'
    """

    def reserve(self, estimate_usd: float, priority: Priority = "standard") -> Reservation:
        """Set an amount aside for a call about to be made, to be settled or released: best in a ``with`` block.

        Parameters
        ----------
        estimate_usd : float
            The most that the call can cost, in USD, >= 0.
        priority : {'batch', 'standard', 'essential'}
            Batch work is refused at the soft limit, standard work at the hard one, essential at the emergency stop.

        Raises
        ------
        BudgetExceeded
            If it does not fit, or everything is stopped.
        BudgetStoreError
            If the store cannot be reached and the policy says ``refuse``.
        InvalidValueError, UnknownNameError
            If the amount is negative or not finite, or there is no such priority.
        """
        request = self._reserve_request(estimate_usd, priority)
        try:
            reply = self._store.transact(self._limits, request)
        except BudgetStoreError as error:
            self._unreachable(error)
            return Reservation(request, False, self._settle, self._clock)
        self._admit(request, reply)
        if self._waiting:
            self.flush()
        return Reservation(request, True, self._settle, self._clock)

    def record(self, actual_usd: float) -> None:
        """Record spend that was not reserved, in USD, >= 0: a bill, or what a ledger knows and its store forgot."""
        self._settle(self._record_request(actual_usd))

    def reset(self, person: str, reason: str, extra_usd: float = 0.0) -> bool:
        """End the emergency stop, and say whether there was one.

        Parameters
        ----------
        person, reason : str
            Who ends it and why, for the audit trail; not empty.
        extra_usd : float
            By how much the emergency limits of this day and this month are raised, in USD, >= 0. Without it a reset on
            the same day lets nothing through that the limits do not allow, and the next request may stop all again.

        Raises
        ------
        BudgetStoreError
            If the store cannot be reached.
        InvalidValueError
            If person or reason is empty, or the amount is negative.
        """
        reply = self._store.transact(self._limits, self._reset_request(person, reason, extra_usd))
        self._heard(reply)
        return reply.outcome == "reset"

    def status(self) -> BudgetStatus:
        """How the budget stands now."""
        request = self._status_request()
        return self._status(request, self._store.transact(self._limits, request))

    def audit(self) -> tuple[AuditEntry, ...]:
        """All changes of the budget's state, the oldest first."""
        return self._store.transact(self._limits, engine.AuditRequest())

    def flush(self) -> None:
        """Say what waits since the store could not be reached; what still cannot be said goes on waiting."""
        with suppress(IndexError):  # another thread may be faster
            while self._waiting and self._deliver(self._waiting.popleft()):
                pass

    def _settle(self, request: SettleRequest) -> None:
        if self._deliver(request) and self._waiting:
            self.flush()

    def _deliver(self, request: SettleRequest) -> bool:
        try:
            reply = self._store.transact(self._limits, request)
        except BudgetStoreError as error:
            return self._wait(request, error)
        return self._heard(reply)


class AsyncBudgetGuard(_Guard):
    """As :class:`BudgetGuard`, for an event loop: ``async with guard.reserve(0.02) as r: ...; await r.settle(0.017)``.

    Its parameters are the same; `on_alert` is a plain function, and guards of both kinds may share a store. A task that
    is cancelled while its reservation is on the way may leave it behind; it expires.
    """

    def reserve(self, estimate_usd: float, priority: Priority = "standard") -> PendingReservation:
        """As :meth:`BudgetGuard.reserve`; to be awaited, or entered by ``async with``."""
        request = self._reserve_request(estimate_usd, priority)
        return PendingReservation(lambda: self._reserve(request).__await__())

    async def _reserve(self, request: ReserveRequest) -> AsyncReservation:
        try:
            reply = await self._store.transact_async(self._limits, request)
        except BudgetStoreError as error:
            self._unreachable(error)
            return AsyncReservation(request, False, self._settle, self._clock)
        self._admit(request, reply)
        if self._waiting:
            await self.flush()
        return AsyncReservation(request, True, self._settle, self._clock)

    async def record(self, actual_usd: float) -> None:
        """As :meth:`BudgetGuard.record`."""
        await self._settle(self._record_request(actual_usd))

    async def reset(self, person: str, reason: str, extra_usd: float = 0.0) -> bool:
        """As :meth:`BudgetGuard.reset`."""
        reply = await self._store.transact_async(self._limits, self._reset_request(person, reason, extra_usd))
        self._heard(reply)
        return reply.outcome == "reset"

    async def status(self) -> BudgetStatus:
        """As :meth:`BudgetGuard.status`."""
        request = self._status_request()
        return self._status(request, await self._store.transact_async(self._limits, request))

    async def audit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`BudgetGuard.audit`."""
        return await self._store.transact_async(self._limits, engine.AuditRequest())

    async def flush(self) -> None:
        """As :meth:`BudgetGuard.flush`."""
        with suppress(IndexError):
            while self._waiting and await self._deliver(self._waiting.popleft()):
                pass

    async def _settle(self, request: SettleRequest) -> None:
        if await self._deliver(request) and self._waiting:
            await self.flush()

    async def _deliver(self, request: SettleRequest) -> bool:
        try:
            reply = await self._store.transact_async(self._limits, request)
        except BudgetStoreError as error:
            return self._wait(request, error)
        return self._heard(reply)
