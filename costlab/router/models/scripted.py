"""A model that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from costlab._internal import checks
from costlab.router.models.prediction import Prediction

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """A model that does as it is told: for tests, and for trying out a cascade without any model.

    Parameters
    ----------
    script : mapping or callable
        For each query a :class:`Prediction`, or an exception to raise; or a function of the query, async or not, that
        returns or raises it.
    latency_s : float
        Seconds that each answer takes, >= 0.

    Attributes
    ----------
    calls : int
        How often it was asked.
    running, most_running : int
        Calls under way, now and at the most.

    Raises
    ------
    InvalidValueError
        If the latency is negative.

    Examples
    --------
    >>> import asyncio
    >>> model = ScriptedModel({"2 + 2": Prediction("4", 0.99)})
    >>> asyncio.run(model.predict("2 + 2")).answer
    '4'
    """

    def __init__(
        self,
        script: Mapping[str, Prediction | Exception] | Callable[[str], Any],
        latency_s: float = 0.0,
    ) -> None:
        self._script = script if callable(script) else script.__getitem__
        self._latency_s = checks.non_negative("latency_s", latency_s)
        self.calls = self.running = self.most_running = 0

    async def predict(self, query: str) -> Prediction:
        """What the script says; KeyError for a query that a mapping does not hold."""
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            found = self._script(query)
            if isinstance(found, Awaitable):
                found = await found
            if isinstance(found, Exception):
                raise found
            prediction: Prediction = found
            return prediction
        finally:
            self.running -= 1
