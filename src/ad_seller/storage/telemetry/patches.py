"""The one place where methods get their telemetry: all public ones of all backends, and of what they return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ..atomic.lease import Lease
from ..base import StorageBackend
from ..runtime.template import DriverBackend
from ..seller.log import Log
from ..seller.outbox import Outbox
from ..seller.transaction import Transaction
from .calls import Telling, wrapped, wrapped_in_thread
from .durations import Counters, Durations, Histogram
from .library import Instruments
from .names import Form
from .observed import Watched

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

#: Calls that open and close, and are no operations on the store.
_LIFE: Final = frozenset({"connect", "disconnect"})

#: Objects that a backend returns, and which of their methods call the store; other methods call these.
_PARTS: Final[tuple[tuple[type[Any], str, tuple[str, ...]], ...]] = (
    (Log, "log", ("append", "trim", "trim_up_to", "take_in", "get", "read")),
    (Outbox, "outbox", ("put", "waiting", "set_aside", "retry", "drop")),
    (Lease, "lease", ("__aenter__", "__aexit__")),
    (Transaction, "transaction", ("get", "exists", "get_many", "scan", "__aexit__")),
)

_OURS: Final = __name__.rpartition(".telemetry")[0]


class Patches:
    """Wraps the methods of every class of backends that there is, or comes.

    Args:
        kinds: what may be told as kind of record.
        tracer_provider: None for the global one.
        meter_provider: None for the global one.
        adds_up: durations are added up here, and told as counters.
    """

    def __init__(
        self,
        kinds: frozenset[str],
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        *,
        adds_up: bool,
    ) -> None:
        """Wrap them."""
        watched = Watched()
        self._instruments = Instruments(tracer_provider, meter_provider)
        durations: Durations[Any] = Counters(self._instruments) if adds_up else Histogram(self._instruments)
        self._telling = Telling(self._instruments, durations, kinds, watched.add)
        self._before: list[tuple[type[Any], str, Any]] = []
        self._seen: set[type[Any]] = set()
        for cls in _family(StorageBackend):
            self._wrap_backend(cls)
        for part, group, names in _PARTS:
            self._wrap_part(part, group, names)
        self._wrap_those_to_come()
        watched.register(self._instruments)

    def undo(self) -> None:
        """Put every method back."""
        for cls, name, before in reversed(self._before):
            setattr(cls, name, before)
        self._before.clear()
        self._instruments.forget()

    def _wrap_backend(self, cls: type[Any]) -> None:
        if cls in self._seen:
            return
        self._seen.add(cls)
        for name, method in list(vars(cls).items()):
            if name == "_get_in_thread" and cls is not StorageBackend:
                self._replace(cls, name, wrapped_in_thread(method, Form(method), self._telling))
            elif _is_call(cls, name, method):
                self._replace(
                    cls, name, wrapped(method, Form(method), self._telling, is_alone=cls is DriverBackend)
                )

    def _wrap_part(self, part: type[Any], group: str, names: tuple[str, ...]) -> None:
        for cls in part.__mro__:
            for name in names:
                method = vars(cls).get(name)
                if inspect.iscoroutinefunction(method) and cls not in self._seen:
                    self._replace(cls, name, wrapped(method, Form(method, group), self._telling))

    def _wrap_those_to_come(self) -> None:
        made = StorageBackend.__init_subclass__.__func__  # type: ignore[attr-defined]

        def init_subclass(cls: type[Any], /, **named: Any) -> None:
            made(cls, **named)
            self._wrap_backend(cls)

        self._replace(StorageBackend, "__init_subclass__", classmethod(init_subclass))

    def _replace(self, cls: type[Any], name: str, method: Any) -> None:
        self._before.append((cls, name, vars(cls)[name]))
        setattr(cls, name, method)


def _family(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield the class with what it inherits from, and all its subclasses."""
    yield from (each for each in cls.__mro__ if each is not object)
    for child in cls.__subclasses__():
        yield from _family(child)


def _is_call(cls: type[Any], name: str, method: Callable[..., Any]) -> bool:
    """Tell whether a member of a class is a public call on a store; of somebody else's class, one that we have."""
    if name.startswith("_") or name in _LIFE or not inspect.iscoroutinefunction(method):
        return False
    if getattr(method, "__isabstractmethod__", False):
        return False
    return cls.__module__.startswith(_OURS) or hasattr(StorageBackend, name)
