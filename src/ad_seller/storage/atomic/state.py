"""What one instance of a backend remembers: for each event loop who waits and runs, and when its entries end."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, Protocol

from ..concurrency.forks import fork_safe_lock
from ..concurrency.locks import KeyLocks
from ..concurrency.loops import ByLoop
from ..errors import NotConnectedError, StorageTimeoutError, UnsupportedError
from ..stats import Stats
from .opening import Opening
from .pending import PendingUpdate
from .waits import Waits

ONE_LOOP = "_ad_seller_one_loop"  #: the attribute of a class whose instances are used in one event loop at a time

_COURTESY = 1.0  #: seconds that a transaction waits for others that met the same conflict
MEMORY: Final = "_ad_seller_process_state"  #: the attribute of an instance that has what it remembers


class LoopState:
    """What the tasks of one event loop share about one instance.

    Attributes:
        locks: held while an entry is written.
        queues: who waits to update a key; there is a queue as long as an update of the key runs.
        tasks: the tasks that serve those queues, and those that take back what a caller has claimed.
        retries: the queues of transactions that met a conflict, one for each key.
        running: the idempotent requests that run here, by key; each future ends with its run.
        waits: which of these wait for which others.
    """

    def __init__(self) -> None:
        """Start with nothing held."""
        self.locks = KeyLocks()
        self.queues: dict[str, list[PendingUpdate]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.retries = KeyLocks()
        self.running: dict[str, asyncio.Future[None]] = {}
        self.waits = Waits()


class Deadlines:
    """When entries end that this instance has written: monotonic seconds by key, None for no expiry."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.by_key: dict[str, float | None] = {}
        self._prune_at = 1024

    def note(self, key: str, ttl_ms: int | None) -> None:
        """Remember when ``key``, just written, will expire; forget what has expired, now and then."""
        now = time.monotonic()
        self.by_key[key] = None if ttl_ms is None else now + ttl_ms / 1000
        if len(self.by_key) >= self._prune_at:
            self.by_key = {k: at for k, at in self.by_key.items() if at is None or at > now}
            self._prune_at = max(1024, 2 * len(self.by_key))

    def forget(self, key: str) -> None:
        """Forget an entry that was removed."""
        self.by_key.pop(key, None)

    def remaining(self, key: str) -> float | None:
        """Return the seconds that an existing entry has left, None without expiry."""
        deadline = self.by_key.get(key, 0.0)
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise UnsupportedError(
                f"This backend does not know when {key!r} expires, because another process wrote it. "
                "Let the backend implement ttl(); or say it with expire() or persist().",
                key=key,
            )
        return left


class Following(Protocol):
    """One who follows a log."""

    @property
    def lag(self) -> float:
        """Seconds by which it is behind; 0 if it has given everything."""


class Tally:
    """What rarely happens, counted by the tasks of all event loops and threads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.conflicts = 0
        self.retries = 0
        self.followers: weakref.WeakSet[Following] = weakref.WeakSet()
        self._lock = fork_safe_lock()

    def conflict(self, *, runs_again: bool = False) -> None:
        """Count what was not written because others had changed it; it may be run again now."""
        with self._lock:
            self.conflicts += 1
            self.retries += runs_again

    def retry(self) -> None:
        """Count something that runs again."""
        with self._lock:
            self.retries += 1

    def follows(self, one: Following) -> None:
        """Take note of a follower, for as long as it lives."""
        with self._lock:
            self.followers.add(one)

    @property
    def lag(self) -> float | None:
        """By how many seconds the last follower is behind; None if there is none."""
        with self._lock:
            return max((one.lag for one in self.followers), default=None)


class _Memory:
    """What one instance remembers; a copy of the instance remembers nothing."""

    def __init__(self) -> None:
        self.loops: ByLoop[LoopState] = ByLoop()
        self.deadlines = Deadlines()
        self.opening = Opening()
        self.tally = Tally()
        self.told: Any = None  # what telemetry keeps of it: attributes by operation and kind

    def __reduce__(self) -> tuple[type[_Memory], tuple[()]]:
        return _Memory, ()


def memory_of(backend: object) -> _Memory:
    """Return what the instance remembers, made on first use: subclasses need not call ``super().__init__()``."""
    memory: _Memory | None = backend.__dict__.get(MEMORY)
    if memory is None:
        memory = backend.__dict__.setdefault(MEMORY, _Memory())
    return memory


def deadlines_of(backend: object) -> Deadlines:
    """Return the deadlines that the instance knows."""
    return memory_of(backend).deadlines


def opening_of(backend: object) -> Opening:
    """Return who has the instance open."""
    return memory_of(backend).opening


def tally_of(backend: object) -> Tally:
    """Return what the instance counts of its atomic tools and followers."""
    return memory_of(backend).tally


def counted(backend: object) -> Stats:
    """Return what `tally_of` has, as a part of all that a backend tells of itself."""
    tally = tally_of(backend)
    return Stats(type(backend).__name__, conflicts=tally.conflicts, retries=tally.retries, follower_lag=tally.lag)


def state_of(backend: object) -> LoopState:
    """Return what the tasks of the running event loop share about the instance.

    Raises:
        NotConnectedError: it is a backend of seven methods, and another event loop is using it right now: its
            author need not have written it for that, and the guarantees of this module hold within one loop.
    """
    loops = memory_of(backend).loops
    state = loops.get()
    if state is None or getattr(backend, ONE_LOOP, False):
        if getattr(backend, ONE_LOOP, False) and loops.others_running():
            raise NotConnectedError(
                "This backend is in use in another event loop that is running. Use one backend for each loop."
            )
        state = loops.get_or_make(LoopState)
    return state


@asynccontextmanager
async def retry_turn(backend: object, key: str) -> AsyncIterator[None]:
    """Let transactions that met a conflict over ``key`` run again one after the other, rather than all at once.

    This is courtesy among the tasks of one process, not a lock: whoever has waited a while goes on anyway.
    """
    async with AsyncExitStack() as turn:
        with suppress(StorageTimeoutError):
            await turn.enter_async_context(state_of(backend).retries.hold(key, timeout=_COURTESY))
        yield
