"""A service's day to show a colleague: cache, cascade, ledger, budget guard and report, played in half a minute.

The parts are those of the package; clock and models are played. What the models say was recorded from three real
classifiers, see :mod:`costlab.experiments.tier_predictions`. Beside it stands the same day with everything sent to
the large model.
"""

from costlab.demo.page import demo_html
from costlab.demo.play import play_demo
from costlab.demo.results import Bill, DemoResult, Moment
from costlab.synthetic.demo_day import MAX_REQUESTS, TENANTS, DemoRequest, demo_day

__all__ = [
    "MAX_REQUESTS",
    "TENANTS",
    "Bill",
    "DemoRequest",
    "DemoResult",
    "Moment",
    "demo_day",
    "demo_html",
    "play_demo",
]
