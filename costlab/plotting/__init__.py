"""The lessons' figures: ``plot_x(result, *, ax=None) -> Axes``, with units on the axes, safe for colour-blind readers.

`ax` are matplotlib Axes to draw on, by default those of a new figure, and are returned; :func:`headline` writes what
the figure shows above them. Nothing here calls ``show()`` or changes global settings; the caller owns the figure.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.plotting.build_vs_buy import (
        plot_break_even_map as plot_break_even_map,
        plot_cost_curve as plot_cost_curve,
        plot_migration as plot_migration,
        plot_payback as plot_payback,
        plot_tornado as plot_tornado,
    )
    from costlab.plotting.caching import (
        plot_cache_size as plot_cache_size,
        plot_net_saving as plot_net_saving,
        plot_similarities as plot_similarities,
        plot_threshold as plot_threshold,
    )
    from costlab.plotting.capstone import plot_plans as plot_plans
    from costlab.plotting.compression import (
        plot_arms as plot_arms,
        plot_benchmark as plot_benchmark,
        plot_bill as plot_bill,
        plot_decode as plot_decode,
        plot_distillation as plot_distillation,
        plot_floors as plot_floors,
        plot_label_curve as plot_label_curve,
        plot_pruned_bytes as plot_pruned_bytes,
        plot_pruning as plot_pruning,
        plot_quality_cost as plot_quality_cost,
        plot_soft_targets as plot_soft_targets,
        plot_speed_bits as plot_speed_bits,
    )
    from costlab.plotting.engines import (
        plot_batching as plot_batching,
        plot_fleets as plot_fleets,
        plot_patience as plot_patience,
        plot_speculation as plot_speculation,
    )
    from costlab.plotting.gpu import (
        plot_commitment as plot_commitment,
        plot_demand as plot_demand,
        plot_interval as plot_interval,
        plot_price_comparison as plot_price_comparison,
        plot_price_spread as plot_price_spread,
        plot_spot as plot_spot,
        plot_useful_hour as plot_useful_hour,
    )
    from costlab.plotting.monitoring import (
        plot_idle as plot_idle,
        plot_overshoot as plot_overshoot,
        plot_panel as plot_panel,
        plot_spend as plot_spend,
        plot_tier_shares as plot_tier_shares,
        plot_utilization as plot_utilization,
    )
    from costlab.plotting.router import (
        plot_cost_quality as plot_cost_quality,
        plot_drift as plot_drift,
        plot_guarantees as plot_guarantees,
        plot_reliability as plot_reliability,
    )
    from costlab.plotting.serving import (
        plot_capacity as plot_capacity,
        plot_predictions as plot_predictions,
        plot_ranges as plot_ranges,
    )
    from costlab.plotting.style import COLORS as COLORS, headline as headline
    from costlab.plotting.token_economics import (
        plot_batch_saving as plot_batch_saving,
        plot_conversation as plot_conversation,
        plot_prompt_cache as plot_prompt_cache,
        plot_tokens as plot_tokens,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
