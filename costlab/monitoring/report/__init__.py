"""What ``costlab report`` says: totals, unit costs, trend, waste, and the three largest savings."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.monitoring.report.build import Report as Report, build_report as build_report
    from costlab.monitoring.report.render import report_html as report_html, report_lines as report_lines
    from costlab.monitoring.report.savings import Saving as Saving
else:
    __getattr__, __dir__ = lazy_package(__name__)
