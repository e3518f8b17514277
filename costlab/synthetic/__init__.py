"""Invented traffic: streams of requests, days of made-up services, sample logs.

All of it is drawn from a ``numpy.random.Generator`` that the caller gives as `rng`, or from a seed: the same seed
gives the same traffic.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.synthetic.arrivals import (
        SAMPLE_START_S as SAMPLE_START_S,
        ManualClock as ManualClock,
        arrival_times as arrival_times,
        simulate_spot_job as simulate_spot_job,
    )
    from costlab.synthetic.company import (
        ENDPOINTS as ENDPOINTS,
        QUESTIONS as QUESTIONS,
        REQUESTS as REQUESTS,
        RUNAWAY_CLIENT as RUNAWAY_CLIENT,
        Endpoint as Endpoint,
        RequestLog as RequestLog,
        endpoint as endpoint,
        request_log as request_log,
    )
    from costlab.synthetic.contents import (
        paraphrase_stream as paraphrase_stream,
        reworded as reworded,
        zipf_requests as zipf_requests,
        zipf_stream as zipf_stream,
    )
    from costlab.synthetic.sample import (
        event_table as event_table,
        gpu_hours_table as gpu_hours_table,
        sample_gpu_hours as sample_gpu_hours,
        sample_log as sample_log,
    )
    from costlab.synthetic.service import (
        MAX_DEMO_REQUESTS as MAX_DEMO_REQUESTS,
        RUNAWAY_FRACTION as RUNAWAY_FRACTION,
        RUNAWAY_S as RUNAWAY_S,
        RUNAWAY_TENANT as RUNAWAY_TENANT,
        SERVICE_TENANTS as SERVICE_TENANTS,
        SERVICE_TIERS as SERVICE_TIERS,
        DemoRequest as DemoRequest,
        PlannedRequest as PlannedRequest,
        ServiceTier as ServiceTier,
        demo_day as demo_day,
        replay_requests as replay_requests,
        service_day as service_day,
    )
    from costlab.synthetic.support import (
        CacheDay as CacheDay,
        SupportDay as SupportDay,
        cache_replay as cache_replay,
        support_day as support_day,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
