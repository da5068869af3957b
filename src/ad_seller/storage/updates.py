"""Changes of one entry: nothing is lost, and those that wait at the same time share a commit.

The first caller reads, changes and commits in its own task. Callers that come meanwhile stand in line; when the
first is done, a task takes all of them, applies their changes one after the other to what is stored and commits
once. So a hot key costs a commit for each round, not for each change, and among the tasks of one process no
change is ever made in vain.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from . import process
from .codec import decode
from .commit import KEEP, Commit, Delete, Expect, Keep, Marker, Put, Refused, Write
from .errors import ConflictError, StorageError, StorageTimeoutError, UnknownOutcomeError
from .keys import check_key
from .pace import Pace
from .store import Store
from .waiting import DEFAULT_ATTEMPTS, backoff

Change = Callable[[Any], Any]


class Wish:
    """One change that is wanted, and the rules for the expiry.

    Attributes:
        change: the caller's function.
        ttl: milliseconds, None for no expiry, or `KEEP`.
        created_ttl: the same for an entry that is new while ``ttl`` is `KEEP`.
        attempts: how often it may be tried.
    """

    __slots__ = ("attempts", "change", "context", "created_ttl", "future", "sent", "ttl")

    def __init__(self, change: Change, ttl: int | Keep | None, created_ttl: int | None, attempts: int) -> None:
        """Keep what is wanted."""
        self.change = change
        self.ttl = ttl
        self.created_ttl = created_ttl
        self.attempts = attempts
        self.context: Context | None = None
        self.future: asyncio.Future[Any] | None = None
        self.sent = False

    def stand_in_line(self) -> asyncio.Future[Any]:
        """Return the future that gets the result; the change will run in the caller's context."""
        self.context = copy_context()
        self.future = asyncio.get_running_loop().create_future()
        return self.future


class Draft:
    """The entry as it was read, and what has been made of it."""

    __slots__ = ("_read", "_text", "_ttl", "changed", "key")

    def __init__(self, key: str, text: bytes | None) -> None:
        """Begin with what is stored."""
        self.key = key
        self._read = self._text = text
        self._ttl: int | Keep | None = KEEP
        self.changed = False

    def apply(self, store: Store, wish: Wish) -> Any:
        """Make a change and return what its caller gets."""
        current = None if self._text is None else decode(self._text, key=self.key)
        value = process.changed(wish.change, current, self.key)
        if value is Marker.LEAVE or (value is Marker.DELETE and self._text is None):
            return current
        if value is Marker.DELETE:
            self._text = None
        else:
            text = store._atomic_encode(value, self.key)
            if wish.ttl is not KEEP:
                self._ttl = wish.ttl
            elif self._text is None:
                self._ttl = wish.created_ttl
            self._text = text
        self.changed = True
        return None if value is Marker.DELETE else value

    async def commit(self, store: Store) -> bool:
        """Store what has been made, if the entry is still as it was read."""
        if not self.changed:
            return True
        write: Write = Delete(self.key) if self._text is None else Put(self.key, self._text, self._ttl)
        outcome = await store._atomic_commit(Commit((Expect(self.key, self._read),), (write,)))
        return not isinstance(outcome, Refused)


async def update_entry(
    store: Store,
    key: str,
    change: Change,
    *,
    ttl: int | Keep | None,
    created_ttl: int | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
) -> Any:
    """Do what `StorageBackend.update` says; ``created_ttl`` is for an entry that is new while ``ttl`` is `KEEP`."""
    key = check_key(key)
    store._atomic_check()  # before the lines: another event loop must not take them over
    wish = Wish(change, ttl, created_ttl, attempts)
    lines = process.state_of(store).lines
    line = lines.get(key)
    if line is not None:
        future = wish.stand_in_line()
        line.append(wish)
        return await _wait(store, key, wish, future)
    lines[key] = []
    try:
        for attempt in range(attempts):
            [text] = await store._atomic_snapshot([key])
            draft = Draft(key, text)
            result = draft.apply(store, wish)
            if await draft.commit(store):
                return result
            await backoff(attempt)
        raise _overtaken(key)
    finally:
        if lines[key]:
            _serve_later(store, key, lines)
        else:
            del lines[key]


