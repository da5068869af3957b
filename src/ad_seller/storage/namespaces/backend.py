"""A backend that shows the entries of one namespace of another backend, and nothing else.

Each key that goes in gets the namespace's prefix, each key that comes out loses it. Only what a backend does by
itself is passed on: the seven methods, their bulk forms, and the primitive under the atomic tools. All the others
(records, transactions, leases, logs, outboxes, searches) stand on those: in the namespace, and as atomic as the
backend is.
"""

from __future__ import annotations

import copy
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from ..base import StorageBackend
from ..capabilities import Capabilities
from ..driver.commit import Commit, Put
from ..driver.engine import WOULD_BLOCK
from ..driver.query import scan_query
from ..errors import ConfigurationError, NotConnectedError, StorageError, shown
from ..health import Health
from ..records.codec import decode
from ..records.expiry import TTL, check_ttl
from ..records.globs import compile_glob
from ..records.keys import check_key, check_keys, copied, encode_cursor
from ..records.namespaces import SURE, check_length, namespace_prefix
from ..records.pages import OnCorrupt, Page
from ..runtime.listing import decode_all
from ..runtime.template import DriverBackend, read_in_bulk
from ..stats import Stats
from .hooks import NamespaceHooks
from .names import Names
from .sharing import close_for, open_for


