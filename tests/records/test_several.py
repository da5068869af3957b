"""A single text where several are meant is refused, before anything is read: it would be taken letter by letter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ad_seller.storage import (
    CHANGE_REQUEST_LIFECYCLE,
    InvalidArgumentError,
    Lifecycle,
    StorageBackend,
    Transaction,
    operations,
    telemetry,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Column, RetentionRule, View
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing import runner
from ad_seller.storage.testing.postgres_server import PostgresServer

STORE = MemoryBackend()  # not connected: what is refused is refused before


async def in_transaction(text: Any) -> None:
    async with MemoryBackend() as store:

        async def work(tx: Transaction) -> None:
            await tx.get_many(text)

        await store.transact(work)


def view(*columns: Any) -> Any:
    return operations.view_statements(SQLiteBackend(), (View("v", "x:", "id", columns),))


#: Each call, by the parameter that takes several.
CALLS: dict[str, Callable[[Any], Any]] = {
    "get_many keys": lambda text: STORE.get_many(text),
    "delete_many keys": lambda text: STORE.delete_many(text),
    "get_many keys in a transaction": in_transaction,
    "log by": lambda text: STORE.log("event", text),
    "Lifecycle transitions": lambda text: Lifecycle("Step", {"open": text}),
    "Lifecycle guards": lambda text: Lifecycle("Step", {}, guards=text),
    "extended transitions": lambda text: CHANGE_REQUEST_LIFECYCLE.extended({"pending": text}),
    "extended guards": lambda text: CHANGE_REQUEST_LIFECYCLE.extended(guards=text),
    "instrument kinds": lambda text: telemetry.instrument(kinds=text),
    "verify kinds": lambda text: operations.verify(STORE, STORE, kinds=text),
    "erase rules": lambda text: operations.erase(STORE, "b", rules=text),
    "apply_retention rules": lambda text: anext(operations.apply_retention(STORE, text)),
    "retain rules": lambda text: operations.retain(STORE, text),
    "fixes findings": lambda text: anext(operations.fixes(STORE, text)),
    "scan_texts paths": lambda text: operations.scan_texts(text, str),
    "view_statements views": lambda text: operations.view_statements(SQLiteBackend(), text),
    "create_views views": lambda text: operations.create_views(PostgresBackend("postgres://127.0.0.1"), text),
    "drop_views views": lambda text: operations.drop_views(PostgresBackend("postgres://127.0.0.1"), text),
    "View columns": lambda text: operations.view_statements(SQLiteBackend(), (View("v", "x:", "id", text),)),
    "Column paths": lambda text: view(Column("c", "text", text)),
    "a path of Column": lambda text: view(Column("c", "text", (text,))),
    "RetentionRule by": lambda text: operations.retain(STORE, [RetentionRule("a", log="x", by=text, older_than=5)]),
    "HybridBackend routes": lambda text: HybridBackend(MemoryBackend(), MemoryBackend(), routes=text),
    "indexes": lambda text: SQLiteBackend(indexes=text),
    "run levels": lambda text: runner.run("memory://", levels=text),
    "run checks": lambda text: runner.run("memory://", checks=text),
    "PostgresServer hba": lambda text: PostgresServer(hba=text),
}

#: What takes a single text for one thing.
ONE_IS_ENOUGH = {"erase buyer", "place_hold patterns"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("text", ["missing", b"missing", 5], ids=["text", "bytes", "number"])
async def test_a_single_text(name: str, text: Any) -> None:
    async def call() -> None:
        found = CALLS[name](text)
        if inspect.isawaitable(found):
            await found

    with pytest.raises(InvalidArgumentError):
        await call()


def takes_several() -> Iterator[str]:
    """Find each parameter of the public functions that takes several things."""
    functions = [telemetry.instrument, *(getattr(operations, name) for name in operations.__all__)]
    for owner in (StorageBackend, Transaction, Lifecycle):
        functions += [getattr(owner, name) for name in dir(owner) if not name.startswith("_")]
    for function in filter(inspect.isfunction, functions):
        for parameter in inspect.signature(function).parameters.values():
            if re.search(r"\b(Iterable|Sequence|Collection|tuple|list|set)\[", str(parameter.annotation)):
                yield f"{function.__name__} {parameter.name}"


def test_none_is_forgotten() -> None:
    assert set(takes_several()) <= CALLS.keys() | ONE_IS_ENOUGH
