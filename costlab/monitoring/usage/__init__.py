"""What people use and what it costs: totals, the six metrics and unit economics, from a data frame of any engine."""

from costlab.monitoring.usage.columns import DEFAULTS, GPU_COLUMNS, REQUIRED, UsageError
from costlab.monitoring.usage.count import GROUPS, usage
from costlab.monitoring.usage.frames import event_frame
from costlab.monitoring.usage.gpus import GpuUsage, gpu_usage
from costlab.monitoring.usage.pricing import PricedLog, fill_costs
from costlab.monitoring.usage.six import KeyMetrics, key_metrics
from costlab.monitoring.usage.totals import Usage, roll_up

__all__ = [
    "DEFAULTS",
    "GPU_COLUMNS",
    "GROUPS",
    "REQUIRED",
    "GpuUsage",
    "KeyMetrics",
    "PricedLog",
    "Usage",
    "UsageError",
    "event_frame",
    "fill_costs",
    "gpu_usage",
    "key_metrics",
    "roll_up",
    "usage",
]
