"""A service's day to show a colleague: cache, cascade, ledger, budget guard and report, played in half a minute.

The parts are those of the package; clock and models are played. What the models say was recorded from three real
classifiers, see :mod:`costlab.experiments`. Beside it is the same day with everything sent to
the large model.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.demo.page import (
        BILL_HEADINGS as BILL_HEADINGS,
        bill_rows as bill_rows,
        demo_html as demo_html,
        progress_line as progress_line,
        story as story,
    )
    from costlab.demo.play import (
        DemoBill as DemoBill,
        DemoProgress as DemoProgress,
        DemoResult as DemoResult,
        play_demo as play_demo,
        time_of_day as time_of_day,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
