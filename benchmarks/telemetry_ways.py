"""The ways to switch telemetry on that `telemetry_ratio` compares, and what the SDK takes by itself."""

from __future__ import annotations

import statistics
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
            yield ByHand(store, self.tracing.get_tracer("hand"), self.metering.get_meter("hand"))
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
    """A store of which each call is told by the SDK with as little around as there can be."""

    def __init__(self, store: Any, tracer: Any, meter: Any) -> None:
        self._store, self._tracer = store, tracer
        self._record = meter.create_histogram("hand").record

    def __getattr__(self, name: str) -> Any:
        from opentelemetry import context, trace

        method = getattr(self._store, name)

        async def call(*args: Any) -> Any:
            span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=ATTRIBUTES)
            token = context.attach(trace.set_span_in_context(span))
            began = time.perf_counter()
            result = await method(*args)
            seconds = time.perf_counter() - began
            context.detach(token)
            span.end()
            self._record(seconds, ATTRIBUTES)
            return result

        self.__dict__[name] = call
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
    in_a_loop(meters, every)
    return {
        "off, once more": Way(is_on=False),
        "no SDK": Way(),
        "counters": Way(None, meters, "counters"),
        "histogram": Way(None, meters),
        "counters, 1 % of traces": Way(some, meters, "counters"),
        "histogram, 1 % of traces": Way(some, meters),
        "counters, every span": Way(every, meters, "counters"),
        "histogram, every span": Way(every, meters),
        "the same by hand": Way(every, meters, by_hand=True),
    }


def in_a_loop(metering: Any, tracing: Any) -> None:
    """Print what the SDK takes for one duration and one span, with nothing of ours around."""
    from opentelemetry import context, trace
    from opentelemetry.sdk.version import __version__

    histogram, tracer = metering.get_meter("loop").create_histogram("loop"), tracing.get_tracer("loop")

    def span() -> None:
        span = tracer.start_span("set deal", kind=trace.SpanKind.CLIENT, attributes=ATTRIBUTES)
        context.detach(context.attach(trace.set_span_in_context(span)))
        span.end()

    for name, act in {"record()": lambda: histogram.record(0.001, ATTRIBUTES), "a recorded span": span}.items():
        took = []
        for _ in range(20):
            cpu = time.process_time()
            for _ in range(1000):
                act()
            took.append((time.process_time() - cpu) * 1000)
        print(f"SDK {__version__}, {name} in a loop: {statistics.median(took):.1f} us", flush=True)
