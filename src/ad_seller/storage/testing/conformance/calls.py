"""Every operation as a function of the backend, for promises that hold for all of them alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ...base import StorageBackend
from ...errors import MissingKeyError
from ...records.globs import escape

#: The operations on one entry.
BY_KEY: dict[str, Callable[[StorageBackend, Any], Awaitable[object]]] = {
    "get": lambda backend, key: backend.get(key),
    "set": lambda backend, key: backend.set(key, 1),
    "set with ttl": lambda backend, key: backend.set(key, 1, ttl=60),
    "delete": lambda backend, key: backend.delete(key),
    "exists": lambda backend, key: backend.exists(key),
    "get_many": lambda backend, key: backend.get_many(["other", key]),
    "set_many": lambda backend, key: backend.set_many({"other": 1, key: 1}),
    "delete_many": lambda backend, key: backend.delete_many(["other", key]),
    "ttl": lambda backend, key: backend.ttl(key),
    "expire": lambda backend, key: backend.expire(key, 60),
    "persist": lambda backend, key: backend.persist(key),
    "create": lambda backend, key: backend.create(key, 1),
    "compare_and_set": lambda backend, key: backend.compare_and_set(key, 1, 2),
    "get_and_delete": lambda backend, key: backend.get_and_delete(key),
    "increment": lambda backend, key: backend.increment(key),
    "update": lambda backend, key: backend.update(key, lambda current: current or 1),
}

#: Operations that need no key.
OTHER: dict[str, Callable[[StorageBackend], Awaitable[object]]] = {
    "keys": lambda backend: backend.keys(),
    "keys of a pattern": lambda backend: backend.keys("deal:*"),
    "count": lambda backend: backend.count(),
    "scan": lambda backend: backend.scan(),
    "scan by page": lambda backend: backend.scan("deal:*", limit=1),
    "get_deal": lambda backend: backend.get_deal("1"),
    "set_quote": lambda backend: backend.set_quote("1", {}),
    "delete_order": lambda backend: backend.delete_order("1"),
    "update_session": lambda backend: backend.update_session("1", lambda current: {}, start={}),
    "list_products": lambda backend: backend.list_products(),
    "list_quotes": lambda backend: backend.list_quotes({"status": "open"}),
    "get_buyer_session_ids": lambda backend: backend.get_buyer_session_ids("buyer"),
    "add_session_to_buyer_index": lambda backend: backend.add_session_to_buyer_index("1", "buyer"),
    "remove_session_from_buyer_index": lambda backend: backend.remove_session_from_buyer_index("1", "buyer"),
}


def _with_key(
    call: Callable[[StorageBackend, Any], Awaitable[object]],
) -> Callable[[StorageBackend], Awaitable[object]]:
    return lambda backend: call(backend, "deal:1")


#: Every operation.
ALL: dict[str, Callable[[StorageBackend], Awaitable[object]]] = {
    **{name: _with_key(call) for name, call in BY_KEY.items()},
    **OTHER,
}


async def _by_ttl(backend: StorageBackend, key: str) -> bool:
    try:
        await backend.ttl(key)
    except MissingKeyError:
        return False
    return True


async def _by_scan(backend: StorageBackend, key: str) -> bool:
    return (await backend.scan(escape(key))).items != []


async def _by_update(backend: StorageBackend, key: str) -> bool:
    return bool(await backend.update(key, lambda current: "missing" if current is None else current) != "missing")


async def _by_setting_anew(backend: StorageBackend, key: str) -> bool:
    return not await backend.create(key, "created")


#: Every way to notice that an entry, which is not null, is there. Some of them change it.
PRESENCE: dict[str, Callable[[StorageBackend, str], Awaitable[bool]]] = {
    "get": lambda backend, key: _is_true(backend.get(key), lambda value: value is not None),
    "exists": lambda backend, key: backend.exists(key),
    "keys": lambda backend, key: _is_true(backend.keys(escape(key)), lambda keys: keys == [key]),
    "keys of all": lambda backend, key: _is_true(backend.keys(), lambda keys: key in keys),
    "count": lambda backend, key: _is_true(backend.count(escape(key)), lambda count: count == 1),
    "scan": _by_scan,
    "get_many": lambda backend, key: _is_true(backend.get_many([key]), lambda found: key in found),
    "delete": lambda backend, key: backend.delete(key),
    "delete_many": lambda backend, key: _is_true(backend.delete_many([key]), lambda count: count == 1),
    "ttl": _by_ttl,
    "expire": lambda backend, key: backend.expire(key, 60),
    "persist": lambda backend, key: backend.persist(key),
    "create": _by_setting_anew,
    "compare_and_set": lambda backend, key: backend.compare_and_set(key, "here", "there"),
    "get_and_delete": lambda backend, key: _is_true(backend.get_and_delete(key), lambda value: value is not None),
    "update": _by_update,
}


async def _is_true(call: Awaitable[Any], test: Callable[[Any], bool]) -> bool:
    return test(await call)
