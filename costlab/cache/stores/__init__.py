"""Where cached answers are kept: in memory, on disk, on a Redis or Valkey server."""

from costlab.cache.stores.disk import DiskStore
from costlab.cache.stores.memory import CacheStore, MemoryStore
from costlab.cache.stores.redis import RedisStore

__all__ = ["CacheStore", "DiskStore", "MemoryStore", "RedisStore"]
