"""The protocol of a model: a query in, an answer out, with how sure it is and what was billed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from costlab.errors import CostlabError, InvalidValueError

__all__ = ["Model", "ModelError", "ModelTimeoutError", "Prediction", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call was billed for.

    Parameters
    ----------
    input_tokens : int
        Of the request, those read from the provider's prompt cache included, >= 0.
    cached_input_tokens : int
        The part of them that was read from the prompt cache.
    output_tokens : int
        Of the answer, >= 0.

    Raises
    ------
    InvalidValueError
        If a count is negative, or more tokens are cached than there are.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cached_input_tokens <= self.input_tokens or self.output_tokens < 0:
            counts = (self.input_tokens, self.cached_input_tokens, self.output_tokens)
            raise InvalidValueError("usage", "counts >= 0, the cached tokens among the input", counts)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer.

    Parameters
    ----------
    answer : Any
        The answer itself.
    confidence : float
        How sure the model is, in 0..1. A model that cannot say so gives NaN, and its answer is never trusted before the
        last tier.
    usage : Usage
        Tokens billed; all 0 for a model that is priced by the request.
    """

    answer: Any
    confidence: float
    usage: Usage = Usage()


class ModelError(CostlabError, RuntimeError):
    """A model that failed, with what was billed all the same.

    Parameters
    ----------
    message : str
        What went wrong.
    usage : Usage, optional
        Tokens that the failed call was billed for.
    bill_unknown : bool
        Whether there may be a bill of which nobody on this side knows the amount: the connection was cut after the
        request, or the answer cannot be read. A cascade then takes the tier's `abandoned_usd_per_request`.

    Attributes
    ----------
    usage : Usage or None
        As it was given; None where nothing was billed, or nobody knows what.
    bill_unknown : bool
        As it was given; False where the usage is known.
    """

    def __init__(self, message: str, usage: Usage | None = None, *, bill_unknown: bool = False) -> None:
        super().__init__(message)
        self.usage = usage
        self.bill_unknown = bill_unknown and usage is None


class ModelTimeoutError(ModelError, TimeoutError):
    """A model that took too long; by default a bill may come all the same."""

    def __init__(self, message: str, usage: Usage | None = None, *, bill_unknown: bool = True) -> None:
        super().__init__(message, usage, bill_unknown=bill_unknown)


class Model(Protocol):
    """Anything that answers a query. It may be called many times at once, and may be cancelled."""

    async def predict(self, query: str) -> Prediction:
        """The answer to a query; raises what went wrong, as :class:`ModelError` where it was billed."""
        ...