def _serve_later(store: Store, key: str, lines: dict[str, list[Wish]]) -> None:
    """Serve those who have come meanwhile, in a task: the one that was served first may be cancelled."""
    state = process.state_of(store)
    task = asyncio.get_running_loop().create_task(_serve(store, key, lines))
    state.tasks.add(task)
    task.add_done_callback(state.tasks.discard)


async def _serve(store: Store, key: str, lines: dict[str, list[Wish]]) -> None:
    line = lines[key]
    batch: list[Wish] = []
    try:
        while line:
            batch = list(line)
            line.clear()
            await _together(store, key, batch)
    finally:  # also if the event loop ends
        for wish in (*batch, *line):
            assert wish.future is not None, "stands in line"  # noqa: S101
            wish.future.cancel()
        del lines[key]


async def _together(store: Store, key: str, batch: list[Wish]) -> None:
    """Apply the changes of a batch and commit them, until that goes through."""
    attempt = 0
    while batch := [wish for wish in batch if wish.future is not None and not wish.future.done()]:
        try:
            [text] = await store._atomic_snapshot([key])
            draft = Draft(key, text)
            answers = await _apply_all(store, draft, batch)
            done = await draft.commit(store)
        except Exception as error:  # a time-out, an outcome that is unknown: it is everyone's
            for wish in batch:
                _answer(wish, copy.copy(error))
            return
        if done:
            for wish, answer in answers:
                _answer(wish, answer)
            return
        for wish in batch:
            wish.sent = False
            wish.attempts -= 1
            if wish.attempts <= 0:
                _answer(wish, _overtaken(key))
        await backoff(attempt)
        attempt += 1


async def _apply_all(store: Store, draft: Draft, batch: list[Wish]) -> list[tuple[Wish, Any]]:
    """Apply the changes in order and return what each caller gets if the commit goes through.

    A change that raises leaves the draft as it is. Its exception waits for the commit like a result does: what it
    saw may not come true.
    """
    answers: list[tuple[Wish, Any]] = []
    pace = Pace()
    for wish in batch:
        assert wish.context is not None, "stands in line"  # noqa: S101
        if wish.future is None or wish.future.done():
            continue  # it gave up while the entry was read, and was told that nothing is written
        wish.sent = True
        try:
            answers.append((wish, wish.context.run(draft.apply, store, wish)))
        except Exception as error:
            answers.append((wish, error))
        await pace.rest()
    return answers


def _answer(wish: Wish, answer: Any) -> None:
    if wish.future is None or wish.future.done():
        return
    if isinstance(answer, Exception):
        wish.future.set_exception(answer)
    else:
        wish.future.set_result(answer)


async def _wait(store: Store, key: str, wish: Wish, future: asyncio.Future[Any]) -> Any:
    timeout: float | None = getattr(store, "timeout", None)
    try:
        async with asyncio.timeout(timeout):
            return await future
    except TimeoutError as error:
        if future.done() and not future.cancelled():
            return future.result()  # it came at the last moment; or the change itself raised it
        raise _too_late(key, wish, timeout) from error


def _too_late(key: str, wish: Wish, timeout: float | None) -> StorageError:
    if wish.sent:
        return UnknownOutcomeError(
            f"The update of {key!r} was not confirmed within {timeout:g} s. It may or may not have been applied: "
            "read the key before writing again.",
            key=key,
        )
    return StorageTimeoutError(
        f"Cannot update {key!r}: earlier updates of it took {timeout:g} s. Nothing was written.", key=key
    )


def _overtaken(key: str) -> ConflictError:
    return ConflictError(
        f"{key!r} was changed by others at each attempt to update it. Nothing was written; try again later.",
        key=key,
    )
