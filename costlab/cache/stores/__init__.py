"""Where cached answers are kept: in memory, on disk, on a Redis or Valkey server."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.cache.stores.disk import DiskStore as DiskStore
    from costlab.cache.stores.memory import CacheStore as CacheStore, MemoryStore as MemoryStore
    from costlab.cache.stores.redis import RedisStore as RedisStore
else:
    __getattr__, __dir__ = lazy_package(__name__)
