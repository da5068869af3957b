"""The atomic tools, each a few lines on top of snapshot and commit.

Expectations compare the stored text as it was read. So no version column is needed, and entries that an older
seller agent wrote take part.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

from . import process
from .codec import canonical, decode, encode
from .commit import KEEP, Commit, Delete, Expect, Keep, Marker, Outcome, Put, Refused, Touch, Write
from .errors import ConflictError, InvalidArgumentError
from .expiry import TTL, check_ttl
from .keys import check_key

#: Tries of `update` before it gives up. Tasks of one process take turns, so only other processes can make
#: it try again.
DEFAULT_ATTEMPTS = 50

Change = Callable[[Any], Any]


class AtomicOperations:
    """Read, change and write without losing what others write; mixed into every backend."""

    async def _snapshot(self, keys: Sequence[str]) -> list[bytes | None]:
        raise NotImplementedError

    async def _commit(self, commit: Commit) -> Outcome:
        raise NotImplementedError

    def _encode(self, value: Any, key: str) -> bytes:
        return encode(value, key=key)

    async def _touch(self, key: str, ttl_ms: int | None) -> bool:
        outcome = await self._commit(Commit((), (Touch(key, ttl_ms),)))
        return not isinstance(outcome, Refused) and outcome[0]

    async def _commits(self, expect: Expect, write: Write) -> bool:
        return not isinstance(await self._commit(Commit((expect,), (write,))), Refused)

    async def create(self, key: str, value: Any, ttl: TTL | None = None) -> bool:
        """Store ``value`` only if there is no entry under ``key``; tell whether it was stored.

        Args:
            key: the key.
            value: a JSON value.
            ttl: seconds until it expires; None for never.
        """
        key = check_key(key)
        put = Put(key, self._encode(value, key), check_ttl(ttl, key=key))
        return await self._commits(Expect(key, None), put)

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: TTL | Keep | None = KEEP) -> bool:
        """Store ``value`` only if the entry holds ``expected`` at that moment; tell whether it was stored.

        Args:
            key: the key.
            expected: the value that must be there, with its types (1 is neither 1.0 nor True; the order of
                dict keys does not count). Use `create` to expect that there is none.
            value: a JSON value.
            ttl: seconds until it expires, None for never; the entry's expiry is kept if not given.
        """
        key = check_key(key)
        put = Put(key, self._encode(value, key), ttl if ttl is KEEP else check_ttl(ttl, key=key))
        wanted = canonical(decode(self._encode(expected, key)))
        while True:
            [text] = await self._snapshot([key])
            if text is None or canonical(decode(text, key=key)) != wanted:
                return False
            if await self._commits(Expect(key, text), put):
                return True

    async def get_and_delete(self, key: str) -> Any | None:
        """Remove the entry and return the value that it had, or None; of several callers one gets it."""
        key = check_key(key)
        while True:
            [text] = await self._snapshot([key])
            if text is None:
                return None
            value = decode(text, key=key)
            if await self._commits(Expect(key, text), Delete(key)):
                return value

    async def increment(self, key: str, by: int = 1, ttl: TTL | None = None) -> int:
        """Add ``by`` to the int under ``key``, starting from 0, and return the sum.

        Args:
            key: the key of the counter.
            by: what is added; may be negative.
            ttl: seconds until the counter expires, set when it is created and kept afterwards, so that it can
                count per time window; None for never.

        Raises:
            InvalidArgumentError: ``by`` is no int, or the entry holds something else than an int.
        """
        if not isinstance(by, int) or isinstance(by, bool):
            raise InvalidArgumentError(f"A counter is incremented by an int, not {by!r:.60}", key=key)

        def add(current: Any) -> int:
            if current is not None and type(current) is not int:
                raise InvalidArgumentError(
                    f"{key!r} holds {type(current).__name__}, not an int; it cannot be incremented", key=key
                )
            return (current or 0) + by

        total: int = await self._update(key, add, ttl=KEEP, created_ttl=check_ttl(ttl, key=key))
        return total

    async def update(
        self, key: str, change: Change, *, ttl: TTL | Keep | None = KEEP, attempts: int = DEFAULT_ATTEMPTS
    ) -> Any:
        """Replace the value under ``key`` by ``change(value)`` and return the new one; nothing is lost.

        ``change`` may run several times, so it should do nothing else than compute. Tasks of one process take
        turns in the order of their calls; if another process was faster, the new value is read and ``change``
        runs again.

        Args:
            key: the key.
            change: a plain function from the current value (None if there is none) to the new one, or to
                `DELETE` or `LEAVE`.
            ttl: seconds until it expires, None for never; the entry's expiry is kept if not given.
            attempts: how often at most.

        Returns:
            The new value; None after `DELETE`; the current value after `LEAVE`.

        Raises:
            ConflictError: other processes were faster each time; nothing was written.
        """
        ttl_ms = ttl if ttl is KEEP else check_ttl(ttl, key=key)
        if not isinstance(attempts, int) or attempts < 1:
            raise InvalidArgumentError(f"attempts is a positive int, not {attempts!r:.60}", key=key)
        return await self._update(key, change, ttl=ttl_ms, created_ttl=None, attempts=attempts)

    async def _update(
        self,
        key: str,
        change: Change,
        *,
        ttl: int | Keep | None,
        created_ttl: int | None,
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Any:
        key = check_key(key)
        async with process.state_of(self).turns.hold(key):
            for attempt in range(attempts):
                [text] = await self._snapshot([key])
                current = None if text is None else decode(text, key=key)
                value = _changed(change, current, key)
                if value is Marker.LEAVE or (value is Marker.DELETE and text is None):
                    return current if text is not None else None
                write: Write = Delete(key)
                if value is not Marker.DELETE:
                    kept = created_ttl if text is None and ttl is KEEP else ttl
                    write = Put(key, self._encode(value, key), kept)
                if await self._commits(Expect(key, text), write):
                    return None if value is Marker.DELETE else value
                await backoff(attempt)
        raise ConflictError(
            f"{key!r} was changed by others {attempts} times in a row; nothing was written. Try again later.",
            key=key,
        )


def _changed(change: Change, current: Any, key: str) -> Any:
    value = change(current)
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise InvalidArgumentError(
            f"The change for {key!r} must be a plain function; for awaiting use transact()", key=key
        )
    return value


async def backoff(attempt: int) -> None:
    """Sleep a random time that grows with each attempt, at most 50 ms ("full jitter")."""
    await asyncio.sleep(random.uniform(0, min(0.05, 0.001 * 2 ** min(attempt, 10))))  # noqa: S311
