"""From a model and a GPU to requests per second, replicas and dollars: what self-hosting can do, and what it costs.

Pure functions; an argument outside its domain raises :class:`~costlab.errors.InvalidValueError`. Times come from a
roofline with the efficiency that was measured of each GPU; :func:`published_measurements` has what to hold it against.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
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
    from costlab.serving.measurements import (
        Measurement as Measurement,
        modelled as modelled,
        nearest_measurement as nearest_measurement,
        published_measurements as published_measurements,
    )
    from costlab.serving.models import (
        BYTES_PER_WEIGHT as BYTES_PER_WEIGHT,
        ModelSpec as ModelSpec,
        model_spec as model_spec,
        model_specs as model_specs,
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
