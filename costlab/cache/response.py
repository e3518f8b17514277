"""The response cache: ask the model only what no one asked it before."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from costlab._internal import checks
from costlab.cache.answers import Answer, CacheCounter, CachedAnswer, CacheStatistics, is_complete, not_empty
from costlab.cache.keys import Request, as_request, is_sampled, request_key
from costlab.cache.resilient_store import UNAVAILABLE, Entry, ResilientStore, pack
from costlab.cache.single_flight import CallOutcome, SingleFlight
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from costlab.cache.semantic import SemanticHit, SemanticLayer
    from costlab.cache.stores import CacheStore

    Call = Callable[[Any], Awaitable[object]]
    Finish = Callable[[CallOutcome], None]

T = TypeVar("T")

SAMPLED: Final = ("cache", "bypass")
MAX_REFUSALS: Final = 10_000


class ResponseCache:
    """Answers from a store where it can, from the model where it must, each request once.

    The store may be down, slow, full or full of rubbish: every request is still answered, by the model. Only
    what the call itself raises reaches the caller.

    Parameters
    ----------
    store : CacheStore
        Where answers are kept.
    semantic : SemanticLayer, optional
        Finds requests that mean the same. Without it only equal requests share an answer.
    ttl_s : float, optional
        Seconds for which an answer is given again; by default until the store evicts it.
    namespace : str
        This application's part of the store. A request's own namespace, the tenant, is a part of that part.
    clock : callable
        Seconds, never going back; for latencies and for when to ask a failed store again.
    single_flight : bool
        Whether equal requests at one time make one call: in this process, and across those that share the store.
    flight_ttl_s, poll_s : float
        Seconds after which another process calls although the one that calls has not finished: longer than a call
        takes, as short as a request may wait when a process dies in the middle of a call. Seconds after which a process
        first looks whether another one's call is done; doubled each time, to 16 times.
    sampled : {'cache', 'bypass'}
        What becomes of requests with a temperature above 0 and no seed. ``cache`` answers them from the store, so that
        one sample stands for all: choose it when any good answer will do. ``bypass`` calls for each of them: choose it
        when the reader expects variety. To keep several samples apart, give each request a seed.
    keep : callable
        Whether an answer is worth keeping: by default :func:`not_empty`.
    secret : bytes
        Key of the checksums, at most 64 bytes. With it, no one who can write to the store can forge an answer.
    retry_first_s, retry_longest_s : float
        Seconds until a store that failed is asked again, after the first failure and at most.
    on_answer : callable, optional
        Called with request and :class:`CachedAnswer` for each answer. What it raises is counted and goes no further.

    Notes
    -----
    Not kept: errors, empty answers, answers that were cut off (:func:`is_complete`, ``Answer.complete``), answers
    above the store's size limit. An error is shared by the requests that waited for the same call; it is not
    remembered. After an answer that was cut off, each of them makes its own call. A request that is cancelled cancels
    no one else's.

    Reading and writing back off separately: a full server that refuses writes still answers from what it has.

    One event loop uses a cache. The semantic layer is asked after the exact look-up fails, and the answer that it finds
    is not stored under the new request's key: were it wrong, the mistake would spread as an exact hit.

    Examples
    --------
    The same question twice: what is paid for it, and what saved?

    >>> import asyncio
    >>> from costlab.cache import MemoryStore
    >>> async def ask(request):
    ...     return Answer("Open Settings, then Sharing.", cost_usd=0.002)
    >>> async def twice():
    ...     cache = ResponseCache(MemoryStore())
    ...     question = Request(model="small", messages="How do I share a folder?")
    ...     return [await cache.get_or_call(question, ask) for _ in range(2)]
    >>> [(answer.source, answer.cost_usd, answer.saved_usd) for answer in asyncio.run(twice())]
    [('model', 0.002, 0.0), ('exact', 0.0, 0.002)]
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        semantic: SemanticLayer | None = None,
        ttl_s: float | None = None,
        namespace: str = "",
        clock: Callable[[], float] = time.monotonic,
        single_flight: bool = True,
        flight_ttl_s: float = 30.0,
        poll_s: float = 0.01,
        sampled: str = "cache",
        keep: Callable[[Any], bool] = not_empty,
        secret: bytes = b"",
        retry_first_s: float = 0.1,
        retry_longest_s: float = 30.0,
        on_answer: Callable[[Any, CachedAnswer], object] | None = None,
    ) -> None:
        self._ttl_s = None if ttl_s is None else checks.positive("ttl_s", ttl_s)
        self._namespace = namespace
        self._clock = clock
        self._single_flight = SingleFlight() if single_flight else None
        self._flight_ttl_s = checks.positive("flight_ttl_s", flight_ttl_s)
        self._poll_s = checks.positive("poll_s", poll_s)
        self._bypasses = checks.one_of("policy for sampled", sampled, SAMPLED) == "bypass"
        self._keep = keep
        if len(secret) > 64:
            raise InvalidValueError("secret", "at most 64 bytes", f"{len(secret)} bytes")
        self._secret = secret
        self._on_answer = on_answer
        self._refused: dict[tuple[str, str], None] = {}
        self._counter = CacheCounter()
        self._store = ResilientStore(store, self._counter, secret, retry_first_s, retry_longest_s, clock)
        self._semantic = None if semantic is None else _ResilientLayer(semantic, self._store, self._counter, namespace)

    async def get_or_call(
        self, request: Request | Mapping[str, Any], call: Call, *, namespace: str = ""
    ) -> CachedAnswer:
        """The answer to `request`: from the store, or else from ``await call(request)``.

        Parameters
        ----------
        request : Request or mapping
            What is asked. A mapping is a chat API's payload, see :func:`as_request`.
        call : callable
            Asks the model. It is given `request` as it came and returns the answer, as an :class:`Answer` if it knows
            what it cost.
        namespace : str
            The tenant whose payload it is, as the application knows it: nothing in the payload can name another one. A
            :class:`Request` has its own.

        Raises
        ------
        InvalidValueError
            If the request holds what JSON cannot, or a :class:`Request` is given beside another namespace.
        Exception
            What `call` raises; nothing else.
        """
        started = self._clock()
        asked = request if isinstance(request, Request) and not namespace else as_request(request, namespace)
        key = request_key(asked, self._namespace)
        counts = self._counter.counts
        counts["requests"] += 1
        shared = False
        try:
            if self._bypasses and is_sampled(asked):
                counts["bypassed"] += 1
                outcome, _ = await self._ask(key, "", request, call)
            else:
                entry = await self._store.read(key)
                if entry is not None and entry is not UNAVAILABLE and (key, key) not in self._refused:
                    hit = self._counter.hit(key, key, entry.value, entry.cost_usd, None, self._clock() - started)
                    return hit if self._on_answer is None else self._announced(request, hit)
                lead = partial(self._lead, key, asked, request, call, entry is not UNAVAILABLE)
                if self._single_flight is not None:
                    outcome, shared = await self._single_flight.run(key, lead)
                    if shared and not outcome.complete:
                        shared = False
                        outcome = await self._call_alone(key, asked, request, call)
                else:
                    outcome = await lead(lambda _: None)
        except Exception:
            counts["errors"] += 1
            raise
        except BaseException:
            counts["cancelled"] += 1
            raise
        return self._announced(request, self._counter.outcome(key, outcome, shared, self._clock() - started))

    async def feedback(self, answer: CachedAnswer, *, correct: bool) -> None:
        """Tell the cache whether an answer that :meth:`get_or_call` returned was right: a wrong one is not given again.

        A wrong answer to its own request is removed from the store. A wrong semantic hit may be the right answer to
        the request it was first given to, so it stays, but this cache does not give it to this request again.
        """
        if answer.source != "model":
            self._counter.counts["judged_hits"] += 1
            self._counter.counts["false_hits"] += not correct
        if correct:
            return
        # This holds at once, and where the store cannot be reached now.
        self._refused[answer.key, answer.entry_key] = None
        if len(self._refused) > MAX_REFUSALS:
            del self._refused[next(iter(self._refused))]
        if answer.source == "semantic":
            return
        await self._store.delete(answer.key)
        if self._semantic is not None:
            await self._semantic.forget(answer.key)

    def statistics(self) -> CacheStatistics:
        """What the cache did since it was made."""
        return self._counter.snapshot()

    async def _lead(
        self, key: str, asked: Request, request: object, call: Call, available: bool, finish: Finish
    ) -> CallOutcome:
        """The outcome of a request that the store has no answer to: from one that means the same, or from a call."""
        outcome = token = None
        if self._semantic is not None and available:
            found = await self._semantic.find(key, asked)
            if found is not None and (key, found[0].key) not in self._refused:
                hit, entry = found
                outcome = CallOutcome(False, hit.key, hit.similarity, entry.cost_usd, entry.value)
        try:
            if outcome is None and available and self._single_flight is not None:
                token, stored = await self._store.lock(key, self._flight_ttl_s, self._poll_s)
                if stored is not None and stored is not UNAVAILABLE and (key, key) not in self._refused:
                    outcome = CallOutcome(False, key, None, stored.cost_usd, stored.value)
            if outcome is None:
                # A store that did not answer when asked is not made to answer now: once a request is enough.
                outcome = await self._call_alone(key, asked, request, call, finish, available)
            finish(outcome)
        finally:
            if token is not None:
                await self._store.unlock(key, token)
        return outcome

    async def _call_alone(
        self,
        key: str,
        asked: Request,
        request: object,
        call: Call,
        finish: Finish = lambda _: None,
        available: bool = True,
    ) -> CallOutcome:
        """The outcome of a call for this request, kept where the store is available."""
        scope = "" if self._semantic is None else asked.scope
        outcome, packed = await self._ask(key, scope, request, call)
        # Those who wait need not wait for the store too.
        finish(outcome)
        if available and packed is not None and await self._store.put(key, packed, self._ttl_s):
            self._refused.pop((key, key), None)
            if self._semantic is not None:
                await self._semantic.remember(key, asked)
        return outcome

    def _announced(self, request: object, answer: CachedAnswer) -> CachedAnswer:
        if self._on_answer is not None:
            try:
                self._on_answer(request, answer)
            except Exception:
                self._counter.counts["hook_failures"] += 1
        return answer

    async def _ask(self, key: str, scope: str, request: object, call: Call) -> tuple[CallOutcome, bytes | None]:
        """The answer of a call, and its bytes where it is to be kept and can be."""
        counts = self._counter.counts
        counts["calls"] += 1
        result = await call(request)
        value, usd = (result.value, float(result.cost_usd)) if isinstance(result, Answer) else (result, None)
        self._counter.called(usd)
        packed = None
        complete = is_complete(value) and not (isinstance(result, Answer) and not result.complete)
        try:
            worth_keeping = bool(self._keep(value))
        except Exception:
            worth_keeping = None
            counts["hook_failures"] += 1
        if not complete:
            counts["incomplete_answers"] += 1
        elif worth_keeping:
            try:
                packed = pack(key, Entry(usd, scope, value), self._secret)
            except (TypeError, ValueError, OverflowError):
                counts["unfit_answers"] += 1
        elif worth_keeping is not None:
            counts["empty_answers"] += 1
        return CallOutcome(True, key, None, usd, value, complete=complete), packed


