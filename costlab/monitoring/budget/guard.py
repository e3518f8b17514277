"""The guard: nothing is spent that was not reserved before."""

from contextlib import suppress

from costlab.errors import BudgetStoreError
from costlab.events import Priority
from costlab.monitoring.budget.desk import Desk
from costlab.monitoring.budget.records import AuditEntry, BudgetStatus, Close
from costlab.monitoring.budget.reservation import AsyncReservation, Reservation, Reserving

__all__ = ["AsyncBudgetGuard", "BudgetGuard"]


class BudgetGuard(Desk):
    """Reserves before a call and settles after it, so that a budget is never overspent.

    Parameters
    ----------
    policy : BudgetPolicy
        The limits.
    store : BudgetStore
        Where the books are kept. Guards that share a store share a budget, and should have the same policy.
    clock : callable
        Seconds since 1970-01-01 UTC.
    on_alert : callable, optional
        Called with each change of the budget's state that one of this guard's calls caused: once a day or month for
        each limit, whatever the number of guards. It cannot break a request; its failures are counted.
    new_token : callable, optional
        Makes a name for each reservation, unique among all guards of the store.

    Notes
    -----
    A request is admitted when what is spent, what is reserved and its own estimate are together at most the limit for
    its priority. Where every call costs at most its estimate, a limit is therefore never passed, not by a micro-dollar
    and not by any number of guards at once. A call that costs more than its estimate is recorded in full, and what was
    overspent by it is missing for those that follow. So estimate at most what a call can cost: its input and the
    greatest number of output tokens it may write.

    Spend belongs to the day and month in which it was reserved. When the store cannot be reached a settlement waits in
    the guard and is said again at the next opportunity, see :meth:`flush`.

    Hosts must agree on the time: a clock that runs a day ahead opens tomorrow's budget.

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
        """Set `estimate_usd` aside for a call that is about to be made.

        Parameters
        ----------
        estimate_usd : float
            The most that the call can cost, in USD, >= 0.
        priority : {'batch', 'standard', 'essential'}
            Batch work is refused at the soft limit, standard work at the hard one, essential at the emergency stop.

        Returns
        -------
        Reservation
            To be settled or cancelled; best in a ``with`` block.

        Raises
        ------
        BudgetExceeded
            If it does not fit, or everything is stopped.
        BudgetStoreError
            If the store cannot be reached and the policy says ``refuse``.
        InvalidValueError, UnknownNameError
            If the amount is negative or not finite, or there is no such priority.
        """
        ask = self._ask(estimate_usd, priority)
        try:
            answer = self._store.reserve(self._limits, ask)
        except BudgetStoreError as error:
            self._unreachable(error)
            return Reservation(ask, False, self._say, self._clock)
        self._admit(ask, answer)
        if self._waiting:
            self.flush()
        return Reservation(ask, True, self._say, self._clock)

    def record(self, actual_usd: float) -> None:
        """Record spend that was not reserved, in USD, >= 0: a bill, or what a ledger knows and its store forgot."""
        self._say(self._spend(actual_usd))

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
        return self._restarted(self._store.restart(self._limits, self._restart(person, reason, extra_usd)))

    def status(self) -> BudgetStatus:
        """How the budget stands now."""
        now_s, periods = self._now()
        return self._status(periods, *self._store.read(now_s, *periods))

    def audit(self) -> tuple[AuditEntry, ...]:
        """All changes of the budget's state, the oldest first."""
        return self._store.audit()

    def flush(self) -> None:
        """Say what waits since the store could not be reached; what still cannot be said goes on waiting."""
        with suppress(BudgetStoreError, IndexError):
            while self._waiting:
                said = self._waiting.popleft()
                try:
                    self._closed(self._store.close(self._limits, said))
                except BudgetStoreError as error:
                    self._wait(said, error)
                    raise

    def _say(self, said: Close) -> None:
        try:
            answer = self._store.close(self._limits, said)
        except BudgetStoreError as error:
            self._wait(said, error)
            return
        self._closed(answer)
        if self._waiting:
            self.flush()


class AsyncBudgetGuard(Desk):
    """As :class:`BudgetGuard`, for an event loop: ``async with guard.reserve(0.02) as r: ...; await r.settle(0.017)``.

    Parameters
    ----------
    policy : BudgetPolicy
        As there, and so are the other parameters.
    store : BudgetStore
        As there; it may be shared by guards of both kinds.
    clock : callable
        Seconds since 1970-01-01 UTC.
    on_alert : callable, optional
        A plain function.
    new_token : callable, optional
        As there.

    Notes
    -----
    A task that is cancelled while its reservation is on the way may leave it behind; it expires.
    """

    def reserve(self, estimate_usd: float, priority: Priority = "standard") -> Reserving:
        """As :meth:`BudgetGuard.reserve`; to be awaited, or entered by ``async with``."""
        ask = self._ask(estimate_usd, priority)

        async def make() -> AsyncReservation:
            try:
                answer = await self._store.areserve(self._limits, ask)
            except BudgetStoreError as error:
                self._unreachable(error)
                return AsyncReservation(ask, False, self._say, self._clock)
            self._admit(ask, answer)
            if self._waiting:
                await self.flush()
            return AsyncReservation(ask, True, self._say, self._clock)

        return Reserving(make)

    async def record(self, actual_usd: float) -> None:
        """As :meth:`BudgetGuard.record`."""
        await self._say(self._spend(actual_usd))

    async def reset(self, person: str, reason: str, extra_usd: float = 0.0) -> bool:
        """As :meth:`BudgetGuard.reset`."""
        return self._restarted(await self._store.arestart(self._limits, self._restart(person, reason, extra_usd)))

    async def status(self) -> BudgetStatus:
        """As :meth:`BudgetGuard.status`."""
        now_s, periods = self._now()
        return self._status(periods, *await self._store.aread(now_s, *periods))

    async def audit(self) -> tuple[AuditEntry, ...]:
        """As :meth:`BudgetGuard.audit`."""
        return await self._store.aaudit()

    async def flush(self) -> None:
        """As :meth:`BudgetGuard.flush`."""
        with suppress(BudgetStoreError, IndexError):
            while self._waiting:
                said = self._waiting.popleft()
                try:
                    self._closed(await self._store.aclose(self._limits, said))
                except BudgetStoreError as error:
                    self._wait(said, error)
                    raise

    async def _say(self, said: Close) -> None:
        try:
            answer = await self._store.aclose(self._limits, said)
        except BudgetStoreError as error:
            self._wait(said, error)
            return
        self._closed(answer)
        if self._waiting:
            await self.flush()
