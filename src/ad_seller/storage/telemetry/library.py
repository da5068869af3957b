"""What is used of OpenTelemetry's API; imported when telemetry is switched on, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context, get_current
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode, TracerProvider

_NAME: Final = "ad_seller.storage"
#: The conventions that the names follow; the database ones are stable since this version.
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.33.0"
#: What samplers of the SDK call themselves that drop every span whose parent is dropped.
_FOLLOWS: Final = ("remoteParentNotSampled:AlwaysOffSampler", "localParentNotSampled:AlwaysOffSampler")

#: Under which name a context has the current span; the API has a function that puts one there.
_SPAN: Final = next(iter(trace.set_span_in_context(INVALID_SPAN, Context())))

#: What is observed: pairs of a number and what it belongs to.
Observed = Iterable[tuple[float, Mapping[str, Any]]]
#: What is looked at for a metric of a provider (None: the global one). A provider makes an instrument once, and
#: cannot forget it: one that telemetry asks for anew is the one that it had, with the callback of that time.
_looks: dict[tuple[MeterProvider | None, str], Callable[[], Observed]] = {}
#: A span that is the current one, and what makes the one before it that again.
Begun = tuple[trace.Span, Token[Any]]


class Instruments:
    """Tracer and meter.

    Args:
        tracer_provider: None for the global one.
        meter_provider: None for the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        """Make them; they follow a global provider that is set later."""
        ours = version("ad-seller-storage")
        self._provider = tracer_provider
        self._meter_provider = meter_provider
        self._tracer = trace.get_tracer(_NAME, ours, tracer_provider, _SCHEMA)
        self._meter = metrics.get_meter(_NAME, ours, meter_provider, _SCHEMA)
        self._follows_parent: bool | None = None
        self._fold: Callable[[], None] = lambda: None
        self.traces = not isinstance(self._tracer, trace.NoOpTracer)

    def may_be_recorded(self) -> bool:
        """Tell whether a span that begins now may be recorded; asked at each call.

        Where the trace is not sampled, and the sampler drops every span of such a trace, there is none. What
        `trace.get_current_span` does besides looking costs as much as all the rest.
        """
        parent = get_current().get(_SPAN)
        if parent is None or parent is INVALID_SPAN:
            return True
        if parent.get_span_context().trace_flags & 1:  # type: ignore[attr-defined]
            return True
        if self._follows_parent is None:
            self._follows_parent = self._has_sampler_that_follows()
        return not self._follows_parent

    def begin_span(self, name: str, attributes: Mapping[str, Any]) -> Begun | None:
        """Begin a span as a child of the current one, and let it be the current one until `detach`."""
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        if span is INVALID_SPAN:  # nobody traces
            return None
        return span, context.attach(trace.set_span_in_context(span))

    def _has_sampler_that_follows(self) -> bool:
        """Tell whether the provider, which is there by now, is the SDK's, with a sampler such as its default."""
        sampler = getattr(self._provider or trace.get_tracer_provider(), "sampler", None)
        told = str(sampler.get_description()) if sampler is not None else ""
        return told.startswith("ParentBased{") and told.endswith("}") and all(part in told for part in _FOLLOWS)

    def detach(self, begun: Begun) -> None:
        """Let the span before be the current one again."""
        context.detach(begun[1])

    def fail(self, span: trace.Span, name: str, kind: str) -> None:
        """Mark a span as failed; no description, because messages name keys."""
        span.set_attribute(name, kind)
        span.set_status(Status(StatusCode.ERROR))

    def histogram(self, name: str, unit: str, description: str, boundaries: Sequence[float]) -> Callable[..., None]:
        """Make a histogram, and return what takes a number and its attributes."""
        return self._meter.create_histogram(
            name, unit=unit, description=description, explicit_bucket_boundaries_advisory=boundaries
        ).record

    def before_export(self, fold: Callable[[], None]) -> None:
        """Have ``fold`` called when metrics are exported, before they are looked at, and by `forget`."""
        self._fold = fold

    @staticmethod
    @contextmanager
    def beside_traces() -> Iterator[None]:
        """Have no span be the current one."""
        token = context.attach(Context())
        try:
            yield
        finally:
            context.detach(token)

    def observe(self, kind: str, name: str, unit: str, description: str, look: Callable[[], Observed]) -> None:
        """Make an observable instrument.

        Args:
            kind: "counter", "updowncounter" or "gauge".
            name: of the metric.
            unit: of its numbers.
            description: for readers.
            look: called at each export.
        """
        about = (self._meter_provider, name)
        _looks[about] = look

        def callback(options: CallbackOptions) -> list[Observation]:
            self._fold()
            look = _looks.get(about)
            return [] if look is None else [Observation(number, dict(belongs)) for number, belongs in look()]

        make = {
            "counter": self._meter.create_observable_counter,
            "updowncounter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[kind]
        make(name, callbacks=[callback], unit=unit, description=description)

    def forget(self) -> None:
        """Have nothing observed any more."""
        self._fold()
        _looks.clear()
