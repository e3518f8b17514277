"""The guards: nothing is spent that was not reserved before."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Literal, Self, TypeVar

from costlab._internal import checks
from costlab._internal.fork_safety import UniqueNames
from costlab.errors import BudgetExceeded, BudgetReservationError, BudgetStoreError, InvalidValueError
from costlab.events import PRIORITIES, Priority, micro_usd
from costlab.monitoring.budget import engine
from costlab.monitoring.budget.engine import (
    CLOCK_TOLERANCE_S,
    AuditEntry,
    BudgetStatus,
    BudgetStore,
    ExtendRequest,
    ReserveRequest,
    SettleRequest,
)
from costlab.monitoring.budget.limits import Calendar, level
from costlab.monitoring.budget.memory_store import MemoryBudgetStore
from costlab.monitoring.budget.policy import BudgetPolicy

R = TypeVar("R")

_log = logging.getLogger("costlab.budget")

#: What is called with each change of a budget's state.
Alert = Callable[[AuditEntry], object]
#: What a reservation has the store told.
Told = SettleRequest | ExtendRequest


@dataclass(frozen=True, slots=True)
class GuardCounts:
    """What a guard has done since it was made.

    Requests that the store admitted and refused, and those that ran unguarded because it could not be reached and the
    policy allows that; settlements that came after their reservation had expired or was lost; how often the store could
    not be asked, and how often `on_alert` raised.
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
        Whether the books have it; False where the store could not be reached and the policy allows that.
    state : {'open', 'settled', 'released'}
        What became of it.
    actual_micro_usd : int or None
        What was spent, in micro-dollars, once it is settled.
    """

    __slots__ = ("_tell", "actual_micro_usd", "guarded", "request", "state")

    def __init__(self, request: ReserveRequest, guarded: bool, tell: Callable[[Told], R]) -> None:
        self.request, self.guarded, self._tell = request, guarded, tell
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

    def extend(self) -> R:
        """Say that the call goes on: from now the reservation has its whole time again, of the policy.

        Raises
        ------
        BudgetReservationError
            If it was settled or released before.
        """
        if self.state != "open":
            raise self._ended()
        token, amount, _, _, day, month, ttl_s = self.request
        return self._tell(ExtendRequest(token, day, month, amount, ttl_s))

    def _ended(self) -> BudgetReservationError:
        return BudgetReservationError(f"this reservation was {self.state} already; each call reserves its own")

    def _end(self, actual_micro_usd: int | None) -> SettleRequest:
        """What the store is to be told."""
        if self.state != "open":
            raise self._ended()
        self.state = "released" if actual_micro_usd is None else "settled"
        self.actual_micro_usd = actual_micro_usd
        token, amount, _, _, day, month, _ = self.request
        return SettleRequest(token, actual_micro_usd, day, month, amount, self.guarded)


def given_up(request: ReserveRequest) -> SettleRequest:
    """What ends a reservation that no one waits for any more."""
    token, amount, _, _, day, month, _ = request
    return SettleRequest(token, None, day, month, amount)


def _decided(reply: engine.StoreReply) -> engine.StoreReply:
    """The reply to what was asked by the store's clock; raises where the store tells another time once more."""
    if reply.outcome == "clock":
        raise BudgetStoreError("the budget's store tells another time with every reply")
    return reply


