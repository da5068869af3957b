"""Commits on their way to the server: many in one call, each judged by itself, and none waits for another's row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg

from ..driver.commit import Commit, Outcome
from ..driver.failures import LostError, NotSentError, NotStartedError
from ..errors import InvalidValueError
from . import statements as sql
from .aside import Aside
from .client import PostgresClient
from .commits import Packed, loads, lone_put, many_deletes, text_bytes

PATIENCE: Final = (
    0.05  #: seconds that an attempt to write waits for a connection before it goes back into the queue
)

_LOCK_WAIT = 0.1  #: seconds that a call waits for rows which other sessions hold
_MOST_BYTES = 512 * 1024 * 1024  #: of one commit; a message of PostgreSQL's protocol has at most 1 GiB

#: The server undid everything because of others; it may be tried again.
_TRANSIENT = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

#: Nothing that one commit could have to do with it: to try each by itself would only take longer.
_FOR_ALL = (
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)

#: What one commit has come to; a future, if it waits for a row.
Answer = Outcome | Exception | asyncio.Future[Outcome | Exception]


class Writer:
    """Sends commits.

    Args:
        client: of the server.
        most: connections at most.
        timeout: seconds that a call may take.
    """

    def __init__(self, client: PostgresClient, *, most: int, timeout: float) -> None:
        """Nothing waits yet."""
        self._client = client
        self._timeout = timeout
        self._lock_wait = min(_LOCK_WAIT, 0.02 * timeout)
        self._aside = Aside(self._send, most=most, timeout=timeout, short_wait=self._lock_wait)

    async def apply(self, commits: list[Commit]) -> Sequence[Answer]:
        """Apply each commit; see `Engine.apply`.

        Raises:
            NotStartedError: nothing was done with any of them.
        """
        if len(commits) == 1 and self._aside.is_empty:  # most often so, and without what a batch needs
            try:
                return await self._send(commits, self._lock_wait, PATIENCE)
            except Exception as error:
                batch = _Batch(commits)
                await self._refused(batch, [0], error)
                return batch.answers
        batch = _Batch(commits)
        for start, end in loads(commits):
            await self._apply(batch, range(start, end))
        return batch.answers

    async def drain(self) -> None:
        """Wait for the commits that wait for rows."""
        await self._aside.drain()

    async def _apply(self, batch: _Batch, part: Sequence[int]) -> None:
        """Apply a part of the batch in one call, or in more if it is refused."""
        if not self._aside.is_empty:
            part = [number for number in part if not self._set_aside(batch, number)]
        if not part or batch.is_given_up(part):
            return
        commits = [batch.commits[number] for number in part]
        try:
            batch.tell(part, await self._send(commits, self._lock_wait, None if batch.has_begun else PATIENCE))
        except Exception as error:
            await self._refused(batch, part, error)

    async def _refused(self, batch: _Batch, part: Sequence[int], error: Exception) -> None:
        """Find out what each commit of a part comes to whose call has failed."""
        if isinstance(error, InvalidValueError):  # one that is too large; nothing was begun
            batch.answers[part[0]] = error
        elif isinstance(error, asyncpg.LockNotAvailableError):
            await self._part_from_held(batch, part)
        elif isinstance(error, (NotStartedError, *_TRANSIENT)):
            if not batch.has_begun:
                raise as_not_started(error) from error
            batch.tell(part, [as_not_started(error)] * len(part))
        elif not isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
            batch.tell(part, [error] * len(part))
            batch.given_up = _of_the_rest(error)
        elif len(part) == 1 or isinstance(error, _FOR_ALL):
            batch.tell(part, [error] * len(part))
        else:
            await self._apply_halves(batch, part)

    def _set_aside(self, batch: _Batch, number: int) -> bool:
        """Let a commit wait by itself if it, or what came before it, needs a row that another session holds."""
        commit = batch.commits[number]
        if not self._aside.concerns(commit):
            return False
        batch.tell([number], [self._aside.add(commit)])
        return True

    async def _part_from_held(self, batch: _Batch, part: Sequence[int]) -> None:
        """Set aside what needs a row that another session holds, and apply the rest."""
        batch.has_begun = True
        keys = {key for number in part for key in batch.commits[number].keys}
        if held := keys if len(part) == 1 else await self._held(keys):
            self._aside.expect(held)
            await self._apply(batch, part)
        else:  # let go meanwhile, or a new row, which is seen by nobody yet
            await self._apply_halves(batch, part)

    async def _held(self, keys: set[str]) -> set[str]:
        with suppress(Exception):  # then it is found by halving, and what is wrong is told there
            return {row[0] for row in await self._client.read(sql.HELD, list(keys))}
        return set()

    async def _apply_halves(self, batch: _Batch, part: Sequence[int]) -> None:
        """Find what is refused by halving: the others need few calls."""
        batch.has_begun = True
        middle = len(part) // 2
        await self._apply(batch, part[:middle])
        await self._apply(batch, part[middle:])

    async def _send(self, commits: Sequence[Commit], lock_wait: float, patience: float | None) -> list[Outcome]:
        """Apply commits in one call; all of them or, if this raises, none."""
        deadline = None
        if len(commits) == 1:
            _check_size(commits[0])
            if (put := lone_put(commits[0])) is not None:
                statement = sql.waiting(sql.PUT_ONE, lock_wait)
                await self._client.write(statement, put.key, put.text.decode(), put.ttl_ms, patience=patience)
                return [[True]]
            if (keys := many_deletes(commits[0])) is not None:
                deadline = asyncio.get_running_loop().time() + self._timeout  # of both statements
                statement = sql.waiting(sql.DELETE_ALL, lock_wait)
                [(gone,)] = await self._client.write(statement, keys, patience=patience, deadline=deadline)
                if gone:
                    return [[True] * len(keys)]
        packed = Packed(commits)
        if packed.is_plain:
            await self._client.write(sql.waiting(sql.PUT, lock_wait), *packed.puts, patience=patience)
            return packed.outcomes((), ())
        statement = sql.waiting(sql.COMMIT, lock_wait)
        [(unmet, hits)] = await self._client.write(
            statement, *packed.arguments, patience=patience, deadline=deadline
        )
        return packed.outcomes(unmet, hits)


class _Batch:
    """Commits that were handed over together, and what has become of each.

    Attributes:
        has_begun: whether something was done with one of them, so that not all may be tried again.
        given_up: why the rest is not sent, if it is not.
    """

    def __init__(self, commits: list[Commit]) -> None:
        self.commits = commits
        self.answers: list[Answer] = [[] for _ in commits]
        self.has_begun = False
        self.given_up: Exception | None = None

    def tell(self, part: Sequence[int], answers: Sequence[Answer]) -> None:
        self.has_begun = True
        for number, answer in zip(part, answers, strict=True):
            self.answers[number] = answer

    def is_given_up(self, part: Sequence[int]) -> bool:
        if self.given_up is None:
            return False
        self.tell(part, [self.given_up] * len(part))
        return True


def _check_size(commit: Commit) -> None:
    if (size := text_bytes(commit)) > _MOST_BYTES:
        raise InvalidValueError(f"One commit has at most {_MOST_BYTES:,} bytes, this has {size:,}; split it")


def as_not_started(error: Exception) -> NotStartedError:
    """Return the failure for a commit that the server undid because of others."""
    if isinstance(error, NotStartedError):
        return error
    failure = NotStartedError(f"other sessions hold what it needs ({error}); end the long transaction among them")
    failure.__cause__ = error
    return failure


def _of_the_rest(error: Exception) -> NotSentError | None:
    """Return why what follows is not sent: no server answers, and each call would wait for that again."""
    if isinstance(error, NotSentError):
        return error
    if not isinstance(error, LostError) or not isinstance(error.__cause__, TimeoutError):
        return None
    failure = NotSentError(str(error))
    failure.__cause__ = error.__cause__
    return failure
