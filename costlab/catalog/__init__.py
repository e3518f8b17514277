"""What GPUs are and what they, model APIs and managed stores cost, as dated rows with a source.

Rows live in TOML files beside these modules. Prices are appended, never overwritten; a look-up takes `as_of` to see the
catalogue as it was on a day. A name or a price that is not there raises: nothing is guessed and nothing is zero.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.catalog.api_costs import (
        ApiCost as ApiCost,
        ImagePrice as ImagePrice,
        api_cost as api_cost,
        image_price as image_price,
    )
    from costlab.catalog.api_prices import (
        ApiPrice as ApiPrice,
        ApiTier as ApiTier,
        PricePeriod as PricePeriod,
        api_models as api_models,
        api_price as api_price,
        price_periods as price_periods,
    )
    from costlab.catalog.discounts import Discounts as Discounts
    from costlab.catalog.gpu_specs import PRECISIONS as PRECISIONS, GpuSpec as GpuSpec, gpu as gpu, gpus as gpus
    from costlab.catalog.model_ids import ModelId as ModelId, resolve_model as resolve_model
    from costlab.catalog.price_snapshot import ApiSnapshot as ApiSnapshot, api_snapshot as api_snapshot
    from costlab.catalog.prices import (
        COMMITMENTS as COMMITMENTS,
        KINDS as KINDS,
        PRICINGS as PRICINGS,
        SNAPSHOTS as SNAPSHOTS,
        STORE_UNITS as STORE_UNITS,
        GpuPrice as GpuPrice,
        StorePrice as StorePrice,
        current_gpu_prices as current_gpu_prices,
        current_store_prices as current_store_prices,
        gpu_machines as gpu_machines,
        gpu_price as gpu_price,
        gpu_prices as gpu_prices,
        parse_day as parse_day,
        stale_gpu_prices as stale_gpu_prices,
        stale_store_prices as stale_store_prices,
        store_price as store_price,
        store_prices as store_prices,
    )
    from costlab.catalog.provider_ids import is_own_server as is_own_server, provider_id as provider_id
    from costlab.catalog.service_tiers import service_tier_factor as service_tier_factor
else:
    __getattr__, __dir__ = lazy_package(__name__)
