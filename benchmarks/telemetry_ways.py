"""The ways to switch telemetry on that `telemetry_ratio` compares, and what the SDK takes by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

ATTRIBUTES = {"db.system.name": "sqlite", "db.operation.name": "set", "db.collection.name": "deal"}


@dataclass(frozen=True)
class Way:
    """One way to switch it on.

    Attributes:
        tracing: the provider of the agent's spans and ours; None: there are none.
        metering: the provider of our metrics; None: there are none.
        durations: how these are told.
        is_on: False: it is not.
        by_hand: the agent itself tells of each call, and we do not.
    """

    tracing: Any = None
    metering: Any = None
    durations: str = "histogram"
    is_on: bool = True
    by_hand: bool = False

    def span(self) -> Any:
        """Return the context of a span of the agent."""
        return (
            nullcontext() if self.tracing is None else self.tracing.get_tracer("agent").start_as_current_span("day")
        )

    @contextmanager
    def on(self, store: Any) -> Iterator[Any]:
        """Have it switched on, and yield what is called."""
        from opentelemetry.metrics import NoOpMeterProvider
        from opentelemetry.trace import NoOpTracerProvider

        from ad_seller.storage.telemetry import instrument, uninstrument

        if self.by_hand:
            yield ByHand(
                store,
                None if self.tracing is None else self.tracing.get_tracer("hand"),
                None if self.metering is None else self.metering.get_meter("hand").create_histogram("hand").record,
            )
            return
        if self.is_on:
            instrument(
                tracer_provider=self.tracing or NoOpTracerProvider(),
                meter_provider=self.metering or NoOpMeterProvider(),
                durations=self.durations,
            )
        try:
            yield store
        finally:
            uninstrument()


class ByHand:
    """A store of which each call is told by the SDK with as little around as there can be: what the SDK takes."""

    def __init__(self, store: Any, tracer: Any, record: Any) -> None:
        self._store, self._tracer, self._record = store, tracer, record

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if self._record is not None:
            method = self._timed(method)
        if self._tracer is not None:
            method = self._traced(name, method)
        self.__dict__[name] = method
        return method

    def _timed(self, method: Any) -> Any:
        record = self._record

        async def call(*args: Any) -> Any:
            began = time.perf_counter()
            result = await method(*args)
            record(time.perf_counter() - began, ATTRIBUTES)
            return result

        return call

    def _traced(self, name: str, method: Any) -> Any:
        from opentelemetry import context, trace

        start, kind = self._tracer.start_span, trace.SpanKind.CLIENT

        async def call(*args: Any) -> Any:
            span = start(name, kind=kind, attributes=ATTRIBUTES)
            token = context.attach(trace.set_span_in_context(span))
            result = await method(*args)
            context.detach(token)
            span.end()
            return result

        return call


def ways() -> dict[str, Way]:
    """Return all that are compared."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased

    class Dropped(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    def tracing(root: Any) -> Any:
        provider = TracerProvider(sampler=ParentBased(root))
        provider.add_span_processor(BatchSpanProcessor(Dropped()))
        return provider

    meters = MeterProvider(metric_readers=[InMemoryMetricReader()])
    some, every = tracing(TraceIdRatioBased(0.01)), tracing(ALWAYS_ON)
    return {
        "off, once more": Way(is_on=False),
        "no SDK": Way(),
        "counters": Way(None, meters, "counters"),
        "histogram": Way(None, meters),
        "  by the SDK alone": Way(None, meters, by_hand=True),
        "counters, 1 % of traces": Way(some, meters, "counters"),
        "histogram, 1 % of traces": Way(some, meters),
        "  by the SDK alone, 1 %": Way(some, meters, by_hand=True),
        "counters, every span": Way(every, meters, "counters"),
        "  by the SDK alone, spans": Way(every, None, by_hand=True),
        "histogram, every span": Way(every, meters),
        "  by the SDK alone, both": Way(every, meters, by_hand=True),
    }


async def in_a_loop(compared: dict[str, Way]) -> None:
    """Print what each way takes of a call beside which the machine does nothing else, and what follows from it."""
    from opentelemetry.sdk.version import __version__

    from ad_seller.storage import open_url

    print(
        f"SDK {__version__}: us that a call takes more in a loop; nine tenths of the speed need a call of so many"
    )
    async with open_url("memory://") as store:
        await store.set("deal:1", {"status": "booked"})
        for name, way in compared.items():
            pairs = [(await _gets(store, way), await _gets(store, Way(is_on=False))) for _ in range(101)]
            told = min(on for on, _ in pairs) - min(off for _, off in pairs)  # what other work changes least
            print(f"    {name:26}{told:6.1f}{max(9 * told, 0):6.0f}", flush=True)


async def _gets(store: Any, way: Way) -> float:
    """Return the microseconds of computing time of one of a thousand calls in a trace."""
    with way.span(), way.on(store) as called:
        cpu = time.process_time()
        for _ in range(1000):
            await called.get("deal:1")
        return (time.process_time() - cpu) * 1000
