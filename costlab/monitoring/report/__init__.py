"""What ``costlab report`` says: totals, unit costs, trend, waste, and the three largest savings."""

from costlab.monitoring.report.build import Report, build_report
from costlab.monitoring.report.render import report_html, report_lines
from costlab.monitoring.report.savings import Saving

__all__ = ["Report", "Saving", "build_report", "report_html", "report_lines"]
