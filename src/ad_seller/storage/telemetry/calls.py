"""One span and one duration for each public call, told where it begins; what it calls itself is a part of it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final

from ..atomic.state import MEMORY, memory_of
from ..base import StorageBackend
from .durations import MOST_WAITING, Durations
from .library import Begun, Instruments
from .names import Form, kind_of_key

_BATCH_SIZE: Final = "db.operation.batch.size"  #: of the span only; as the conventions have it, not below 2
_ERROR: Final = "error.type"


class Told:
    """What is told of all calls of one operation on one kind of record.

    Args:
        name: of the span.
        attributes: of span and duration.
        durations: where the latter goes.
    """

    __slots__ = ("_durations", "_failed", "attributes", "durations", "name", "waiting")

    def __init__(self, name: str, attributes: dict[str, Any], durations: Durations[Any]) -> None:
        """Keep what need not be made for each call."""
        self.name = name
        self.attributes = attributes
        self.durations = durations.of(attributes)
        self.waiting = self.durations.waiting
        self._durations = durations
        self._failed: dict[str, Told] = {}

    def failed(self, error: str) -> Told:
        """Return what is told of those that failed with this class of error."""
        told = self._failed.get(error)
        if told is None:
            attributes = {**self.attributes, _ERROR: error}
            told = self._failed[error] = Told(self.name, attributes, self._durations)
        return told


def target_attributes(store: StorageBackend, key: str | None) -> dict[str, str | int]:
    """Return what says where calls of a backend go."""
    target = store._telemetry_target(key)
    named = {
        "db.system.name": target.system,
        "server.address": target.address,
        "server.port": target.port,
        "db.namespace": target.namespace,
    }
    return {name: value for name, value in named.items() if value is not None}


#: What is told of a call, or None if it is not; how many entries it is about; its arguments.
Looked = tuple[Told | None, int, tuple[Any, ...], dict[str, Any]]


class Known(dict[Form, dict[Any, Told]]):
    """What is told of one backend, by the form of the method and the kind of record.

    Where its keys live in several places it is by the place, too: a hybrid tells of the side on which a key lives.
    """

    def __init__(self, telling: Telling, store: StorageBackend) -> None:
        """Know nothing yet."""
        self.telling = telling
        self.is_routed = len(_engines(store)) > 1


class Telling:
    """What is told, to whom; at most one for a process.

    Args:
        instruments: of the library.
        durations: where these go.
        kinds: what may be told as kind of record.
        met: is called with a backend at its first call.
    """

    def __init__(
        self,
        instruments: Instruments,
        durations: Durations[Any],
        kinds: frozenset[str],
        met: Callable[[StorageBackend], None],
    ) -> None:
        """Be ready."""
        self._instruments = instruments
        #: Tells whether a span of a call that begins now may be recorded; None: nobody traces.
        self.may_be_recorded = instruments.may_be_recorded if instruments.traces else None
        self._durations = durations
        self.kinds = kinds
        self._met = met
        self._is_backend: dict[type[Any], bool] = {}

    def seeing(self, form: Form) -> Callable[[Any, tuple[Any, ...]], Told | None]:
        """Return what tells soon what is told of a call, by its backend and positional arguments.

        It is None for most that were not told before; then `look` at them.

        Args:
            form: of the method.
        """
        kinds, kind_of = self.kinds, form.kind_of

        def seen_of_key(owner: Any, args: tuple[Any, ...]) -> Told | None:
            try:
                kind = str.partition(args[0], ":")[0]
                known: dict[Any, Told] = owner.__dict__[MEMORY].told[form]
            except (LookupError, TypeError):
                return None
            return known.get(kind if kind in kinds else None)

        def seen(owner: Any, args: tuple[Any, ...]) -> Told | None:
            try:
                kind = kind_of(args)  # type: ignore[misc]  # it is not None
                known: dict[Any, Told] = owner.__dict__[MEMORY].told[form]
            except (LookupError, TypeError, ValueError):
                return None
            return known.get(kind if kind in kinds else None)

        if kind_of is None:
            return lambda owner, args: None
        return seen_of_key if kind_of is kind_of_key else seen  # the same, without one more call

    def look(self, form: Form, owner: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Looked:
        """Return what is told of a call, or None if it is not; its number of entries, and its arguments.

        Args:
            form: of the method.
            owner: a backend, or what has one as ``_store``.
            args: positional arguments.
            named: the others.
        """
        is_backend = self._is_backend.get(type(owner))
        if is_backend is None:  # asked once for a class: for abstract ones it costs as much as all the rest
            is_backend = self._is_backend[type(owner)] = isinstance(owner, StorageBackend)
        store: StorageBackend = owner if is_backend else owner._store
        if store is not owner and not form.is_told(owner, args):
            return None, 0, args, named
        kind, key, size, args, named = form.read(owner, args, named, self.kinds)
        known = memory_of(store).told
        if known is None or known.telling is not self:
            known = self._meet(store)
        about = (kind, store._telemetry_target(key)) if known.is_routed else kind
        of_kinds = known.setdefault(form, {})
        told = of_kinds.get(about)
        if told is None:
            told = of_kinds[about] = self._told_anew(store, form.operation, kind, key)
        return told, size, args, named

    def _told_anew(self, store: StorageBackend, operation: str, kind: str | None, key: str | None) -> Told:
        attributes: dict[str, Any] = {**target_attributes(store, key), "db.operation.name": operation}
        if kind is None:
            return Told(operation, attributes, self._durations)
        return Told(f"{operation} {kind}", {**attributes, "db.collection.name": kind}, self._durations)

    def begin_span(self, told: Told, size: int) -> Begun | None:
        """Begin the span of a call, which is the current one until its end."""
        attributes = told.attributes if size < 2 else {**told.attributes, _BATCH_SIZE: size}
        return self._instruments.begin_span(told.name, attributes)

    def end(self, told: Told, begun: Begun | None, seconds: float, error: BaseException | None = None) -> None:
        """Tell how long a call took, and what it failed with: the class, never the text, which names the key.

        Args:
            told: what is told of it.
            begun: its span.
            seconds: how long it took.
            error: with which it failed.
        """
        if begun is not None:
            self._instruments.detach(begun)
        if error is not None:
            if getattr(error, "begins_anew", False):
                return
            told = told.failed(type(error).__qualname__)
            if begun is not None:
                self._instruments.fail(begun[0], _ERROR, told.attributes[_ERROR])
        if begun is None:
            told.durations.add(seconds)
        else:
            begun[0].end()
            told.durations.now(seconds)

    def leave(self, begun: Begun | None) -> None:
        """Have a call not told that another one stands for."""
        if begun is not None:
            self._instruments.detach(begun)

    def _meet(self, store: StorageBackend) -> Known:
        """Forget what an earlier telemetry kept of a backend, and begin anew."""
        known = memory_of(store).told = Known(self, store)
        self._met(store)
        return known


def _engines(store: StorageBackend) -> list[object]:
    """Return the parts of a backend that stand on no other one."""
    return [
        part
        for part in store._atomic_parts()
        if not isinstance(part, StorageBackend) or len(part._atomic_parts()) == 1
    ]


#: One true item while a public call is told, and nothing when it has ended: a task that it began may see it still.
_current: ContextVar[list[bool]] = ContextVar("ad_seller_storage_call", default=[])  # noqa: B039  # stays empty


def wrapped(
    method: Callable[..., Awaitable[Any]], form: Form, telling: Telling, *, is_alone: bool = False
) -> Callable[..., Awaitable[Any]]:
    """Return an async method that tells of its calls, unless it is called by one that does.

    It is on the way of every call, and one that shares its batch takes nine microseconds in all: so it is one long
    function.

    Args:
        method: what is called.
        form: how its calls are told.
        telling: to whom.
        is_alone: it calls neither another public method nor anything of the caller's that could.
    """
    seen, wanted = telling.seeing(form), telling.may_be_recorded

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **named: Any) -> Any:
        if _current.get():
            return await method(self, *args, **named)
        told, size, begun, one = seen(self, args), 0, None, [True]
        if told is None:
            told, size, args, named = telling.look(form, self, args, named)
            if told is None:
                return await method(self, *args, **named)
        if not is_alone:
            _current.set(one)
        if wanted is not None and wanted():
            begun = telling.begin_span(told, size or form.size(args))
        began = perf_counter()
        try:
            result = await method(self, *args, **named)
        except GeneratorExit:  # closed from elsewhere, after its event loop
            raise
        except BaseException as error:
            one.clear()
            telling.end(told, begun, perf_counter() - began, error)
            raise
        seconds = perf_counter() - began
        one.clear()
        if begun is not None:
            telling.end(told, begun, seconds)
            return result
        told.waiting.append(seconds)
        if len(told.waiting) >= MOST_WAITING:
            told.durations.fold()
        return result

    return call


def wrapped_in_thread(method: Callable[..., Any], form: Form, telling: Telling) -> Callable[..., Any]:
    """Return the method by which a thread reads by itself, telling of what it could answer."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        if _current.get():
            return method(self, *args, **named)
        told, size, _, _ = telling.look(form, self, args, named)
        if told is None:
            return method(self, *args, **named)
        wanted = telling.may_be_recorded
        begun = telling.begin_span(told, size) if wanted is not None and wanted() else None
        began = perf_counter()
        try:
            found = method(self, *args, **named)
        except BaseException as error:
            telling.end(told, begun, perf_counter() - began, error)
            raise
        if found is None:
            telling.leave(begun)
        else:
            telling.end(told, begun, perf_counter() - began)
        return found

    return call
