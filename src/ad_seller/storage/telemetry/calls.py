"""One span and one duration for each public call, told where it begins; what it calls itself is a part of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from typing import Any, Final

from ..atomic.state import told_of
from ..base import StorageBackend
from .library import Instruments
from .names import Form

_BATCH_SIZE: Final = "db.operation.batch.size"  #: of the span only; as the conventions have it, not below 2
_ERROR: Final = "error.type"


class Call:
    """A public call that is under way."""

    __slots__ = ("_attributes", "_began", "_instruments", "_span", "_token", "ended")

    def __init__(self, instruments: Instruments, told: Told, size: int) -> None:
        """Begin now."""
        self.ended = False
        self._instruments = instruments
        self._attributes = told.attributes
        attributes = told.attributes if size < 2 else {**told.attributes, _BATCH_SIZE: size}
        self._span, self._token = instruments.begin_span(told.name, attributes)
        self._began = time.perf_counter()

    def end(self, error: BaseException | None = None) -> None:
        """Tell how long it took, and what it failed with: the class, never the text, which names the key."""
        elapsed = time.perf_counter() - self._began
        self.leave()
        attributes = self._attributes
        if error is not None:
            attributes = {**attributes, _ERROR: type(error).__qualname__}
            self._instruments.fail(self._span, _ERROR, attributes[_ERROR])
        self._span.end()
        self._instruments.duration.record(elapsed, attributes)

    def leave(self) -> None:
        """Be the current span no longer."""
        self.ended = True
        if self._token is not None:
            self._instruments.detach(self._token)


class Told:
    """What is told of all calls of one operation on one kind of record."""

    __slots__ = ("attributes", "name")

    def __init__(self, store: StorageBackend, operation: str, kind: str | None, key: str | None) -> None:
        """Make the name of the span, and the attributes of both."""
        self.attributes: dict[str, Any] = {**target_attributes(store, key), "db.operation.name": operation}
        self.name = operation
        if kind is not None:
            self.attributes["db.collection.name"] = kind
            self.name = f"{operation} {kind}"


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


class Telling:
    """What is told, to whom; at most one for a process.

    Args:
        instruments: of the library.
        kinds: what may be told as kind of record.
        met: is called with a backend at its first call.
    """

    def __init__(
        self, instruments: Instruments, kinds: frozenset[str], met: Callable[[StorageBackend], None]
    ) -> None:
        """Be ready."""
        self._instruments = instruments
        self._kinds = kinds
        self._met = met
        self._is_backend: dict[type[Any], bool] = {}

    def begin(
        self, form: Form, owner: Any, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[Call | None, tuple[Any, ...], dict[str, Any]]:
        """Return the call that begins, or None if it is not told, and its arguments.

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
            return None, args, named
        kind, key, size, args, named = form.read(owner, args, named, self._kinds)
        cache = told_of(store)
        is_routed = cache.get(self)
        if is_routed is None:
            is_routed = self._meet(store, cache)
        # A hybrid tells of the side on which the key lives.
        told_as = (form.operation, kind, store._telemetry_target(key) if is_routed and key else None)
        told = cache.get(told_as)
        if told is None:
            told = cache[told_as] = Told(store, form.operation, kind, key)
        return Call(self._instruments, told, size), args, named

    def _meet(self, store: StorageBackend, cache: dict[Any, Any]) -> bool:
        """Forget what an earlier telemetry kept of a backend; return whether its keys live in several places."""
        cache.clear()
        cache[self] = is_routed = len(store._atomic_parts()) > 1
        self._met(store)
        return is_routed


_current: ContextVar[Call | None] = ContextVar("ad_seller_storage_call", default=None)


def wrapped(method: Callable[..., Awaitable[Any]], form: Form, telling: Telling) -> Callable[..., Awaitable[Any]]:
    """Return an async method that tells of its calls, unless it is called by one that does."""

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **named: Any) -> Any:
        outer = _current.get()
        if outer is not None and not outer.ended:  # an ended one: of a task that it had begun
            return await method(self, *args, **named)
        begun, args, named = telling.begin(form, self, args, named)
        if begun is None:
            return await method(self, *args, **named)
        token = _current.set(begun)
        try:
            result = await method(self, *args, **named)
        except GeneratorExit:  # closed from elsewhere, after its event loop
            raise
        except BaseException as error:
            _end(begun, token, error)
            raise
        _end(begun, token, None)
        return result

    return call


def wrapped_in_thread(method: Callable[..., Any], form: Form, telling: Telling) -> Callable[..., Any]:
    """Return the method by which a thread reads by itself, telling of what it could answer."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        outer = _current.get()
        if outer is not None and not outer.ended:
            return method(self, *args, **named)
        begun, _, _ = telling.begin(form, self, args, named)
        if begun is None:
            return method(self, *args, **named)
        try:
            found = method(self, *args, **named)
        except BaseException as error:
            begun.end(error)
            raise
        if found is None:
            begun.leave()
        else:
            begun.end()
        return found

    return call


def _end(begun: Call, token: Token[Call | None], error: BaseException | None) -> None:
    _current.reset(token)
    if getattr(error, "begins_anew", False):
        begun.leave()
    else:
        begun.end(error)
