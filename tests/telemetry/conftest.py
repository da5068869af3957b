"""Telemetry that is switched on, with the SDK's own exporters in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ad_seller.storage.telemetry import instrument, uninstrument


def points_of(reader: InMemoryMetricReader) -> tuple[dict[str, list[tuple[Mapping[str, Any], Any]]], str]:
    """Return attributes and value of each point, by metric, and all as text; of a histogram the point itself."""
    data = reader.get_metrics_data()
    if data is None:
        return {}, ""
    points: dict[str, list[tuple[Mapping[str, Any], Any]]] = {
        metric.name: [
            (dict(point.attributes or {}), getattr(point, "value", point)) for point in metric.data.data_points
        ]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    return points, data.to_json()


class Told:
    """What was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metering = MeterProvider(metric_readers=[self.reader])
        self._text = ""

    def spans(self) -> list[ReadableSpan]:
        """Return the spans since the last time."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        self._text += "".join(span.to_json() for span in found)
        return found

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]

    def points(self) -> dict[str, list[tuple[Mapping[str, Any], Any]]]:
        """Return attributes and value of each point, by metric; of a histogram the point itself."""
        points, text = points_of(self.reader)
        self._text += text
        return points

    def text(self) -> str:
        """Return all that was ever exported."""
        self.spans()
        self.points()
        return self._text


@pytest.fixture
def told() -> Iterator[Told]:
    exported = Told()
    instrument(kinds=["event"], tracer_provider=exported.tracing, meter_provider=exported.metering)
    try:
        yield exported
    finally:
        uninstrument()
        exported.tracing.shutdown()
        exported.metering.shutdown()
