"""What makes telemetry cheap tells the same: durations that are added up here, spans that nobody would record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from inspect import iscoroutinefunction
from types import CodeType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import NoOpTracerProvider

from ad_seller.storage import (
    ConfigurationError,
    InvalidValueError,
    StorageBackend,
    Transaction,
    get_storage_backend,
    open_url,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.runtime.template import DriverBackend
from ad_seller.storage.telemetry import instrument, is_instrumented, uninstrument
from ad_seller.storage.telemetry.durations import BOUNDARIES, MOST_WAITING, Buckets
from tests.telemetry.conftest import Told, points_of

# --- durations that are added up here ------------------------------------------------------------------------


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """What is exported while durations are counters."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    instrument(tracer_provider=NoOpTracerProvider(), meter_provider=provider, durations="counters")
    try:
        yield reader
    finally:
        uninstrument()
        provider.shutdown()


def counted(reader: InMemoryMetricReader) -> dict[tuple[Any, ...], dict[str, int]]:
    """Return for each operation, kind and error how many calls took at most how long."""
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for point, value in points_of(reader)[0].get("ad_seller.storage.duration.bucket", []):
        about = tuple(
            point.get(name) for name in ("db.operation.name", "db.collection.name", "error.type") if name in point
        )
        found.setdefault(about, {})[point["le"]] = value
    return found


async def test_counters_tell_what_the_histogram_does(reader: InMemoryMetricReader) -> None:
    async with open_url("memory://") as one, open_url("memory://") as two:  # told together
        for number in range(300):  # more than wait to be added up
            await (one if number % 2 else two).set(f"deal:{number}", number)
        await one.set_order("1", {"status": "draft"})
        await one.set("acme:1", 1)
        for _ in range(2):
            with pytest.raises(InvalidValueError):
                await one.set("deal:1", {"n": {1}})
        assert counted(reader).keys() == {
            ("set", "deal"),
            ("set", "order"),
            ("set",),
            ("set", "deal", "InvalidValueError"),
        }
        limits = counted(reader)["set", "deal"]
        assert list(limits) == [*(str(limit) for limit in BOUNDARIES), "+Inf"]
        assert sorted(limits.values()) == list(limits.values()), "each has those of the ones before it"
        assert limits["+Inf"] == 300
        assert counted(reader)["set", "deal", "InvalidValueError"]["+Inf"] == 2
        points = points_of(reader)[0]
        seconds = {
            point.get("db.collection.name"): value for point, value in points["ad_seller.storage.duration.sum"]
        }
        assert 0 < seconds["deal"] < 60
        assert "db.client.operation.duration" not in points
        uninstrument()
        assert counted(reader) == {}


def test_a_bucket_has_what_took_at_most_so_long_whatever_thread_adds_it() -> None:
    buckets = Buckets()
    added = [0.0, 0.001, 0.0011, 0.05, 1.0, 9.0, 10.0, 10.5, 4000.0]

    def add() -> None:
        for _ in range(1000):
            for seconds in added:
                buckets.add(seconds)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        buckets.counted()  # an export meanwhile
    counts, total = buckets.counted()
    assert [count / 4000 for count in counts] == [2, 1, 0, 1, 0, 0, 1, 0, 2, 2]
    assert total == pytest.approx(4000 * sum(added))


def test_the_setting_says_counters(monkeypatch: pytest.MonkeyPatch, reader: InMemoryMetricReader) -> None:
    uninstrument()
    monkeypatch.setenv("STORAGE_TELEMETRY", "Counters")
    get_storage_backend("memory")
    assert is_instrumented()
    monkeypatch.setenv("STORAGE_TELEMETRY", "counter")
    with pytest.raises(ConfigurationError, match="STORAGE_TELEMETRY"):
        get_storage_backend("memory")
    with pytest.raises(ConfigurationError, match="histogram or counters"):
        instrument(durations="both")


async def test_a_call_is_told_alike_the_first_time_and_later(told: Told) -> None:
    async with MemoryBackend() as store:
        calls: list[tuple[Any, ...]] = [
            (store.get, "deal:1"),
            (store.get, "acme:1"),
            (store.get, "deal"),
            (store.keys, "deal:*"),
            (store.keys,),
            (store.get_many, ["deal:1", "deal:2"]),
            (store.get_many, ["deal:1", "order:1"]),
            (store.get_many, ["deal:1", "deal", "deal-1"]),
            (store.get_many, ["acme:1", "acme:2", "acme:3"]),
            (store.get_many, ["deal:1"]),
            (store.get_many, []),
            (store.get_many, ("quote:1", "quote:2")),
            (store.set_many, {"order:1": {}, "deal:1": {}}),
            (store.set_many, {"order:1": {}, "order:2": {}}),
            (store.get_quote, "1"),
            (store.count,),
        ]
        rounds = []
        for _ in range(3):
            for call, *args in calls:
                await call(*args)
            rounds.append([(span.name, dict(span.attributes or {})) for span in told.spans()])
    assert len(rounds[0]) == len(calls)
    assert rounds[0] == rounds[1] == rounds[2]
    assert [span.get("db.operation.batch.size") for _, span in rounds[2][5:9]] == [2, 2, 3, 3]
    assert rounds[2][5][0] == "get_many deal"
    assert rounds[2][6][0] == rounds[2][7][0] == rounds[2][8][0] == "get_many"


