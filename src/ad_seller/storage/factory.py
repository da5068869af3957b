"""From settings to a backend, and the one that the whole application shares."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .base import StorageBackend
from .concurrency.forks import fork_safe_lock
from .concurrency.gates import Gate
from .concurrency.loops import ByLoop
from .errors import ConfigurationError, redact, shown_url
from .options import from_settings, split_namespace
from .passwords import has_password, with_password
from .registry import BUILT_IN, find_backend
from .settings import DEFAULT_DATABASE_URL, Settings, load_settings

log = logging.getLogger("ad_seller.storage")

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
    storage_type: str | None = None,
    database_url: str | None = None,
    redis_url: str | None = None,
    *,
    create: bool = True,
    namespace: str | None = None,
) -> StorageBackend:
    """Return a new backend, not yet connected.

    Args:
        storage_type: ``sqlite``, ``redis``, ``postgres``, ``hybrid``, ``memory`` or a registered name;
            ``STORAGE_TYPE`` if not given.
        database_url: ``DATABASE_URL`` if not given.
        redis_url: ``REDIS_URL`` if not given.
        create: False: `connect` makes no file or table; where there is no store, that is a `MissingStoreError`.
        namespace: of a publisher, see `NamespacedBackend`; what the URL gives as ``namespace=``, or else
            ``STORAGE_NAMESPACE``, if not given.

    Raises:
        ConfigurationError: unknown type, missing or unfitting URL. It is also a ValueError.
        MissingDependencyError: the backend's library is not installed; names the pip command.
    """
    settings = load_settings()
    if settings.telemetry:
        from .telemetry import instrument

        instrument(durations=settings.durations)
    if not create:
        settings = replace(settings, options={**settings.options, "STORAGE_CREATE": "off"})
    for given in (storage_type, database_url, redis_url):
        if given is not None and not isinstance(given, str):
            raise ConfigurationError(f"A storage type is a str, and so is a URL; not {shown_url(given)}")
    name = (storage_type or settings.storage_type or "sqlite").strip().lower()
    database = settings.database_url if database_url is None else database_url.strip()
    redis = settings.redis_url if redis_url is None else redis_url.strip()
    if name in ("postgres", "hybrid"):  # before a library is missed: agents ask for a URL where none is installed
        _needed_postgres(database, name)
    if name in ("redis", "hybrid"):
        _needed_redis(redis, name)
    backend = find_backend(name)
    if storage_type is None:
        _check_sense(name, settings)
    if name in BUILT_IN:  # a parameter of this name in another's URL is theirs
        database, in_first = (None, None) if database is None else split_namespace(database)
        redis, in_second = (None, None) if redis is None else split_namespace(redis)
        in_url = {"redis": in_second, "hybrid": in_first if in_first is not None else in_second}.get(name, in_first)
        namespace = in_url if namespace is None else namespace
    namespace = settings.namespace if namespace is None else namespace
    whole = _whole(name, backend, settings, database, redis)
    if namespace is None:
        return whole
    from .namespaces.backend import NamespacedBackend

    return NamespacedBackend(whole, namespace)


def _whole(
    name: str, backend: type[StorageBackend], settings: Settings, database: str | None, redis: str | None
) -> StorageBackend:
    if name != "hybrid":
        return _made(name, name, backend, settings, database, redis)
    first, second = (
        _made(side, name, find_backend(side), settings, database, redis) for side in ("postgres", "redis")
    )
    return _make(backend, {"postgres": first, "redis": second})


def _check_sense(name: str, settings: Settings) -> None:
    """Say in the log where settings contradict each other; once for each process."""
    if name == "sqlite" and settings.storage_type is None and settings.redis_url:
        _warn_once(
            "REDIS_URL is set, but STORAGE_TYPE is not: the store is SQLite. Set STORAGE_TYPE=redis to use it."
        )
    if name == "memory" and _is_of_a_supervisor():
        _warn_once(
            "STORAGE_TYPE=memory in a process that another one started (uvicorn with --workers or --reload, "
            "gunicorn): each such process has entries of its own, and they end with it."
        )
    workers = os.environ.get("WEB_CONCURRENCY", "").strip()
    if name == "memory" and workers.isdecimal() and int(workers) > 1:
        _warn_once(f"STORAGE_TYPE=memory with {workers} workers (WEB_CONCURRENCY): each has entries of its own.")


def _is_of_a_supervisor() -> bool:
    """Tell whether this is a worker: a child of multiprocessing, as with uvicorn, or of gunicorn, which says so."""
    process = sys.modules.get("multiprocessing.process")  # imported in each such child; too dear to import it here
    is_child = process is not None and process.parent_process() is not None
    return is_child or os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")


@functools.cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)


def _made(
    kind: str,
    storage: str,
    backend: type[StorageBackend],
    settings: Settings,
    database: str | None,
    redis: str | None,
) -> StorageBackend:
    """Return the backend that is wanted for the storage type ``storage``."""
    if kind == "redis":
        url, name, password = _needed_redis(redis, storage), "redis_url", settings.redis_password
    elif kind == "postgres":
        url, name, password = _needed_postgres(database, storage), "database_url", settings.database_password
    else:
        url, name, password = DEFAULT_DATABASE_URL if database is None else database, "database_url", None
    return _make(backend, {name: url}, from_settings(kind, settings.options, url), password)


def _needed_redis(url: str | None, storage: str) -> str:
    if not url:
        raise ConfigurationError(
            f"Redis URL required for {storage} storage. Set REDIS_URL or pass redis_url, e.g. redis://localhost:6379/0"
        )
    return url


def _needed_postgres(url: str | None, storage: str) -> str:
    if not url:
        raise ConfigurationError(
            f"PostgreSQL URL required for {storage} storage. Set DATABASE_URL or pass database_url, e.g. "
            "postgresql://user:password@localhost:5432/ad_seller"
        )
    return url


def open_url(url: str, *, create: bool = True, namespace: str | None = None) -> StorageBackend:
    """Return a new backend, not yet connected, for a URL; its scheme tells the storage type.

    Args:
        url: ``sqlite:///path``, ``postgresql://…``, ``redis://…``, ``rediss://…``, ``unix://…``, ``memory://``,
            or the path of a SQLite file.
        create: see `get_storage_backend`.
        namespace: likewise.

    Raises:
        ConfigurationError: no storage type fits the URL.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(f"A storage URL is a str such as sqlite:///./ad_seller.db, not {shown_url(url)}")
    url = url.strip()
    scheme, separator, _ = url.partition("://")
    name = _SCHEMES.get(scheme.lower()) if separator else "sqlite"
    if name is None:
        raise ConfigurationError(
            f"No storage type fits {redact(url)!r}; a URL starts with one of {', '.join(_SCHEMES)}"
        )
    return get_storage_backend(name, database_url=url, redis_url=url, create=create, namespace=namespace)


