"""The lessons' figures: ``plot_x(result, *, ax=None) -> Axes``, with units on the axes, safe for colour-blind readers.

Nothing here calls ``show()`` or changes global settings; the caller owns the figure.
"""

from costlab.plotting.build_vs_buy import (
    plot_break_even_map,
    plot_cost_curve,
    plot_migration,
    plot_payback,
    plot_tornado,
)
from costlab.plotting.caching import plot_cache_size, plot_net_saving, plot_similarities, plot_threshold
from costlab.plotting.capstone import plot_plans
from costlab.plotting.compression import (
    plot_arms,
    plot_benchmark,
    plot_bill,
    plot_decode,
    plot_distillation,
    plot_floors,
    plot_label_curve,
    plot_pruned_bytes,
    plot_pruning,
    plot_quality_cost,
    plot_soft_targets,
    plot_speed_bits,
)
from costlab.plotting.gpu import (
    plot_commitment,
    plot_demand,
    plot_interval,
    plot_price_comparison,
    plot_price_spread,
    plot_spot,
    plot_useful_hour,
)
from costlab.plotting.monitoring import (
    plot_idle,
    plot_overshoot,
    plot_panel,
    plot_spend,
    plot_tier_shares,
    plot_utilization,
)
from costlab.plotting.router import plot_cost_quality, plot_drift, plot_guarantees, plot_reliability
from costlab.plotting.serving import plot_capacity, plot_predictions, plot_ranges
from costlab.plotting.style import COLORS

__all__ = [
    "COLORS",
    "plot_arms",
    "plot_benchmark",
    "plot_bill",
    "plot_break_even_map",
    "plot_cache_size",
    "plot_capacity",
    "plot_commitment",
    "plot_cost_curve",
    "plot_cost_quality",
    "plot_decode",
    "plot_demand",
    "plot_distillation",
    "plot_drift",
    "plot_floors",
    "plot_guarantees",
    "plot_idle",
    "plot_interval",
    "plot_label_curve",
    "plot_migration",
    "plot_net_saving",
    "plot_overshoot",
    "plot_panel",
    "plot_payback",
    "plot_plans",
    "plot_predictions",
    "plot_price_comparison",
    "plot_price_spread",
    "plot_pruned_bytes",
    "plot_pruning",
    "plot_quality_cost",
    "plot_ranges",
    "plot_reliability",
    "plot_similarities",
    "plot_soft_targets",
    "plot_speed_bits",
    "plot_spend",
    "plot_spot",
    "plot_threshold",
    "plot_tier_shares",
    "plot_tornado",
    "plot_useful_hour",
    "plot_utilization",
]