class NamespacedBackend(NamespaceHooks):
    """The entries of one namespace of a store that others use, too.

    Any number of namespaces can stand on one backend, connected or not: it is opened with the first of them and
    closed with the last. A backend that was open before stays open.

    Args:
        backend: where the entries are; any backend.
        namespace: its name, e.g. of a publisher: text without control characters, of at most 256 bytes as it is
            written in keys.
    """

    def __init__(self, backend: StorageBackend, namespace: str) -> None:
        """Check the arguments; nothing is opened yet."""
        if not isinstance(backend, StorageBackend):
            raise ConfigurationError(f"A namespace is one of a StorageBackend, not of {shown(backend)}")
        self.backend = backend
        self._prefix = namespace_prefix(namespace)
        self._names = Names(self._prefix)
        self._most = SURE - len(self._prefix)
        self.namespace = str(namespace)
        parts = [part for part in backend._atomic_parts() if isinstance(part, StorageBackend)]
        self._is_plain = any(type(part)._atomic_commit is StorageBackend._atomic_commit for part in parts)
        #: The backend, if it is ours and gets and sets as ours do: it is asked behind its `get` and `set`.
        self._ours = backend if isinstance(backend, DriverBackend) and _gets_and_sets_as_ours(backend) else None
        self._is_open = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, with a copy of the backend: neither is connected."""
        return {"backend": copy.copy(self.backend), "namespace": self.namespace}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings."""
        NamespacedBackend.__init__(self, **state)

    def __repr__(self) -> str:
        """Return the backend and the name."""
        return f"NamespacedBackend({self.backend!r}, {self.namespace!r})"

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may take; None if the backend has no limit."""
        limit: float | None = getattr(self.backend, "timeout", None)
        return limit

    @property
    def capabilities(self) -> Capabilities:
        """What the backend promises, for keys of the length that the namespace leaves."""
        promised = self.backend.capabilities
        return replace(promised, max_key_bytes=promised.max_key_bytes - len(self._prefix))

    async def health(self) -> Health:
        """See `StorageBackend.health`; that of the backend."""
        self._atomic_check()
        return await self.backend.health()

    def stats(self) -> Stats:
        """See `StorageBackend.stats`; with all that the backend has counted, also for others."""
        return super().stats() + self.backend.stats()

    def _as_found(self) -> Self:
        found = copy.copy(self)
        found.__setstate__({"backend": self.backend._as_found(), "namespace": self.namespace})
        return found

    # --- life cycle ------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the backend; harmless if it is open."""
        await open_for(self, self.backend)
        self._is_open = True

    async def disconnect(self) -> None:
        """Close the backend, unless another namespace uses it, or it was open before any of them."""
        self._is_open = False
        await close_for(self, self.backend)

    # --- one entry -------------------------------------------------------------------------------------

    async def get(self, key: str) -> Any | None:
        """See `StorageBackend.get`."""
        full = self._prefix + check_key(key)  # as `_full` does
        if len(full) > SURE:
            check_length(full, key)
        if not self._is_open:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        ours = self._ours
        try:
            if ours is None:
                return await self.backend.get(full)
            session = ours._sessions.here() or await ours._sessions.join()  # as in `DriverBackend.get`
            text = session.engine.read_nowait(full) if session.is_idle else WOULD_BLOCK
            if text is WOULD_BLOCK:
                [text] = await read_in_bulk(session, [full])
            else:
                session.read_at_once += 1
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__
        return None if text is None else decode(text, key=key)

    def _get_in_thread(self, key: str, loop: AbstractEventLoop) -> tuple[Any] | None:
        full = self._full(key)
        try:
            return self.backend._get_in_thread(full, loop)
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """See `StorageBackend.set`."""
        full = self._full(key)
        try:
            if self._ours is None:
                await self.backend.set(full, value, ttl)
                return
            put = Put(full, self.backend._atomic_encode(value, key), check_ttl(ttl, key=key))
            await self.backend._atomic_commit(Commit((), (put,)))
        except StorageError as error:
            raise self._names.seen(error) from error.__cause__

    async def delete(self, key: str) -> bool:
        """See `StorageBackend.delete`."""
        full = self._full(key)
        return await self._asked(self.backend.delete(full))

    async def exists(self, key: str) -> bool:
        """See `StorageBackend.exists`."""
        full = self._full(key)
        return await self._asked(self.backend.exists(full))

    async def ttl(self, key: str) -> float | None:
        """See `StorageBackend.ttl`."""
        full = self._full(key)
        return await self._asked(self.backend.ttl(full))

    # --- several entries at once -----------------------------------------------------------------------

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        """See `StorageBackend.get_many`."""
        names, wanted = self._names, check_keys(keys)
        full = self._all_full(wanted)
        if self._is_plain:
            values = await self._asked(self.backend.get_many(full, on_corrupt=names.told(on_corrupt)))
            return dict(names.local_items(values.items()))
        texts = await self._asked(
            self.backend._atomic_snapshot(full)
        )  # the keys are checked, they need not be again
        found = [(key, text) for key, text in zip(wanted, texts, strict=True) if text is not None]
        return dict(await decode_all(found, on_corrupt))

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        """See `StorageBackend.set_many`."""
        full = {self._full(key): value for key, value in copied(mapping).items()}
        await self._asked(self.backend.set_many(full, ttl))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """See `StorageBackend.delete_many`."""
        full = self._all_full(check_keys(keys))
        return await self._asked(self.backend.delete_many(full))

    # --- listings --------------------------------------------------------------------------------------

    async def keys(self, pattern: str = "*") -> list[str]:
        """See `StorageBackend.keys`."""
        compile_glob(pattern)  # so that a message is about what the caller gave
        found = await self._keys_below("", str.__str__(pattern))
        if found and not found[0]:  # of somebody who wrote past the namespace: it has no name here
            del found[0]
        return found

    async def count(self, pattern: str = "*") -> int:
        """See `StorageBackend.count`."""
        compile_glob(pattern)  # so that a message is about what the caller gave
        return await self._count_below("", str.__str__(pattern))

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        """See `StorageBackend.scan`; a cursor is a key of this namespace, whatever the backend's own are."""
        query = scan_query(pattern, limit, cursor, reverse=reverse)
        items, last = await self._entry_search(query, on_corrupt)
        return Page(items, None if last is None else encode_cursor(last))


def _gets_and_sets_as_ours(backend: DriverBackend) -> bool:
    cls = type(backend)
    return cls.get is DriverBackend.get and cls.set is DriverBackend.set
