"""What `stats()` tells, as metrics; and the dashboard of the examples, which uses only what is exported."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest

from ad_seller.storage import InvalidValueError, StorageBackend, Transaction
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.telemetry import instrument, uninstrument
from tests.telemetry.conftest import Told

DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana.json"


async def disturbed(store: StorageBackend) -> None:
    """Meet one conflict."""

    async def work(tx: Transaction) -> None:
        if await tx.get("deal:1") is None:
            await asyncio.create_task(store.set("deal:1", "by another task"))
        await tx.set("deal:1", "mine")

    await store.transact(work)


async def test_what_was_counted(told: Told, postgres_url: str) -> None:
    async with HybridBackend(PostgresBackend(postgres_url, pool_max=3), MemoryBackend()) as store:
        await disturbed(store)
        await store.set("session:1", {})
        points = told.points()
    systems = {name: {point["db.system.name"]: value for point, value in points[name]} for name in points}
    assert systems["ad_seller.storage.conflicts"] == {"hybrid": 1, "postgresql": 0, "memory": 0}
    assert systems["ad_seller.storage.retries"] == {"hybrid": 1, "postgresql": 0, "memory": 0}
    assert systems["db.client.connection.max"] == {"postgresql": 3}
    batches = {
        (point["db.system.name"], point["ad_seller.storage.direction"]): value
        for point, value in points["ad_seller.storage.batches"]
    }
    assert batches[("memory", "write")] == 1
    states = {point["db.client.connection.state"]: value for point, value in points["db.client.connection.count"]}
    assert states.keys() == {"idle", "used"}


async def test_two_backends_of_one_sort_are_told_together_and_garbage_is_forgotten(told: Told) -> None:
    async with MemoryBackend() as one, MemoryBackend() as two:
        await one.set("deal:1", 1)
        await two.set("deal:1", 1)
        [(_, writes)] = [
            (point, value)
            for point, value in told.points()["ad_seller.storage.batches"]
            if point["ad_seller.storage.direction"] == "write"
        ]
        assert writes == 2
    del one, two
    while told.points().get("ad_seller.storage.batches"):  # until the collector has seen their circles
        gc.collect()
        await asyncio.sleep(0)


# --- the dashboard -------------------------------------------------------------------------------------------


@pytest.fixture
def prometheus() -> Iterator[MeterProvider]:
    provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
    try:
        yield provider
    finally:
        uninstrument()
        provider.shutdown()


def exported() -> dict[str, set[str]]:
    """Return the labels of each metric as Prometheus gets it."""
    found: dict[str, set[str]] = {}
    for line in generate_latest(REGISTRY).decode().splitlines():
        if match := re.match(r"([a-z_]+)\{(.*)\} ", line):
            found.setdefault(match[1], set()).update(re.findall(r'([a-z_]+)="', match[2]))
    return found


def queries(part: Any) -> Iterator[str]:
    """Yield the queries of a dashboard."""
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name in ("expr", "query") and "_" in str(value))
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from queries(each)


async def called(*stores: StorageBackend) -> None:
    """Call each, once in vain."""
    for store in stores:
        await store.set("deal:1", 1)
        with pytest.raises(InvalidValueError):
            await store.set("deal:1", float("nan"))
        assert await store.keys("*")


async def test_the_dashboard_asks_for_what_is_exported(
    prometheus: MeterProvider, postgres_url: str, redis_url: str, redis_prefix: str
) -> None:
    async with PostgresBackend(postgres_url) as one, RedisBackend(redis_url, key_prefix=redis_prefix) as two:
        instrument(meter_provider=prometheus)
        await called(one, two)
        uninstrument()
        instrument(meter_provider=prometheus, durations="counters")
        await called(one, two)
        entries = two.log("event").follow()
        await two.log("event").append({"n": 1})
        await anext(entries)
        there = exported()
        await entries.aclose()
    asked = list(queries(json.loads(DASHBOARD.read_text())))
    assert len(asked) > 15
    names: set[str] = set()
    for query in asked:
        for name, labels in re.findall(r"((?:db_client|ad_seller_storage)_[a-z_]+)\{([^}]*)\}", query):
            names.add(name)
            used = set(re.findall(r"([a-z_]+) ?(?:=|!=|=~)\"", labels)) | set(
                re.findall(r"by \(([a-z_]+)\)", query)
            )
            assert used - {"le"} <= there[name], query
    ours = {name for name in there if re.match("db_client_|ad_seller_storage_", name)}
    assert names == ours, "each metric is shown, and each that is shown is exported"
