"""What is used of OpenTelemetry's API; imported when telemetry is switched on, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import context, metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

_NAME: Final = "ad_seller.storage"
#: The conventions that the names follow; the database ones are stable since this version.
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.33.0"
#: Seconds; the conventions ask for these.
_BOUNDARIES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

#: What is observed: pairs of a number and what it belongs to.
Observed = Iterable[tuple[float, Mapping[str, Any]]]


class Instruments:
    """Tracer and meter.

    Args:
        tracer_provider: None for the global one.
        meter_provider: None for the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        """Make them; they follow a global provider that is set later."""
        ours = version("ad-seller-storage")
        self._tracer = trace.get_tracer(_NAME, ours, tracer_provider, _SCHEMA)
        self._traces = not isinstance(self._tracer, trace.NoOpTracer)
        self._meter = metrics.get_meter(_NAME, ours, meter_provider, _SCHEMA)
        self.duration = self._meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )

    def begin_span(self, name: str, attributes: Mapping[str, Any]) -> tuple[trace.Span, Token[Any] | None]:
        """Begin a span as a child of the current one, and let it be the current one until `detach`."""
        if not self._traces:
            return trace.INVALID_SPAN, None
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        if span is trace.INVALID_SPAN:  # nobody traces
            return span, None
        return span, context.attach(trace.set_span_in_context(span))

    def detach(self, token: Token[Any]) -> None:
        """Let the span before be the current one again."""
        context.detach(token)

    def fail(self, span: trace.Span, name: str, kind: str) -> None:
        """Mark a span as failed; no description, because messages name keys."""
        span.set_attribute(name, kind)
        span.set_status(Status(StatusCode.ERROR))

    def observe(self, kind: str, name: str, unit: str, description: str, look: Callable[[], Observed]) -> None:
        """Make an observable instrument.

        Args:
            kind: "counter", "updowncounter" or "gauge".
            name: of the metric.
            unit: of its numbers.
            description: for readers.
            look: called at each export.
        """

        def callback(options: CallbackOptions) -> list[Observation]:
            return [Observation(number, dict(attributes)) for number, attributes in look()]

        make = {
            "counter": self._meter.create_observable_counter,
            "updowncounter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[kind]
        make(name, callbacks=[callback], unit=unit, description=description)
