"""Self-checks of exercises.

The package holds digests of the right answers, not the answers, and what it tells whoever is right is sealed with the
answer itself, so that reading it spoils nothing. Both are made from the solution notebooks by ``make exercises``.
"""

from __future__ import annotations

import base64
import hashlib
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Any, Final

#: Numbers that differ by less than about this share count as equal, so that rounding an answer does no harm.
TOLERANCE: Final = 0.005

_MARK = {"right": "\u2713", "wrong": "\u2717", "unanswered": "\u2026"}


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check; in a notebook it shows as its message.

    Attributes
    ----------
    status : {'right', 'wrong', 'unanswered'}
        How the answer was found.
    message : str
        What to tell the reader.
    """

    status: str
    message: str

    def __repr__(self) -> str:
        """Show the message after a mark."""
        return f"{_MARK[self.status]} {self.message}"


@cache
def _exercises() -> dict[str, dict[str, Any]]:
    text = (files("costlab.lessons") / "exercises.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text))


def check(exercise: str, answer: object = ...) -> Checked:
    """Whether `answer` solves an exercise: right, wrong with a hint, or not answered yet. Never raises.

    Parameters
    ----------
    exercise : str
        Number of the exercise: ``"1.1"``.
    answer : object
        A number, a text or a function, as the exercise asks. ``...`` and None, also as what a function returns, mean
        that there is no answer yet.
    """
    known = _exercises()
    if exercise not in known:
        return Checked("unanswered", f"there is no exercise {exercise!r}; there are {', '.join(known)}")
    row = known[exercise]
    probes = row.get("probes")
    try:
        if _open(answer) or (probes and callable(answer) and _open(answer(*probes[0]))):
            return Checked("unanswered", f"Exercise {exercise} is not answered yet.")
        forms = _forms(answer, probes)
    except Exception as error:
        return Checked("wrong", f"Exercise {exercise}: this cannot be checked: {type(error).__name__}: {error}")
    found = _digests(exercise, forms)
    if _agree(found, row["digests"]):
        places = [part.index(accepted) for part, accepted in zip(found, row["digests"], strict=True)]
        text = _mix(
            base64.b64decode(row["right"]), exercise, [form[at] for form, at in zip(forms, places, strict=True)]
        )
        return Checked("right", f"Exercise {exercise}: right. {text.decode()}")
    for mistake in row.get("mistakes", ()):
        if _agree(found, mistake["digests"]):
            return Checked("wrong", f"Exercise {exercise}: not yet. {mistake['hint']}")
    return Checked("wrong", f"Exercise {exercise}: not yet. {row['hint']}")


def _open(answer: object) -> bool:
    return answer is None or answer is ...


def _agree(found: Sequence[Sequence[str]], accepted: Sequence[str]) -> bool:
    """Whether each part's own digest, or that of a neighbouring value, is the accepted one."""
    return len(found) == len(accepted) and all(one in near for one, near in zip(accepted, found, strict=True))


def digests_of(exercise: str, answer: object, probes: Sequence[Sequence[Any]] | None = None) -> list[list[str]]:
    """Digests of an answer's parts: of each part its own first, then those of the neighbouring values.

    Parameters
    ----------
    exercise : str
        Number of the exercise; part of what is hashed.
    answer : number, str, bool, sequence of these, or function
        A function is called with each of the `probes`.
    probes : sequence of argument lists, optional
        Needed when the answer is a function.

    Raises
    ------
    TypeError
        If the answer is none of these.
    """
    return _digests(exercise, _forms(answer, probes))


def seal(exercise: str, answer: object, text: str, probes: Sequence[Sequence[Any]] | None = None) -> str:
    """A text that only the answer opens: what is told to whoever is right often says the answer.

    Parameters
    ----------
    exercise : str
        Number of the exercise.
    answer : number, str, bool, sequence of these, or function
        As for `digests_of`.
    text : str
        What to seal.
    probes : sequence of argument lists, optional
        As for `digests_of`.

    Returns
    -------
    str
        In Base64.
    """
    return base64.b64encode(_mix(text.encode(), exercise, [form[0] for form in _forms(answer, probes)])).decode()


def _mix(text: bytes, exercise: str, forms: Sequence[str]) -> bytes:
    """The text, or the sealed text, exclusive or with a stream made of the answer: twice gives it back."""
    stream = hashlib.shake_256(f"costlab {exercise} opened by {'|'.join(forms)}".encode()).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def _digests(exercise: str, forms: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[_digest(exercise, index, near) for near in part] for index, part in enumerate(forms)]


def _forms(answer: object, probes: Sequence[Sequence[Any]] | None) -> list[list[str]]:
    """The canonical form of each part of an answer, followed by the neighbouring ones."""
    parts: Sequence[object]
    if probes is not None:
        if not callable(answer):
            raise TypeError("the answer must be a function")
        function: Callable[..., object] = answer
        parts = [function(*probe) for probe in probes]
    elif isinstance(answer, list | tuple):
        parts = answer
    else:
        parts = [answer]
    return [_canonical(part) for part in parts]


def _digest(exercise: str, index: int, canonical: str) -> str:
    return hashlib.sha256(f"costlab {exercise} {index} {canonical}".encode()).hexdigest()[:16]


def _canonical(part: object) -> list[str]:
    if isinstance(part, str | bool):
        return [str(part).strip().casefold()]
    if not isinstance(part, Real):
        raise TypeError(f"expected a number or a text, got {type(part).__name__}")
    number = float(part)
    if number == 0 or not math.isfinite(number):
        return [str(number + 0.0)]
    # A logarithmic grid makes the tolerance relative; the cells beside it make up for values near an edge.
    cell = math.floor(math.log(abs(number)) / TOLERANCE)
    sign = "-" if number < 0 else "+"
    return [f"{sign}{near}" for near in (cell, cell - 1, cell + 1)]
