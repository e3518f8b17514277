"""From a model and a GPU to requests per second, replicas and dollars: what self-hosting can do, and what it costs.

Pure functions; an argument outside its domain raises :class:`~costlab.errors.InvalidValueError`. Times come from a
roofline with the efficiency that was measured of each GPU; :func:`published_measurements` has what to hold it against.
:func:`simulate_fleet` plays a day of requests on replicas that come and go.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.serving.curves import EngineCurve as EngineCurve, engine_curve as engine_curve
    from costlab.serving.economics import (
        MAX_REPLICAS as MAX_REPLICAS,
        Replicas as Replicas,
        replicas_needed as replicas_needed,
        usd_per_mtok as usd_per_mtok,
        usd_per_request as usd_per_request,
    )
    from costlab.serving.efficiency import (
        Efficiency as Efficiency,
        EfficiencyRange as EfficiencyRange,
        measured_efficiency as measured_efficiency,
    )
    from costlab.serving.fleet import FleetRun as FleetRun, Scaling as Scaling, simulate_fleet as simulate_fleet
    from costlab.serving.kv_cache import (
        PrefixHits as PrefixHits,
        paged_waste_fraction as paged_waste_fraction,
        prefix_hits as prefix_hits,
        reserved_waste_fraction as reserved_waste_fraction,
    )
    from costlab.serving.large import (
        KernelStep as KernelStep,
        adapter_parameters as adapter_parameters,
        allreduce_s as allreduce_s,
        exchange_s as exchange_s,
        kernel_steps as kernel_steps,
    )
    from costlab.serving.measurements import (
        Measurement as Measurement,
        modelled as modelled,
        nearest_measurement as nearest_measurement,
        published_measurements as published_measurements,
    )
    from costlab.serving.models import (
        BYTES_PER_WEIGHT as BYTES_PER_WEIGHT,
        ModelSpec as ModelSpec,
        distinct_experts as distinct_experts,
        model_spec as model_spec,
        model_specs as model_specs,
    )
    from costlab.serving.site import (
        SiteFigure as SiteFigure,
        energy_kwh as energy_kwh,
        site_figure as site_figure,
        site_figures as site_figures,
    )
    from costlab.serving.speculation import (
        speculation_speedup as speculation_speedup,
        tokens_per_check as tokens_per_check,
    )
    from costlab.serving.throughput import (
        BatchRun as BatchRun,
        Capacity as Capacity,
        MemoryFit as MemoryFit,
        Roofline as Roofline,
        batch_run as batch_run,
        capacity as capacity,
        memory_fit as memory_fit,
        roofline as roofline,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
