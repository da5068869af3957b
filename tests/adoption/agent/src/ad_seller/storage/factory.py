"""From settings to a store."""

from ..config import get_settings
from .base import StorageBackend
from .sqlite_backend import SQLiteBackend

_shared = {}


def get_storage_backend(
    storage_type: str | None = None, database_url: str | None = None, redis_url: str | None = None
) -> StorageBackend:
    settings = get_settings()
    chosen = storage_type or settings.storage_type
    database = database_url or settings.database_url
    cache = redis_url or settings.redis_url
    if chosen == "sqlite":
        return SQLiteBackend(database)
    if chosen in ("redis", "hybrid"):
        if not cache:
            raise ValueError("Redis URL required for " + chosen + " storage")
        from .redis_backend import RedisBackend

        if chosen == "redis":
            return RedisBackend(cache)
        from .hybrid_backend import HybridBackend
        from .postgres_backend import PostgresBackend

        return HybridBackend(PostgresBackend(database, settings.pool_min, settings.pool_max), RedisBackend(cache))
    raise ValueError("Unknown storage type: " + chosen)


async def get_storage() -> StorageBackend:
    if "store" not in _shared:
        store = get_storage_backend()
        await store.connect()
        _shared["store"] = store
    return _shared["store"]


async def close_storage() -> None:
    if store := _shared.pop("store", None):
        await store.disconnect()
