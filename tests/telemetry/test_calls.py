"""One span and one duration for each public call, on every engine; never a key or a value."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from ad_seller.storage import (
    InvalidValueError,
    MissingDependencyError,
    NamespacedBackend,
    StorageBackend,
    Transaction,
    get_storage_backend,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.sync import SyncStorage
from ad_seller.storage.telemetry import instrument, is_instrumented, uninstrument
from tests.telemetry.conftest import Told
from tests.test_base import Seven

SECRET = "acme-7f3a"  # in keys, values, messages of errors and the password


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture(params=["memory", "sqlite", "redis", "postgres", "hybrid", "custom"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def backend(
    engine: str, tmp_path: Path, redis_url: str, redis_prefix: str, request: pytest.FixtureRequest
) -> StorageBackend:
    if engine in ("postgres", "hybrid"):
        postgres = PostgresBackend(request.getfixturevalue("postgres_url"))
        return postgres if engine == "postgres" else HybridBackend(postgres, MemoryBackend())
    if engine == "redis":
        return RedisBackend(redis_url, key_prefix=redis_prefix)
    made: dict[str, StorageBackend] = {
        "memory": MemoryBackend(),
        "sqlite": SQLiteBackend(str(tmp_path / f"{SECRET}.db")),
        "custom": Seven(),
    }
    return made[engine]


@pytest.fixture
async def store(backend: StorageBackend) -> AsyncIterator[StorageBackend]:
    async with backend:
        yield backend


async def test_every_engine(store: StorageBackend, engine: str, told: Told) -> None:
    await store.set(f"deal:{SECRET}", {"buyer": SECRET})
    await store.set_order(SECRET, {"status": SECRET})
    await store.set(f"{SECRET}:1", SECRET, ttl=60)
    assert len(await store.get_many(iter([f"deal:{SECRET}", "deal:2", "deal:3"]))) == 1
    await store.list_orders()
    with pytest.raises(InvalidValueError):
        await store.set(f"deal:{SECRET}", {SECRET: {SECRET}})
    system = {"postgres": "postgresql", "hybrid": "postgresql", "custom": "seven"}.get(engine, engine)
    spans = told.spans()
    names = ["set deal", "set order", "set", "get_many deal", "list order", "set deal"]
    assert [span.name for span in spans] == names
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    first, _, unknown, several, _, failed = map(attributes_of, spans)
    assert first["db.system.name"] == system
    assert (first["db.operation.name"], first["db.collection.name"]) == ("set", "deal")
    assert "db.collection.name" not in unknown  # what stands before the colon may be a part of somebody's key
    assert several["db.operation.batch.size"] == 3
    assert failed["error.type"] == "InvalidValueError"
    assert (spans[-1].status.status_code, spans[-1].status.description, spans[-1].events) == (
        StatusCode.ERROR,
        None,
        (),
    )
    if engine in ("redis", "postgres", "hybrid"):
        assert first["server.address"] in ("127.0.0.1", "localhost")
        assert isinstance(first["server.port"], int)
    durations = told.points()["db.client.operation.duration"]
    assert {
        (point["db.operation.name"], point.get("db.collection.name"), point.get("error.type")): value.count
        for point, value in durations
    } == {
        ("set", "deal", None): 1,
        ("set", "order", None): 1,
        ("set", None, None): 1,
        ("get_many", "deal", None): 1,
        ("list", "order", None): 1,
        ("set", "deal", "InvalidValueError"): 1,
    }
    assert durations[0][1].explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    assert 0 < durations[0][1].sum < 60
    assert SECRET not in told.text()


async def test_a_call_in_a_call_is_a_part_of_it(store: StorageBackend, told: Told) -> None:
    tracer = trace.get_tracer("agent", tracer_provider=told.tracing)

    async def work(tx: Transaction) -> None:
        await tx.get("deal:1")
        await tx.set_deal("1", {"status": "booked"})
        await store.exists("quote:1")
        with tracer.start_as_current_span("priced"):
            pass

    with tracer.start_as_current_span("request") as request:
        await store.transact(work)
    priced, transact, _ = told.spans()
    assert (priced.name, transact.name) == ("priced", "transact")
    assert priced.parent is not None
    assert transact.context is not None
    assert priced.parent.span_id == transact.context.span_id  # what the agent does in it is below it
    assert transact.parent is not None
    assert transact.parent.span_id == request.get_span_context().span_id
    await store.update("deal:1", lambda deal: {**deal, "n": 1})
    await store.register_agent("a-1", {"name": "A"}, "https://a.example")
    await store.run_once("book:acme", "k1", {"q": 1}, work)
    names = [name for name in told.names() if name != "priced"]
    assert names == ["update deal", "register_agent agent", "run_once idempotency"]


async def test_what_a_call_has_begun_is_told_by_itself_when_that_has_ended(told: Told) -> None:
    go_on = asyncio.Event()
    async with MemoryBackend() as store:

        async def later() -> None:
            await go_on.wait()
            await store.get("deal:2")

        async def work(tx: Transaction) -> asyncio.Task[None]:
            await tx.get("deal:1")
            return asyncio.create_task(later())

        task = await store.transact(work)
        go_on.set()
        await task
    assert told.names() == ["transact", "get deal"]


async def test_what_a_backend_returns_tells_too(told: Told) -> None:
    async with MemoryBackend() as store:
        async with store.transaction() as tx:
            await tx.get("deal:1")
            await tx.set_deal("1", {})
            await tx.set_deal("2", {})
            await tx.list_quotes()
        commit = told.spans()[-1]
        assert attributes_of(commit)["db.operation.batch.size"] == 2
        with suppress(ZeroDivisionError):
            async with store.transaction() as tx:
                await tx.get("deal:1")
                raise ZeroDivisionError  # commits nothing
        async with store.lease("sync", 5):
            pass
        await store.log("event").append({"n": 1})
        assert [entry async for entry in store.iterate("deal:*")]
        await store.outbox(SECRET).put("x")
    assert commit.name == "transaction.commit deal"
    assert told.names() == [
        "transaction.get deal",
        "lease.take lease",
        "lease.release lease",
        "log.append event",
        "scan deal",
        "outbox.put outbox",
    ]
    assert SECRET not in told.text()


async def test_a_namespace_tells_of_its_backend_and_its_own_keys(told: Told) -> None:
    async with NamespacedBackend(HybridBackend(MemoryBackend(), MemoryBackend()), SECRET) as store:
        await store.set("deal:1", 1)
    [span] = told.spans()
    assert (span.name, attributes_of(span)["db.system.name"]) == ("set deal", "memory")
    assert SECRET not in told.text()


async def test_a_cancelled_call(told: Told) -> None:
    class Stuck(Seven):
        async def get(self, key: str) -> Any:
            reached.set()
            await asyncio.Event().wait()

    reached = asyncio.Event()
    task = asyncio.create_task(Stuck().get("deal:1"))  # of a class that came later
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [span] = told.spans()
    assert attributes_of(span)["error.type"] == "CancelledError"


def test_without_await(tmp_path: Path, told: Told) -> None:
    with SyncStorage(SQLiteBackend(str(tmp_path / "a.db"))) as store:
        store.set("deal:1", {"a": 1})
        assert store.get("deal:1") == {"a": 1}  # in this thread
        assert store.get_deal("1") == {"a": 1}
        assert store.count("deal:*") == 1
    assert told.names() == ["set deal", "get deal", "get deal", "count deal"]


def test_every_public_method_is_told_and_as_before_afterwards() -> None:
    def methods() -> dict[str, Any]:
        return {
            f"{cls.__name__}.{name}": method
            for cls in (StorageBackend, MemoryBackend, RedisBackend, PostgresBackend, HybridBackend, Seven)
            for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction)
            if not name.startswith("_") and name not in ("connect", "disconnect", "pause")
        }

    before = methods()
    instrument()
    try:
        changed = {name for name, method in methods().items() if method is not before[name]}
    finally:
        uninstrument()
    abstract = {f"StorageBackend.{name}" for name in ("get", "set", "delete", "exists", "keys")}
    assert set(before) - changed == abstract
    assert methods() == before


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TELEMETRY", "on")
    try:
        get_storage_backend("memory")
        assert is_instrumented()
        get_storage_backend("memory")
    finally:
        uninstrument()
    assert not is_instrumented()
    for name in [name for name in sys.modules if name.startswith("ad_seller.storage.telemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingDependencyError, match=r"ad-seller-storage\[otel\]"):
        get_storage_backend("memory")
    assert not is_instrumented()


def test_who_does_not_switch_it_on_does_not_import_it() -> None:
    code = """
import asyncio, sys
from ad_seller.storage import open_url
async def main():
    async with open_url("memory://") as store:
        await store.set("a", 1)
        store.stats()
asyncio.run(main())
sys.exit(any(name.split(".")[0] == "opentelemetry" for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
