"""Self-checks of exercises.

The package holds digests of the right answers, not the answers, and what it tells whoever is right is sealed with the
answer itself, so that reading it spoils nothing. Both are made from the solution notebooks by ``make exercises``.
Where many answers are right, a function in `costlab.lessons.properties` judges them; what is told to whoever is right
is then only made unreadable, since no single answer could seal it.
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

from costlab.lessons.properties import find_property

#: Numbers that differ by less than about this share count as equal, so that rounding an answer does no harm.
TOLERANCE: Final = 0.005

#: How many different wrong answers are checked before a worked solution is shown, where one travels with the package.
TRIES: Final = 2
_WRONG: Final[dict[str, set[str]]] = {}

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

    Where the course lets worked solutions travel with the package, the second different wrong answer shows one.

    Parameters
    ----------
    exercise : str
        Number of the exercise: ``"1.1"``.
    answer : object
        A number, a text, a list or a function, as the exercise asks. ``...`` and None, also as what a function returns,
        mean that there is no answer yet.
    """
    known = _exercises()
    if exercise not in known:
        return Checked("unanswered", f"there is no exercise {exercise!r}; there are {', '.join(known)}")
    row = known[exercise]
    probes = row.get("probes")
    try:
        if _open(answer) or (probes and callable(answer) and _open(answer(*probes[0]))):
            return Checked("unanswered", f"Exercise {exercise} is not answered yet.")
        if (judge := find_property(exercise)) is not None:
            found = _judged(exercise, judge(answer), row["right"])
            return _after_tries(exercise, found, repr(answer), row) if found.status == "wrong" else found
        forms = _forms(answer, probes)
    except Exception as error:
        return Checked("wrong", f"Exercise {exercise}: this cannot be checked: {type(error).__name__}: {error}")
    digests = _digests(exercise, forms)
    if _agree(digests, row["digests"]):
        places = [part.index(accepted) for part, accepted in zip(digests, row["digests"], strict=True)]
        text = _mix(
            base64.b64decode(row["right"]), exercise, [form[at] for form, at in zip(forms, places, strict=True)]
        )
        return Checked("right", f"Exercise {exercise}: right. {text.decode()}")
    for mistake in row.get("mistakes", ()):
        if _agree(digests, mistake["digests"]):
            found = Checked("wrong", f"Exercise {exercise}: not yet. {mistake['hint']}")
            break
    else:
        found = Checked("wrong", f"Exercise {exercise}: not yet. {row['hint']}")
    return _after_tries(exercise, found, repr(forms), row)


def _after_tries(exercise: str, found: Checked, tried: str, row: dict[str, Any]) -> Checked:
    """What a wrong answer is told, with the worked solution where one is there and enough answers were tried."""
    wrong = _WRONG.setdefault(exercise, set())
    wrong.add(tried)
    if "worked" not in row or len(wrong) < TRIES:
        return found
    worked = _mix(base64.b64decode(row["worked"]), exercise, ()).decode()
    return Checked(found.status, f"{found.message}\n\nA worked solution:\n\n{worked}")


def _judged(exercise: str, wrong: str | None, right: str) -> Checked:
    """What a property found: the message that says what is wrong, or None."""
    if wrong is not None:
        return Checked("wrong", f"Exercise {exercise}: not yet. {wrong}")
    text = _mix(base64.b64decode(right), exercise, ()).decode()
    return Checked("right", f"Exercise {exercise}: right. {text}")


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
        As for `digests_of`; anything where a property judges answers, since the text is then open to any right one.
    text : str
        What to seal.
    probes : sequence of argument lists, optional
        As for `digests_of`.

    Returns
    -------
    str
        In Base64.
    """
    opened_by = () if find_property(exercise) else [form[0] for form in _forms(answer, probes)]
    return base64.b64encode(_mix(text.encode(), exercise, opened_by)).decode()


def cover(exercise: str, text: str) -> str:
    """A text made unreadable, not secret: whoever wants to read a solution early can.

    Parameters
    ----------
    exercise : str
        Number of the exercise.
    text : str
        What to cover.

    Returns
    -------
    str
        In Base64.
    """
    return base64.b64encode(_mix(text.encode(), exercise, ())).decode()


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
