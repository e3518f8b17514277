"""What GPUs are and what they, model APIs and managed stores cost, as dated rows with a source.

Rows live in TOML files beside this module. Prices are appended, never overwritten; a look-up takes `as_of` to see
the catalogue as it stood on a day. A name or a price that is not there raises: nothing is guessed and nothing is zero.
"""

from costlab.catalog.api_costs import ApiCost, ImagePrice, api_cost, image_price
from costlab.catalog.api_prices import ApiPrice, ApiSnapshot, ApiTier, api_models, api_price, api_snapshot
from costlab.catalog.gpus import PRECISIONS, GpuSpec, gpu, gpus
from costlab.catalog.prices import (
    KINDS,
    PRICINGS,
    SNAPSHOTS,
    STORE_UNITS,
    GpuPrice,
    StorePrice,
    current_gpu_prices,
    current_store_prices,
    gpu_price,
    gpu_prices,
    parse_day,
    stale_gpu_prices,
    stale_store_prices,
    store_price,
    store_prices,
)

__all__ = [
    "KINDS",
    "PRECISIONS",
    "PRICINGS",
    "SNAPSHOTS",
    "STORE_UNITS",
    "ApiCost",
    "ApiPrice",
    "ApiSnapshot",
    "ApiTier",
    "GpuPrice",
    "GpuSpec",
    "ImagePrice",
    "StorePrice",
    "api_cost",
    "api_models",
    "api_price",
    "api_snapshot",
    "current_gpu_prices",
    "current_store_prices",
    "gpu",
    "gpu_price",
    "gpu_prices",
    "gpus",
    "image_price",
    "parse_day",
    "stale_gpu_prices",
    "stale_store_prices",
    "store_price",
    "store_prices",
]