class _ResilientLayer:
    """A semantic layer within one namespace. It never raises, and what it names is looked at before it is believed."""

    def __init__(self, layer: SemanticLayer, store: ResilientStore, counter: CacheCounter, namespace: str) -> None:
        self._layer = layer
        self._store = store
        self._counts = counter.counts
        self._namespace = namespace

    async def find(self, key: str, asked: Request) -> tuple[SemanticHit, Entry] | None:
        """A request that means the same with its answer, if the layer knows one and the store still has it.

        An entry says for which scope it was made. A layer that names another scope's entry, another tenant's say, made
        a mistake: it is counted, and nothing found.
        """
        if not asked.text:
            return None
        hit = await self._attempt(self._layer.lookup(asked.within(self._namespace)))
        if hit is None or hit.key == key:
            return None
        entry = await self._store.read(hit.key)
        if entry is None:
            await self.forget(hit.key)
            return None
        if entry is UNAVAILABLE:
            return None
        if entry.scope != asked.scope:
            self._counts["semantic_failures"] += 1
            return None
        return hit, entry

    async def remember(self, key: str, asked: Request) -> None:
        """Note that the answer to this request is in the store."""
        if asked.text:
            await self._attempt(self._layer.remember(asked.within(self._namespace), key))

    async def forget(self, key: str) -> None:
        """Note that it no longer is."""
        await self._attempt(self._layer.forget(key))

    async def _attempt(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except Exception:
            self._counts["semantic_failures"] += 1
            return None
