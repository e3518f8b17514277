"""What a page asks of a calculator: texts of its fields in, HTML of the result or an error out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html import escape
from importlib import import_module
from typing import Any, Final

from costlab._internal import checks
from costlab.errors import CostlabError
from costlab.lessons.calculators.definition import Calculator, CalculatorResult
from costlab.lessons.calculators.drawing import svg

#: The module of each calculator, in the order of the lessons: a browser loads the one that it needs.
HOMES: Final = {
    "idle": "gpu_hours",
    "useful_hour": "gpu_hours",
    "commitment": "gpu_hours",
    "spot_interval": "gpu_hours",
    "cache_pay_off": "caching",
    "break_even_map": "break_even",
    "cascade": "cascades",
    "runaway": "budgets",
    "token_bill": "tokens",
}


def calculator(name: str) -> Calculator:
    """The calculator of this name; an :class:`~costlab.errors.UnknownNameError` suggests the nearest."""
    checks.one_of("calculator", name, HOMES)
    found: Calculator = getattr(import_module(f"costlab.lessons.calculators.{HOMES[name]}"), name.upper())
    return found


def calculators() -> tuple[Calculator, ...]:
    """All of them."""
    return tuple(calculator(name) for name in HOMES)


def answer_texts(name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The answer to the texts of a calculator's fields, as the page shows it.

    Returns
    -------
    dict
        ``html``, the result as HTML without ``said``, its one sentence, and ``rows``, the figures by their labels; or
        ``error``, what the core says with the labels of the inputs for its parameters, and ``field``, the input that it
        is about, empty where it is about several.
    """
    one = calculator(name)
    values: dict[str, Any] = {}
    for field in one.inputs:
        try:
            values[field.name] = field.read(texts.get(field.name, field.text).strip())
        except CostlabError as error:
            return {"error": _in_the_readers_words(one, str(error)), "field": field.name}
    try:
        result = one.answer(**values)
    except CostlabError as error:
        field_name = _field(one, str(error), getattr(error, "name", ""))
        return {"error": _in_the_readers_words(one, str(error)), "field": field_name}
    except (ArithmeticError, ValueError) as error:  # beyond what floats hold
        return {"error": f"these numbers are too large or too small to compute with ({error})", "field": ""}
    return {
        "html": result_html(result),
        "said": result.answer,
        "rows": {row.label: row.value if math.isfinite(row.value) else str(row.value) for row in result.rows},
    }


def answer_json(name: str, texts: str) -> str:
    """:func:`answer_texts` with JSON on both sides, which is what passes between the browser's two languages."""
    return json.dumps(answer_texts(name, json.loads(texts)))


def _field(one: Calculator, message: str, name: object) -> str:
    """The input that an error is about: the one that it names, in whole or by the parameter in its first word."""
    names = [field.name for field in one.inputs]
    return next((field for field in (str(name), message.split(" ")[0]) if field in names), "")


def _in_the_readers_words(one: Calculator, message: str) -> str:
    """An error of the core with labels for parameters: its first word, and others that no sentence would have."""
    first, _, rest = message.partition(" ")
    labels = {field.name: f'"{field.label}"' for field in one.inputs}
    compounds = {name: label for name, label in labels.items() if "_" in name}
    said = re.sub(r"\b\w+\b", lambda word: compounds.get(word[0], word[0]), rest)
    return f"{labels.get(first, first)} {said}"


def _dated(text: str) -> str:
    """Text as HTML in which no line ends within a date."""
    return re.sub(r"\b\d{4}-\d\d-\d\d\b", r"<time>\g<0></time>", escape(text))


def result_html(result: CalculatorResult) -> str:
    """The chart, figures and sources of a result as HTML."""
    rows = "".join(f"<div><dt>{escape(row.label)}</dt><dd>{escape(row.text)}</dd></div>" for row in result.rows)
    sources = "; ".join(
        f'<a href="{escape(address)}">{_dated(text)}</a>' if address else _dated(text)
        for text, address in result.sources
    )
    return (
        f'<figure class="calc-chart"><figcaption>{escape(result.chart.title)}</figcaption>{svg(result.chart)}</figure>'
        f'<dl class="calc-rows">{rows}</dl>' + (f'<p class="calc-sources">Sources: {sources}.</p>' if sources else "")
    )