def test_what_is_taken_to_call_nothing_else_does_not() -> None:
    """`patches` marks the methods of `DriverBackend` so: one that called another would be told twice."""
    public = {name for name in dir(StorageBackend) if iscoroutinefunction(getattr(StorageBackend, name))}
    public = {name for name in public if not name.startswith("_")}

    def names(code: CodeType) -> set[str]:
        inner = (const for const in code.co_consts if isinstance(const, CodeType))
        return set(code.co_names).union(*map(names, inner))

    own = {name: method for name, method in vars(DriverBackend).items() if iscoroutinefunction(method)}
    assert {"get", "set", "delete", "exists", "get_many"} <= own.keys() & public
    for name, method in own.items():
        called = names(method.__code__) & public - {"keys", "count"}  # which the engine has, too
        assert not called, name


async def test_durations_that_wait_are_told_at_an_export_and_at_the_end_without_a_trace_of_others() -> None:
    reader = InMemoryMetricReader()
    metering, tracing = MeterProvider(metric_readers=[reader]), TracerProvider()

    def told() -> tuple[int, int]:
        [(_, point)] = points_of(reader)[0]["db.client.operation.duration"]
        return point.count, len(point.exemplars)

    instrument(tracer_provider=NoOpTracerProvider(), meter_provider=metering)
    try:
        async with MemoryBackend() as store:
            for _ in range(MOST_WAITING - 1):
                await store.get("deal:1")
            with tracing.get_tracer("agent").start_as_current_span("request"):
                await store.get("deal:1")  # hands all of them on
            assert told() == (MOST_WAITING, 0)
            await store.get("deal:1")
            assert told() == (MOST_WAITING + 1, 0)
            await store.get("deal:1")
            uninstrument()
            assert told() == (MOST_WAITING + 2, 0)
            instrument(tracer_provider=tracing, meter_provider=metering)
            with tracing.get_tracer("agent").start_as_current_span("request"):
                await store.get("deal:1")  # has a span, and is an example of what the request took
            assert told() == (MOST_WAITING + 3, 1)
    finally:
        uninstrument()
        metering.shutdown()
        tracing.shutdown()


# --- spans that nobody would record --------------------------------------------------------------------------


class Unlike(Sampler):
    """Drops what the agent does, and records the store, whatever the parent is."""

    def should_sample(self, *args: Any, **named: Any) -> Any:
        """Decide by the name."""
        decides = ALWAYS_OFF if "request" in args else ALWAYS_ON
        return decides.should_sample(*args, **named)

    def get_description(self) -> str:
        """Tell what it is."""
        return "Unlike"


@pytest.mark.parametrize(
    ("sampler", "names"),
    [
        (ParentBased(ALWAYS_OFF), []),
        (ParentBased(ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON), ["get deal", "priced", "transact"]),
        (Unlike(), ["get deal", "priced", "transact"]),
        (ParentBased(ALWAYS_ON), ["get deal", "priced", "transact", "request"]),
    ],
)
async def test_in_a_trace_that_is_not_sampled_the_sampler_decides(sampler: Sampler, names: list[str]) -> None:
    exporter, provider, reader = InMemorySpanExporter(), TracerProvider(sampler=sampler), InMemoryMetricReader()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    metering = MeterProvider(metric_readers=[reader])
    tracer = trace.get_tracer("agent", tracer_provider=provider)

    async def work(tx: Transaction) -> None:
        with tracer.start_as_current_span("priced"):
            await tx.set("deal:1", 1)

    instrument(tracer_provider=provider, meter_provider=metering)
    try:
        async with MemoryBackend() as store:
            with tracer.start_as_current_span("request"):
                await store.get("deal:1")
                await store.transact(work)
    finally:
        uninstrument()
        provider.shutdown()
    assert [span.name for span in exporter.get_finished_spans()] == names
    durations = [point["db.operation.name"] for point, _ in points_of(reader)[0]["db.client.operation.duration"]]
    assert durations == ["get", "transact"], "whatever becomes of the spans"
    metering.shutdown()