class Reservation(_Reservation[None]):
    """What :meth:`BudgetGuard.reserve` set aside; a ``with`` block closes it at its end.

    Notes
    -----
    A block that ends without `settle` or `release` is settled at the estimate, whether it ends by itself, with an
    exception, in a time-out or because its task is cancelled: a call that was sent may be billed, and what no one knows
    is not free. Who knows better says so inside the block, where the exception is caught: `settle` with the bill,
    `release` where nothing was sent. That goes for a second guard that refuses inside the block of a first one, too.

    A call that takes longer than the policy's `reservation_ttl_s` calls `extend` from time to time. Where it does not,
    its reservation expires, and its estimate counts as spent until it is settled: no limit is passed by it.

    One that is settled or released opens no further block: a call that is tried again reserves again.

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
        if self.state != "open":
            raise self._ended()
        return self

    def __exit__(self, *_: object) -> None:
        if self.state == "open":
            self._tell(self._end(self.request.amount_micro_usd))


class AsyncReservation(_Reservation[Coroutine[object, object, None]]):
    """As :class:`Reservation`, for an event loop: what its methods return is to be awaited.

    What it tells the store is told even where its task is cancelled meanwhile, which then ends when that is done.
    """

    __slots__ = ()

    async def close(self) -> None:
        """What the end of an ``async with`` block does where nothing was settled or released."""
        if self.state == "open":
            await self._tell(self._end(self.request.amount_micro_usd))


class PendingReservation:
    """A reservation about to be made: ``async with guard.reserve(...) as r`` or ``r = await guard.reserve(...)``.

    It is made once. A second time, as for a call that is tried again, raises
    :class:`~costlab.errors.BudgetReservationError`: that call would be admitted by the first one's reservation.
    """

    __slots__ = ("_begun", "_make", "_reservation")

    def __init__(self, make: Callable[[], Generator[object, None, AsyncReservation]]) -> None:
        self._make, self._begun = make, False
        self._reservation: AsyncReservation | None = None

    def __await__(self) -> Generator[object, None, AsyncReservation]:
        if self._begun:
            raise BudgetReservationError("this reservation was made already; each call reserves its own")
        self._begun = True
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
        self._behind_s = 0.0  # what the store's clock is ahead of this guard's, where that is more than is tolerated
        self._calendar = Calendar(policy.timezone)
        self._on_alert = on_alert
        self._new_token = new_token or UniqueNames()
        self._waiting: OrderedDict[str, SettleRequest] = OrderedDict()  # by token: none waits twice
        self._counts = dict.fromkeys(GuardCounts.__dataclass_fields__, 0)
        self._out = False
        self._last_error: BudgetStoreError | None = None
        self._lock = Lock()
        self._under_way: set[asyncio.Task[bool]] = set()  # an event loop itself holds tasks weakly only
        if isinstance(store, MemoryBudgetStore):
            store.offer_clock(clock)

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
        now_s = self._now_s()
        day, month = self._calendar.periods(now_s)
        return ReserveRequest(self._new_token(), amount, priority, now_s, day, month, self.policy.reservation_ttl_s)

    def _now_s(self) -> float:
        return self._clock() + self._behind_s

    def _set_clock(self, now_s: float) -> None:
        """Go by the store's clock, which tells another time: perhaps another day."""
        self._behind_s = now_s - self._clock()
        if abs(self._behind_s) > CLOCK_TOLERANCE_S:
            _log.warning("the clock is %.0f s from the store's, which is gone by", -self._behind_s)

    def _in_time(self, request: ReserveRequest, now_s: float) -> ReserveRequest:
        """The request as it is by the store's clock."""
        self._set_clock(now_s)
        day, month = self._calendar.periods(now_s)
        return request._replace(token=self._new_token(), now_s=now_s, day=day, month=month)

    def _record_request(self, actual_usd: float) -> SettleRequest:
        amount = micro_usd("actual_usd", actual_usd)
        made_s = self._clock()  # by this guard's own clock, as it may be a while until the store's is known
        return SettleRequest(self._new_token(), amount, *self._calendar.periods(made_s), amount, False, made_s)

    def _as_sent(self, request: Told) -> Told:
        """What the store is told; of spend that had no reservation, on the day it was made by the store's clock."""
        if isinstance(request, ExtendRequest) or request.now_s is None:
            return request
        now_s = self._now_s()
        day, month = self._calendar.periods(min(request.now_s + self._behind_s, now_s))
        return request._replace(day=day, month=month, now_s=now_s)

    def _reset_request(self, person: str, reason: str, extra_usd: float) -> engine.ResetRequest:
        for name, text in (("person", person), ("reason", reason)):
            if not isinstance(text, str) or not text.strip():
                raise InvalidValueError(name, "a text that is not empty", text)
        now_s = self._now_s()
        return engine.ResetRequest(
            person, reason, micro_usd("extra_usd", extra_usd), now_s, *self._calendar.periods(now_s)
        )

    def _admit(self, request: ReserveRequest, reply: engine.StoreReply) -> None:
        """Count and tell, and raise where the reply is no."""
        if reply is not engine.ADMITTED or self._out:
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
        stopped_by, day, month, _ = standing
        return BudgetStatus(
            level(self._limits, day, month, bool(stopped_by)), request.day, request.month,
            day.spent_micro_usd, day.reserved_micro_usd, month.spent_micro_usd, month.reserved_micro_usd,
            day.presumed_micro_usd, month.presumed_micro_usd, stopped_by,
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

    def _unreachable(self, request: ReserveRequest, error: BudgetStoreError) -> None:
        """Do what the policy says, and say so: raise, or return where the request may still run."""
        self._missed(error)
        if self.policy.on_store_failure == "refuse":
            if error.may_have_arrived:
                self._give_up(request)
            raise error
        self._count("unguarded")

    def _give_up(self, request: ReserveRequest) -> None:
        """A request was sent that no one waits for any more: nothing runs, and what may be reserved is not spent."""
        self._keep(given_up(request))

    def _keep(self, request: Told) -> None:
        """What the store has not heard, or no one knows whether it has, waits to be told; tokens let it count once."""
        if isinstance(request, SettleRequest):
            self._waiting[request.token] = request

    def _next(self) -> SettleRequest | None:
        """What has waited longest; None where nothing waits."""
        try:
            return self._waiting.popitem(last=False)[1]
        except KeyError:  # another thread may have been faster
            return None

    def _missed(self, error: BudgetStoreError) -> bool:
        """The store could not be asked."""
        self._count("store_failures")
        self._last_error = error
        if not self._out:
            self._out = True
            does = "nothing is admitted" if self.policy.on_store_failure == "refuse" else "everything runs UNGUARDED"
            _log.error("%s; until it answers %s", error, does)
        return False

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
        Seconds since 1970-01-01 UTC. It names the day; when a reservation expires, the store's clock says. A guard
        whose clock is more than a minute from the store's hears of it from the store, says so in the log, and goes by
        the store's: in what it reserves, records and resets, and in what its status shows.
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

    Spend belongs to the day and month in which it was reserved. When the store cannot be reached, or the program is
    interrupted, a settlement waits in the guard and is said at the next opportunity, see :meth:`flush`. It counts once,
    however often it is said and in whatever order it arrives, within an hour of the first time; also where the store
    has lost its reservation.

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
            if reply.outcome == "clock":
                request = self._in_time(request, reply.now_s)
                reply = _decided(self._store.transact(self._limits, request))
            self._admit(request, reply)
            if self._waiting:
                self.flush()
        except BudgetExceeded:
            raise
        except BudgetStoreError as error:
            self._unreachable(request, error)
            return Reservation(request, False, self._tell)
        except BaseException:
            self._give_up(request)
            raise
        return Reservation(request, True, self._tell)

    def record(self, actual_usd: float) -> None:
        """Record spend that was not reserved, in USD, >= 0: a bill, or what a ledger knows and its store forgot."""
        self._tell(self._record_request(actual_usd))

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
        if reply.outcome == "clock":
            self._set_clock(reply.now_s)
            reply = _decided(self._store.transact(self._limits, self._reset_request(person, reason, extra_usd)))
        self._heard(reply)
        return reply.outcome == "reset"

    def status(self) -> BudgetStatus:
        """The state of the budget now."""
        now_s = self._now_s()
        request = engine.StatusRequest(*self._calendar.periods(now_s))
        standing = self._store.transact(self._limits, request)
        if not engine.agree(now_s, standing.now_s):
            self._set_clock(standing.now_s)
            request = engine.StatusRequest(*self._calendar.periods(standing.now_s))
            standing = self._store.transact(self._limits, request)
        return self._status(request, standing)

    def audit(self) -> tuple[AuditEntry, ...]:
        """All changes of the budget's state, the oldest first."""
        return self._store.transact(self._limits, engine.AuditRequest())

    def flush(self) -> None:
        """Tell the store what has waited since it could not be reached; what still cannot be told goes on waiting."""
        while (request := self._next()) is not None and self._deliver(request):
            pass

    def _tell(self, request: Told) -> None:
        if self._deliver(request) and self._waiting:
            self.flush()

    def _deliver(self, request: Told) -> bool:
        try:
            reply = self._store.transact(self._limits, self._as_sent(request))
            if reply.outcome == "clock":
                self._set_clock(reply.now_s)
                reply = _decided(self._store.transact(self._limits, self._as_sent(request)))
        except BudgetStoreError as error:
            self._keep(request)
            return self._missed(error)
        except BaseException:
            self._keep(request)
            raise
        return (reply is engine.SETTLED and not self._out) or self._heard(reply)


class AsyncBudgetGuard(_Guard):
    """As :class:`BudgetGuard`, for an event loop: ``async with guard.reserve(0.02) as r: ...; await r.settle(0.017)``.

    Its parameters are the same; `on_alert` is a plain function, and guards of both kinds may share a store. A task that
    is cancelled while the store is being told something ends when that is done, after the store's time-outs at the
    latest; what is on its way when the event loop ends waits for :meth:`flush`.
    """

    def reserve(self, estimate_usd: float, priority: Priority = "standard") -> PendingReservation:
        """As :meth:`BudgetGuard.reserve`; to be awaited, or entered by ``async with``."""
        request = self._reserve_request(estimate_usd, priority)
        return PendingReservation(lambda: self._reserve(request).__await__())

    async def _reserve(self, request: ReserveRequest) -> AsyncReservation:
        try:
            reply = await self._store.transact_async(self._limits, request)
            if reply.outcome == "clock":
                request = self._in_time(request, reply.now_s)
                reply = _decided(await self._store.transact_async(self._limits, request))
            self._admit(request, reply)
            if self._waiting:
                await self.flush()
        except BudgetExceeded:
            raise
        except BudgetStoreError as error:
            self._unreachable(request, error)
            return AsyncReservation(request, False, self._tell)
        except asyncio.CancelledError:
            await self._tell(given_up(request))
            raise
        except BaseException:
            self._give_up(request)
            raise
        return AsyncReservation(request, True, self._tell)

    async def record(self, actual_usd: float) -> None:
        """As :meth:`BudgetGuard.record`."""
        await self._tell(self._record_request(actual_usd))

    async def reset(self, person: str, reason: str, extra_usd: float = 0.0) -> bool:
        """As :meth:`BudgetGuard.reset`."""
        reply = await self._store.transact_async(self._limits, self._reset_request(person, reason, extra_usd))
        if reply.outcome == "clock":
            self._set_clock(reply.now_s)
            request = self._reset_request(person, reason, extra_usd)
            reply = _decided(await self._store.transact_async(self._limits, request))
        self._heard(reply)
        return reply.outcome == "reset"

    async def status(self) -> BudgetStatus:
        """As :meth:`BudgetGuard.status`."""
        now_s = self._now_s()
        request = engine.StatusRequest(*self._calendar.periods(now_s))
        standing = await self._store.transact_async(self._limits, request)
        if not engine.agree(now_s, standing.now_s):
            self._set_clock(standing.now_s)
            request = engine.StatusRequest(*self._calendar.periods(standing.now_s))
            standing = await self._store.transact_async(self._limits, request)
        return self._status(request, standing)

    async def audit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`BudgetGuard.audit`."""
        return await self._store.transact_async(self._limits, engine.AuditRequest())

    async def flush(self) -> None:
        """As :meth:`BudgetGuard.flush`."""
        while (request := self._next()) is not None and await self._deliver(request):
            pass

    def _tell(self, request: Told) -> Coroutine[object, object, None]:
        """Have the store told from now on, whatever becomes of who awaits it."""
        try:
            task = asyncio.get_running_loop().create_task(self._deliver(request))
        except RuntimeError:  # made outside of an event loop, to be run by one
            return self._finish(self._deliver(request))
        self._under_way.add(task)

        def ended(task: asyncio.Task[bool]) -> None:
            self._under_way.discard(task)
            if task.cancelled():  # perhaps before it began
                self._keep(request)

        task.add_done_callback(ended)
        return self._finish(task)

    async def _finish(self, telling: Coroutine[object, object, bool] | asyncio.Task[bool]) -> None:
        task = asyncio.ensure_future(telling)
        try:
            heard = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                await asyncio.wait([task])
            raise
        if heard and self._waiting:
            await self.flush()

    async def _deliver(self, request: Told) -> bool:
        try:
            reply = await self._store.transact_async(self._limits, self._as_sent(request))
            if reply.outcome == "clock":
                self._set_clock(reply.now_s)
                reply = _decided(await self._store.transact_async(self._limits, self._as_sent(request)))
        except BudgetStoreError as error:
            self._keep(request)
            return self._missed(error)
        except BaseException:
            self._keep(request)
            raise
        return (reply is engine.SETTLED and not self._out) or self._heard(reply)
