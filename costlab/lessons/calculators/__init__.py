"""The calculators of the book: defined here once, shown by the site, run in the browser, tried by the tests.

Standard library only, so that the site can run them in a browser through Pyodide.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.lessons.calculators.answering import (
        answer_json as answer_json,
        answer_texts as answer_texts,
        calculator as calculator,
        calculators as calculators,
        result_html as result_html,
    )
    from costlab.lessons.calculators.definition import (
        Calculator as Calculator,
        CalculatorResult as CalculatorResult,
        Chart as Chart,
        ChartLine as ChartLine,
        ChoiceInput as ChoiceInput,
        NumberInput as NumberInput,
        ResultRow as ResultRow,
    )
    from costlab.lessons.calculators.drawing import svg as svg
else:
    __getattr__, __dir__ = lazy_package(__name__)
