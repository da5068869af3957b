"""Changes of one entry: nothing is lost, and those that wait at the same time share a commit.

The first caller reads, changes and commits in its own task. Callers that come meanwhile are queued; when the
first is done, a task takes all of them, applies their changes one after the other to what is stored and commits
once. So a hot key costs a commit for each round, not for each change, and among the tasks of one process no
change is ever made in vain.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..concurrency.backoff import DEFAULT_ATTEMPTS, backoff
from ..concurrency.tasks import copied, later, settle
from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Write
from ..errors import ConflictError, StorageError, StorageTimeoutError, UnknownOutcomeError
from ..records.codec import decode
from ..records.keys import check_key
from ..records.markers import KEEP, Keep, Marker
from .committer import Committer
from .confirm import is_confirmed
from .fallback import changed
from .pending import Change, PendingUpdate
from .state import state_of, tally_of


class Draft:
    """The entry as it was read, and what has been made of it."""

    __slots__ = ("_read", "_text", "_ttl", "changed", "key")

    def __init__(self, key: str, text: bytes | None) -> None:
        """Begin with what is stored."""
        self.key = key
        self._read = self._text = text
        self._ttl: int | Keep | None = KEEP
        self.changed = False

    def apply(self, store: Committer, pending: PendingUpdate) -> Any:
        """Make a change and return what its caller gets."""
        current = None if self._text is None else decode(self._text, key=self.key)
        value = changed(pending.change, current, self.key)
        if value is Marker.LEAVE or (value is Marker.DELETE and self._text is None):
            return current
        if value is Marker.DELETE:
            self._text = None
        else:
            text = store._atomic_encode(value, self.key)
            if pending.ttl is not KEEP:
                self._ttl = pending.ttl
            elif self._text is None:
                self._ttl = pending.created_ttl
            self._text = text
        self.changed = True
        return None if value is Marker.DELETE else value

    async def is_confirmed(self, store: Committer) -> bool:
        """Tell whether an answer may rest on what was read."""
        return await is_confirmed(store, self.key, self._read)

    async def commit(self, store: Committer) -> bool:
        """Store what has been made, if the entry is still as it was read."""
        if not self.changed:
            return await self.is_confirmed(store)
        write: Write = Delete(self.key) if self._text is None else Put(self.key, self._text, self._ttl)
        outcome = await store._atomic_commit(Commit((Expect(self.key, self._read),), (write,)))
        return not isinstance(outcome, Refused)


async def update_entry(
    store: Committer,
    key: str,
    change: Change,
    *,
    ttl: int | Keep | None,
    created_ttl: int | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
) -> Any:
    """Do what `StorageBackend.update` says; ``created_ttl`` is for an entry that is new while ``ttl`` is `KEEP`."""
    key = check_key(key)
    store._atomic_check()  # before the queues: another event loop must not take them over
    pending = PendingUpdate(change, ttl, created_ttl, attempts)
    queues = state_of(store).queues
    queue = queues.get(key)
    if queue is not None:
        future = pending.enqueue()
        queue.append(pending)
        return await _wait(store, key, pending, future)
    queues[key] = []
    try:
        for attempt in range(attempts):
            [text] = await store._atomic_snapshot([key])
            draft = Draft(key, text)
            try:
                result = draft.apply(store, pending)
            except Exception:
                if await draft.is_confirmed(store):
                    raise  # "it is booked already" is an answer, too
            else:
                if await draft.commit(store):
                    return result
            tally_of(store).conflict(runs_again=attempt + 1 < attempts)
            await backoff(attempt)
        raise _overtaken(key)
    finally:
        if queues[key]:
            _serve_later(store, key, queues)
        else:
            del queues[key]


def _serve_later(store: Committer, key: str, queues: dict[str, list[PendingUpdate]]) -> None:
    """Serve those who have come meanwhile, in a task: the one that was served first may be cancelled."""
    state = state_of(store)
    task = later(_serve(store, key, queues))
    state.tasks.add(task)
    task.add_done_callback(state.tasks.discard)


async def _serve(store: Committer, key: str, queues: dict[str, list[PendingUpdate]]) -> None:
    queue = queues[key]
    batch: list[PendingUpdate] = []
    try:
        while queue:
            batch = list(queue)
            queue.clear()
            await _together(store, key, batch)
    finally:  # also if the event loop ends
        for pending in (*batch, *queue):
            assert pending.future is not None, "is queued"  # noqa: S101
            pending.future.cancel()
        del queues[key]


async def _together(store: Committer, key: str, batch: list[PendingUpdate]) -> None:
    """Apply the changes of a batch and commit them, until that goes through."""
    attempt = 0
    while batch := [pending for pending in batch if pending.future is not None and not pending.future.done()]:
        try:
            [text] = await store._atomic_snapshot([key])
            draft = Draft(key, text)
            answers = await _apply_all(store, draft, batch)
            done = await draft.commit(store)
        except Exception as error:  # a time-out, an outcome that is unknown: it is everyone's
            for pending in batch:
                _answer(pending, copied(error))
            return
        if done:
            for pending, answer in answers:
                _answer(pending, answer)
            return
        for pending in batch:
            pending.sent = False
            pending.attempts -= 1
            if pending.attempts <= 0:
                _answer(pending, _overtaken(key))
        tally_of(store).conflict(runs_again=any(pending.attempts > 0 for pending in batch))
        await backoff(attempt)
        attempt += 1


async def _apply_all(store: Committer, draft: Draft, batch: list[PendingUpdate]) -> list[tuple[PendingUpdate, Any]]:
    """Apply the changes in order and return what each caller gets if the commit goes through.

    A change that raises leaves the draft as it is. Its exception waits for the commit like a result does: what it
    saw may not come true.
    """
    answers: list[tuple[PendingUpdate, Any]] = []
    pace = TimeSlice()
    for pending in batch:
        assert pending.context is not None, "is queued"  # noqa: S101
        if pending.future is None or pending.future.done():
            continue  # it gave up while the entry was read, and was told that nothing is written
        pending.sent = True
        try:
            answers.append((pending, pending.context.run(draft.apply, store, pending)))
        except Exception as error:
            answers.append((pending, error))
        await pace.checkpoint()
    return answers


def _answer(pending: PendingUpdate, answer: Any) -> None:
    if pending.future is not None:
        error = answer if isinstance(answer, Exception) else None
        settle(pending.future, None if error else answer, error)


async def _wait(store: Committer, key: str, pending: PendingUpdate, future: asyncio.Future[Any]) -> Any:
    timeout: float | None = getattr(store, "timeout", None)
    try:
        async with asyncio.timeout(timeout):
            return await future
    except TimeoutError as error:
        if future.done() and not future.cancelled():
            return future.result()  # it came at the last moment; or the change itself raised it
        raise _too_late(key, pending, timeout) from error


def _too_late(key: str, pending: PendingUpdate, timeout: float | None) -> StorageError:
    if pending.sent:
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
