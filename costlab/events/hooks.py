"""Those who are told of each request. None of them can break one."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from threading import Lock

from costlab.errors import InvalidValueError
from costlab.events.request import RequestEvent

#: What is called with each event; what it returns is ignored.
Hook = Callable[[RequestEvent], object]


@dataclass(frozen=True, slots=True)
class HookFailure:
    """A hook that raised.

    Attributes
    ----------
    hook : str
        Name of the hook.
    request_id : str
        The request of which it was being told.
    error : Exception
        What it raised, without the traceback, which would keep the request's variables alive.
    """

    hook: str
    request_id: str
    error: Exception


class Hooks:
    """Hooks in the order in which they are called.

    Parameters
    ----------
    hooks : iterable of callable
        Plain functions of one :class:`RequestEvent`. They run in the request's own thread, so a slow one delays it.

    Raises
    ------
    InvalidValueError
        If one is no plain function: a coroutine function would return at once, having done nothing.

    Notes
    -----
    An exception of a hook is counted and kept, and the next hook is called. What is no :class:`Exception` passes
    through: an interrupt from the keyboard, a task that is cancelled.

    Examples
    --------
    The metrics are broken. Is the request still written down?

    >>> event = RequestEvent(
    ...     request_id="r-1", time_s=0.0, tier="small", model="gpt-4o-mini", input_tokens=10, output_tokens=2,
    ...     cost_micro_usd=3, latency_s=0.1, outcome="ok",
    ... )
    >>> written = []
    >>> def metrics(event): raise RuntimeError("no registry")
    >>> hooks = Hooks([metrics, written.append])
    >>> hooks.emit(event)
    >>> len(written), hooks.failures, hooks.last_failure.error
    (1, 1, RuntimeError('no registry'))
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)
        for hook in self._hooks:
            if not callable(hook) or iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
                raise InvalidValueError("a hook", "a plain function of one event", hook)
        self._failed: Counter[str] = Counter()
        self._last: HookFailure | None = None
        self._lock = Lock()

    def emit(self, event: RequestEvent) -> None:
        """Tell every hook of `event`; raises nothing that a hook raises."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception as error:
                self._keep(hook, event, error)

    def _keep(self, hook: Hook, event: RequestEvent, error: Exception) -> None:
        name = getattr(hook, "__qualname__", None) or type(hook).__qualname__
        with self._lock:
            self._failed[name] += 1
            self._last = HookFailure(name, event.request_id, error.with_traceback(None))

    @property
    def failures(self) -> int:
        """How often a hook failed."""
        with self._lock:
            return self._failed.total()

    @property
    def failures_by_hook(self) -> Mapping[str, int]:
        """How often each hook failed, by its name; only those that did."""
        with self._lock:
            return dict(self._failed)

    @property
    def last_failure(self) -> HookFailure | None:
        """The failure that happened last, or None."""
        return self._last
