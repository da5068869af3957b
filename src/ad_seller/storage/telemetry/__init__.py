"""OpenTelemetry: a span and a duration for each public call, and what `stats()` tells as metrics.

Nobody pays who has not switched it on: the methods of the backends are wrapped by `instrument`, in one place, and
are as they were after `uninstrument`. It is never switched on by itself, also where OpenTelemetry is configured:
other libraries of an agent (crewai) set a global provider that sends spans to their makers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, MissingDependencyError, shown
from ..records.several import all_of_kind
from .names import OWN_KINDS

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .patches import Patches

__all__ = ["instrument", "is_instrumented", "uninstrument"]

_lock = threading.Lock()
_patches: Patches | None = None


def instrument(
    *,
    kinds: Iterable[str] = (),
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    durations: str = "histogram",
) -> None:
    """Tell OpenTelemetry of each public call on any backend of this process, also of those that are there already.

    A second call changes nothing. ``STORAGE_TELEMETRY=on`` does it where `get_storage_backend` makes a backend.

    Args:
        kinds: further kinds of record that may be told (``db.collection.name``), e.g. ``event`` for keys such as
            ``event:…``; those of a seller, and of this package, are known. Anything else before a colon may be a
            part of somebody's key, and is not told.
        tracer_provider: None for the global one, which may be set later.
        meter_provider: None for the global one.
        durations: "histogram": each is handed to ``db.client.operation.duration`` of the conventions; "counters":
            they are added up by this package and looked at when they are exported, for a third of the price.

    Raises:
        ConfigurationError: ``durations`` is anything else.
        InvalidArgumentError: ``kinds`` is a lone text, or holds something else.
        MissingDependencyError: OpenTelemetry's API is not installed.
    """
    global _patches
    if durations not in ("histogram", "counters"):
        raise ConfigurationError(f"Durations are a histogram or counters, not {shown(durations)}")
    further = all_of_kind("kinds", kinds, str)
    try:
        from .patches import Patches
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"Telemetry needs a package that is not installed ({error.name}). "
            "Install it with: pip install 'ad-seller-storage[otel]'"
        ) from error
    with _lock:
        if _patches is None:
            adds_up = durations == "counters"
            _patches = Patches(OWN_KINDS.union(further), tracer_provider, meter_provider, adds_up=adds_up)


def uninstrument() -> None:
    """Make all methods what they were; harmless if they are."""
    global _patches
    with _lock:
        patches, _patches = _patches, None
        if patches is not None:
            patches.undo()


def is_instrumented() -> bool:
    """Tell whether calls are told of."""
    return _patches is not None
