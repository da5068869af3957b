"""The transaction of a seller: reads and writes by key, and every helper of a kind of record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..atomic.transaction import PlainTransaction
from ..records.expiry import TTL, check_ttl
from .entities import EntityHelpers
from .host import Host
from .indexes import IndexHelpers
from .lifecycle import LifecycleHelpers
from .log_entries import LogForm, TransactionLog
from .outbox_entries import OutboxForm, TransactionOutbox


class Transaction(PlainTransaction, EntityHelpers, IndexHelpers, LifecycleHelpers):
    """A `PlainTransaction` with every helper of a kind of record, such as ``tx.set_order``."""

    def log(self, name: str, by: Iterable[str] = (), *, retention: TTL | None = None) -> TransactionLog:
        """Return the log called ``name``, to append to it in this transaction; see `StorageBackend.log`."""
        return TransactionLog(self, LogForm.of(name, by), check_ttl(retention))

    def outbox(self, name: str) -> TransactionOutbox:
        """Return the outbox called ``name``, to put messages in at the end; see `StorageBackend.outbox`."""
        return TransactionOutbox(self, OutboxForm.of(name))

    async def _in_transaction(self, work: Callable[[Host], Awaitable[Any]]) -> Any:
        return await work(self)

    async def _is_stored(self, key: str) -> bool:
        """Tell whether the key is written here: what is not, a commit of one slot of a cluster must not need."""
        return key in self._writes and self._known(key) is not None

    async def _missing(self, keys: list[str]) -> frozenset[str]:
        """Look without watching: a session that changes meanwhile is no conflict."""
        here = {key for key in keys if key in self._writes and self._known(key) is not None}
        others = [key for key in keys if key not in self._writes]
        there = await asyncio.gather(*(self._store.exists(key) for key in others))
        return frozenset(keys) - here - {key for key, exists in zip(others, there, strict=True) if exists}
