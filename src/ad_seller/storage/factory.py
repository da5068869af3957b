"""From settings to a backend, and the one that the whole application shares."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .base import StorageBackend
from .concurrency.forks import ForkSafeLock
from .concurrency.loops import ByLoop
from .errors import ConfigurationError, check_slashes, redact, shown
from .registry import find_backend
from .settings import DEFAULT_DATABASE_URL, Settings, load_settings

#: Which storage type a URL scheme names.
_SCHEMES = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "redis+sentinel": "redis",
    "rediss+sentinel": "redis",
    "redis+cluster": "redis",
    "rediss+cluster": "redis",
    "postgresql": "postgres",
    "postgres": "postgres",
    "postgresql+asyncpg": "postgres",
    "memory": "memory",
}


def get_storage_backend(
    storage_type: str | None = None, database_url: str | None = None, redis_url: str | None = None
) -> StorageBackend:
    """Return a new backend, not yet connected.

    Args:
        storage_type: ``sqlite``, ``redis``, ``postgres``, ``hybrid``, ``memory`` or a registered name;
            ``STORAGE_TYPE`` if not given.
        database_url: ``DATABASE_URL`` if not given.
        redis_url: ``REDIS_URL`` if not given.

    Raises:
        ConfigurationError: unknown type, missing or unfitting URL. It is also a ValueError.
        MissingDependencyError: the backend's library is not installed; names the pip command.
    """
    settings = load_settings()
    if storage_type is not None and not isinstance(storage_type, str):
        raise ConfigurationError(f"A storage type is a str, not {shown(storage_type)}")
    name = (storage_type or settings.storage_type).strip().lower()
    backend = find_backend(name)
    database = settings.database_url if database_url is None else database_url
    redis = settings.redis_url if redis_url is None else redis_url
    if name != "hybrid":
        return _make(backend, **_arguments(name, name, settings, database, redis))
    sides = [
        (find_backend(side), _arguments(side, name, settings, database, redis)) for side in ("postgres", "redis")
    ]
    first, second = (_make(side, **arguments) for side, arguments in sides)
    return _make(backend, postgres=first, redis=second)


def _arguments(
    backend: str, storage: str, settings: Settings, database_url: str | None, redis_url: str | None
) -> dict[str, Any]:
    """Return the arguments of a backend that is wanted for the storage type ``storage``."""
    if backend == "redis":
        if not redis_url:
            raise ConfigurationError(
                f"Redis URL required for {storage} storage. Set REDIS_URL or pass redis_url, e.g. redis://localhost:6379/0"
            )
        replicas = _whole("REDIS_WAIT_REPLICAS", settings.redis_wait_replicas)
        return {"redis_url": redis_url, "key_prefix": settings.redis_key_prefix, "wait_replicas": replicas}
    if backend == "postgres":
        if not database_url:
            raise ConfigurationError(
                f"PostgreSQL URL required for {storage} storage. Set DATABASE_URL or pass database_url, e.g. "
                "postgresql://user:password@localhost:5432/ad_seller"
            )
        pool = {
            "pool_min": _whole("POSTGRES_POOL_MIN", settings.postgres_pool_min),
            "pool_max": _whole("POSTGRES_POOL_MAX", settings.postgres_pool_max),
        }
        return {"database_url": database_url, **pool}
    return {"database_url": DEFAULT_DATABASE_URL if database_url is None else database_url}


def _whole(name: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise ConfigurationError(f"{name} is a whole number, not {shown(text)}")
    return int(text)


def open_url(url: str) -> StorageBackend:
    """Return a new backend, not yet connected, for a URL; its scheme tells the storage type.

    Args:
        url: ``sqlite:///path``, ``postgresql://…``, ``redis://…``, ``rediss://…``, ``unix://…``, ``memory://``,
            or the path of a SQLite file.

    Raises:
        ConfigurationError: no storage type fits the URL.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(f"A storage URL is a str such as sqlite:///./ad_seller.db, not {shown(url)}")
    check_slashes(url)
    scheme, separator, _ = url.partition("://")
    name = _SCHEMES.get(scheme.lower()) if separator else "sqlite"
    if name is None:
        raise ConfigurationError(
            f"No storage type fits {redact(url)!r}; a URL starts with one of {', '.join(_SCHEMES)}"
        )
    return get_storage_backend(name, database_url=url, redis_url=url)


def _make(backend: type[StorageBackend], **arguments: Any) -> StorageBackend:
    """Call the class with those arguments that it takes."""
    make: Any = backend
    parameters = inspect.signature(make).parameters
    return make(**{name: value for name, value in arguments.items() if name in parameters})  # type: ignore[no-any-return]


class _Shared:
    """The backend of the application, or one that is about to become it."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.backend: StorageBackend | None = None
        self.is_connected = False
        self.gates: ByLoop[asyncio.Lock] = ByLoop()

    def found_or_made(self) -> StorageBackend:
        with self.lock:
            if self.backend is None:
                self.backend = get_storage_backend()
                self.is_connected = False
            return self.backend

    def connected(self, backend: StorageBackend) -> None:
        with self.lock:
            if self.backend is None:
                self.backend = backend  # another loop failed meanwhile and dropped it
            if self.backend is backend:
                self.is_connected = True

    def drop_failed(self, backend: StorageBackend) -> None:
        """Forget a backend that could not be connected, unless it could be in another event loop."""
        with self.lock:
            if self.backend is backend and not self.is_connected:
                self.backend = None

    def taken(self) -> StorageBackend | None:
        with self.lock:
            backend, self.backend = self.backend, None
            self.is_connected = False
            return backend


_shared = _Shared()


@contextmanager
def shared_as(backend: StorageBackend) -> Iterator[None]:
    """Let ``backend``, which is connected, be what `get_storage` returns while the block runs; for tests."""
    with _shared.lock:
        before = _shared.backend, _shared.is_connected
        _shared.backend, _shared.is_connected = backend, True
    try:
        yield
    finally:
        with _shared.lock:
            _shared.backend, _shared.is_connected = before


async def get_storage() -> StorageBackend:
    """Return the connected backend that the application shares, made from the settings at the first call.

    Any number of first callers at once get the same one, in whatever event loops and threads; a failed connect is
    not remembered.

    Raises:
        ConfigurationError: see `get_storage_backend`.
        StorageConnectionError: it cannot be reached or opened.
    """
    async with _shared.gates.get_or_make(asyncio.Lock):  # a backend of somebody else may not like two at once
        backend = _shared.found_or_made()
        try:
            await backend.connect()  # harmless where it is
        except BaseException:
            _shared.drop_failed(backend)
            raise
        _shared.connected(backend)
        return backend


async def close_storage() -> None:
    """Close the shared backend, in every event loop that uses it; the next `get_storage` makes a new one."""
    async with _shared.gates.get_or_make(asyncio.Lock):
        backend = _shared.taken()
        if backend is not None:
            await backend.disconnect()
