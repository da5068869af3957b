"""The interface to the letter: what agents import, and the names of arguments (contract, section 1)."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from ad_seller.storage import PREFIXES, StorageBackend, Transaction, get_storage_backend
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend

#: The contract's table: the id and the data of each kind, as agents pass them by keyword.
RECORDS = {
    "product": ("product_id", "product_data"),
    "proposal": ("proposal_id", "proposal_data"),
    "deal": ("deal_id", "deal_data"),
    "session": ("session_id", "session_data"),
    "quote": ("quote_id", "quote_data"),
    "order": ("order_id", "order_data"),
    "change_request": ("cr_id", "cr_data"),
    "negotiation": ("proposal_id", "data"),
    "agent": ("agent_id", "agent_data"),
    "package": ("package_id", "package_data"),
    "media_kit": ("seller_org_id", "data"),
}
TTL = {"session": (("ttl", None),), "quote": (("ttl", 86_400),)}
FILTERED = {"quote", "order", "change_request"}
SEVEN = {
    "connect": (),
    "disconnect": (),
    "get": ("key",),
    "set": ("key", "value", ("ttl", None)),
    "delete": ("key",),
    "exists": ("key",),
    "keys": (("pattern", "*"),),
}
INDEXES = {
    "get_buyer_sessions": ("buyer_pricing_key",),
    "get_buyer_session_ids": ("buyer_pricing_key",),
    "add_session_to_buyer_index": ("session_id", "buyer_pricing_key"),
    "remove_session_from_buyer_index": ("session_id", "buyer_pricing_key"),
}
BACKENDS = [StorageBackend, MemoryBackend, SQLiteBackend, RedisBackend, PostgresBackend, HybridBackend]


def positional(function: Any) -> tuple[Any, ...]:
    """The arguments that can be given by place, with their defaults; those by keyword only are ours to add."""
    found = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    by_place = [p for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]
    return tuple(p.name if p.default is p.empty else (p.name, p.default) for p in by_place)


def expected() -> dict[str, tuple[Any, ...]]:
    table: dict[str, tuple[Any, ...]] = {**SEVEN, **INDEXES}
    for kind, (record_id, data) in RECORDS.items():
        table[f"get_{kind}"] = table[f"delete_{kind}"] = (record_id,)
        table[f"set_{kind}"] = (record_id, data, *TTL.get(kind, ()))
        table[f"list_{kind}s"] = (("filters", None),) if kind in FILTERED else ()
    return table


def test_every_kind_is_in_the_table() -> None:
    assert RECORDS.keys() == PREFIXES.keys()


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.__name__)
@pytest.mark.parametrize(("name", "parameters"), expected().items())
def test_signature(backend: type[StorageBackend], name: str, parameters: tuple[Any, ...]) -> None:
    assert positional(getattr(backend, name)) == parameters
    assert inspect.iscoroutinefunction(getattr(backend, name))


@pytest.mark.parametrize("name", [name for name in expected() if name not in ("connect", "disconnect", "keys")])
def test_a_transaction_names_its_arguments_likewise(name: str) -> None:
    assert positional(getattr(Transaction, name)) == expected()[name]


def test_factory_signature() -> None:
    assert positional(get_storage_backend) == (("storage_type", None), ("database_url", None), ("redis_url", None))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("ad_seller.storage", ["StorageBackend", "get_storage_backend"]),
        ("ad_seller.storage.base", ["StorageBackend"]),
        ("ad_seller.storage.factory", ["get_storage_backend", "get_storage", "close_storage"]),
        *(
            (f"ad_seller.storage.{one.lower()}_backend", [f"{one}Backend"])
            for one in ("SQLite", "Redis", "Postgres", "Hybrid")
        ),
    ],
)
def test_import_paths(module: str, names: list[str]) -> None:
    assert all(hasattr(import_module(module), name) for name in names)


async def test_by_keyword_as_older_agents_call() -> None:
    async with MemoryBackend() as store:
        await store.set_session(session_id="s", session_data={"a": 1}, ttl=60)
        await store.set_change_request(cr_id="c", cr_data={"status": "pending"})
        await store.set_media_kit(seller_org_id="o", data={})
        await store.add_session_to_buyer_index(session_id="s", buyer_pricing_key="k")
        assert await store.get_buyer_sessions(buyer_pricing_key="k") == [{"a": 1}]
        assert await store.get_change_request(cr_id="c") == {"status": "pending"}
        assert await store.get_media_kit(seller_org_id="o") == {}
