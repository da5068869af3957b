"""The template that our backends share.

An engine moves encoded records in bulk; this class does everything else once: checks, encoding, batching, error
mapping; `connected` opens and closes. A backend says which engine, and overrides no public method.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from ..atomic.beside import warn_if_inside
from ..atomic.confirm import changed_since, is_confirmed
from ..concurrency.timeslice import TimeSlice
from ..concurrency.wakeups import WAITING, tell
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Write
from ..driver.engine import MISSING, NO_EXPIRY, WOULD_BLOCK
from ..driver.followed import stored_keys
from ..driver.query import KeyQuery, scan_query
from ..driver.transfer import StoredEntry
from ..errors import MissingKeyError, StorageError
from ..records.codec import decode, encode
from ..records.expiry import TTL, check_ttl
from ..records.globs import compile_glob, prefix_glob
from ..records.keys import check_key, check_keys, copied, encode_cursor
from ..records.pages import OnCorrupt, Page
from .connected import ConnectedBackend
from .listing import decode_all
from .session import Session


class DriverBackend(ConnectedBackend):
    """A backend that is an engine for each event loop; the settings are those of `ConnectedBackend`."""

    # --- the seven, and the bulk forms -----------------------------------------------------------------

    async def get(self, key: str) -> Any | None:
        key = check_key(key)
        session = self._sessions.here() or await self._sessions.join()
        text = session.engine.read_nowait(key) if session.is_idle else WOULD_BLOCK
        if text is WOULD_BLOCK:
            [text] = await read_in_bulk(session, [key])
        else:
            session.read_at_once += 1
        return None if text is None else decode(text, key=key)

    def _get_in_thread(self, key: str, loop: AbstractEventLoop) -> tuple[Any] | None:
        if type(self).get is not DriverBackend.get:
            return None  # a subclass has its own
        key = check_key(key)
        session = self._sessions.of(loop)
        text = WOULD_BLOCK if session is None else session.engine.read_in_thread(key)
        if text is WOULD_BLOCK:
            return None
        return (None if text is None else decode(text, key=key),)

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        key = check_key(key)
        put = Put(key, self._atomic_encode(value, key), check_ttl(ttl, key=key))
        await self._atomic_commit(Commit((), (put,)))

    async def delete(self, key: str) -> bool:
        key = check_key(key)
        while True:
            outcome = await self._atomic_commit(Commit((), (Delete(key),)))
            if not isinstance(outcome, Refused) and outcome[0]:
                return True
            if await is_confirmed(self, key, None):
                return False

    async def exists(self, key: str) -> bool:
        return await self._left(check_key(key)) != MISSING

    async def keys(self, pattern: str = "*") -> list[str]:
        glob = compile_glob(pattern)
        with self._guarded(self._sessions.here() or await self._sessions.join(), "list", pattern) as session:
            return await session.engine.keys(KeyQuery(glob))

    async def _keys_below(self, prefix: str, pattern: str) -> list[str]:
        glob = compile_glob(prefix + pattern)
        with self._guarded(
            self._sessions.here() or await self._sessions.join(), "list", prefix + pattern
        ) as session:
            return await session.engine.keys_below(KeyQuery(glob), prefix)

    async def count(self, pattern: str = "*") -> int:
        glob = compile_glob(pattern)
        with self._guarded(self._sessions.here() or await self._sessions.join(), "list", pattern) as session:
            return await session.engine.count(KeyQuery(glob))

    async def _count_below(self, prefix: str, pattern: str) -> int:
        glob = compile_glob(prefix + pattern)
        with self._guarded(
            self._sessions.here() or await self._sessions.join(), "list", prefix + pattern
        ) as session:
            return await session.engine.count(KeyQuery(glob, after=prefix))

    async def get_many(self, keys: Iterable[str], *, on_corrupt: OnCorrupt = None) -> dict[str, Any]:
        wanted = check_keys(keys)
        await self._here()
        texts = await self._atomic_snapshot(wanted) if wanted else []
        found = [(key, text) for key, text in zip(wanted, texts, strict=True) if text is not None]
        return dict(await decode_all(found, on_corrupt))

    async def set_many(self, mapping: Mapping[str, Any], ttl: TTL | None = None) -> None:
        ttl_ms = check_ttl(ttl)
        pace = TimeSlice()
        puts: list[Put] = []
        for key, value in copied(mapping).items():
            key = check_key(key)
            puts.append(Put(key, self._atomic_encode(value, key), ttl_ms))
            await pace.checkpoint()
        await self._commit_batch(puts)

    async def delete_many(self, keys: Iterable[str]) -> int:
        left, removed = check_keys(keys), 0
        while True:
            existed = await self._commit_batch([Delete(key) for key in left])
            removed += sum(existed)
            missing = [key for key, was_there in zip(left, existed, strict=True) if not was_there]
            if await changed_since(self, dict.fromkeys(missing)) is None:
                return removed
            left = missing

    async def _commit_batch(self, writes: Sequence[Write]) -> list[bool]:
        """Apply the writes as one commit, or as one each where the engine cannot keep them together."""
        session = await self._here()
        if not writes:
            return []
        warn_if_inside(self)
        commits = [Commit((), (write,)) for write in writes]
        if self.capabilities.atomic_batches:
            commits = [Commit((), tuple(writes))]
        results: list[bool] = []
        for commit, outcome in zip(commits, await session.commits.submit(commits), strict=True):
            if isinstance(outcome, Exception):
                raise session.errors.map("write", commit.first_key, outcome, writes=True) from outcome
            results += [] if isinstance(outcome, Refused) else outcome
        if WAITING:
            tell(write.key for write in writes)
        return results

    async def scan(
        self,
        pattern: str = "*",
        *,
        limit: int | None = None,
        cursor: str | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> Page:
        query = scan_query(pattern, limit, cursor, reverse=reverse)
        items, last = await self._entry_search(query, on_corrupt)
        return Page(items, None if last is None else encode_cursor(last))

    async def _entry_search(
        self, query: KeyQuery, on_corrupt: OnCorrupt, cut: int = 0
    ) -> tuple[list[tuple[str, Any]], str | None]:
        limit = query.limit
        with self._guarded(
            self._sessions.here() or await self._sessions.join(), "list", f"{query.glob.prefix}*"
        ) as session:
            rows = await session.engine.entries(query if limit is None else query.up_to(limit + 1))
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        items = await decode_all(rows, on_corrupt, query.where, cut)
        return items, rows[-1][0] if more else None

    async def ttl(self, key: str) -> float | None:
        left = await self._left(check_key(key))
        if left == MISSING:
            raise MissingKeyError(f"There is no entry under {key!r}", key=key)
        return None if left == NO_EXPIRY else left / 1000

    async def _left(self, key: str) -> int:
        session = await self._here()
        [left] = await session.expiries.submit([key])
        if isinstance(left, Exception):
            raise session.errors.map("read", key, left) from left
        return left

    # --- whole stores ----------------------------------------------------------------------------------

    _deadline_slack = 20  # what the contract allows an entry to live on

    async def _entry_pages(self, prefix: str, after: str | None = None) -> AsyncIterator[list[StoredEntry]]:
        if not (await self._here()).engine.transfers:
            async for page in super()._entry_pages(prefix, after):
                yield page
            return
        while True:
            with self._guarded(
                self._sessions.here() or await self._sessions.join(), "list", f"{prefix}*"
            ) as session:
                page = await session.engine.page(prefix, after)
            if not page:
                return
            yield page
            after = page[-1].key

    async def _entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        if not (await self._here()).engine.transfers:
            return await super()._entries_at(keys)
        if not keys:
            return []
        with self._guarded(self._sessions.here() or await self._sessions.join(), "read", keys[0]) as session:
            return await session.engine.entries_at(keys)

    async def _entry_estimate(self, prefix: str) -> int | None:
        with self._guarded(self._sessions.here() or await self._sessions.join(), "list", f"{prefix}*") as session:
            return await session.engine.estimate(KeyQuery(prefix_glob(prefix)))

    async def _store_entries(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
    ) -> Sequence[bool | StorageError]:
        if not (await self._here()).engine.transfers:
            return await super()._store_entries(entries, expected)
        if not entries:
            return []
        with self._guarded(
            self._sessions.here() or await self._sessions.join(), "write", entries[0].key, writes=True
        ) as session:
            stored = await session.engine.store(entries, expected)
        if WAITING:
            tell(entry.key for entry in entries)
        return stored

    # --- what the atomic tools stand on ----------------------------------------------------------------

    async def _atomic_snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        session = self._sessions.here() or await self._sessions.join()
        if len(keys) == 1 and session.is_idle:
            now = session.engine.read_nowait(keys[0])
            if now is not WOULD_BLOCK:
                session.read_at_once += 1
                return [now]
        return await read_in_bulk(session, keys)

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        warn_if_inside(self)
        session = self._sessions.here() or await self._sessions.join()
        [outcome] = await session.commits.submit([commit])
        if isinstance(outcome, Exception):
            raise session.errors.map("write", commit.first_key, outcome, writes=True) from outcome
        if WAITING:
            tell(stored_keys(commit))
        return outcome

    def _atomic_check(self) -> None:
        self._sessions.here()

    def _atomic_encode(self, value: Any, key: str) -> bytes:
        return encode(value, key=key, max_bytes=self._max_value_bytes)


async def read_in_bulk(session: Session, keys: Sequence[str]) -> list[bytes | None]:
    """Return the texts under ``keys``, which share a bulk call with what others read now."""
    texts: list[bytes | None] = []
    for key, text in zip(keys, await session.reads.submit(keys), strict=True):
        if isinstance(text, Exception):
            raise session.errors.map("read", key, text) from text
        texts.append(text)
    return texts