def _make(
    backend: type[StorageBackend],
    arguments: dict[str, Any],
    options: dict[str, Any] | None = None,
    password: str | None = None,
) -> StorageBackend:
    """Call the class with those arguments that it takes; a password goes into the URL where it takes none."""
    make: Any = backend
    parameters = inspect.signature(make).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    given = {name: value for name, value in arguments.items() if name in parameters}
    given |= {name: value for name, value in (options or {}).items() if takes_any or name in parameters}
    for name in given.keys() & {"database_url", "redis_url"} if password else ():
        if "password" not in parameters:
            given[name] = with_password(given[name], password)
        elif not has_password(given[name]):
            given["password"] = password
    return make(**given)  # type: ignore[no-any-return]


class _Shared:
    """The backend of the application, or one that is about to become it."""

    def __init__(self) -> None:
        self.lock = fork_safe_lock()
        self.backend: StorageBackend | None = None
        self.is_connected = False
        self.gates: ByLoop[Gate] = ByLoop()

    def found_or_made(self) -> StorageBackend:
        with self.lock:
            if self.backend is None:
                self.backend = get_storage_backend()
                self.is_connected = False
            return self.backend

    async def connected(self) -> StorageBackend:
        while True:
            backend = self.found_or_made()
            try:
                await backend.connect()  # harmless where it is
            except BaseException:
                with self.lock:  # forget what could not be connected, unless it could be in another event loop
                    if self.backend is backend and not self.is_connected:
                        self.backend = None
                raise
            with self.lock:
                if self.backend is backend:
                    self.is_connected = True
                    return backend
            await backend.disconnect()  # another loop closed it meanwhile, when there was nothing to close yet

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
    gate = _shared.gates.get_or_make(Gate)  # a backend of somebody else may not like two at once
    return await gate.opening(_shared.connected)


async def close_storage() -> None:
    """Close the shared backend, in every event loop that uses it; the next `get_storage` makes a new one."""
    async with _shared.gates.get_or_make(Gate):
        backend = _shared.taken()
        if backend is not None:
            await backend.disconnect()
