"""What is open in one event loop of one process."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, ClassVar, Final, TypeVar

from ..errors import StorageError
from ..stats import PoolStats
from .commit import Commit, Outcome
from .query import KeyQuery
from .transfer import StoredEntry

#: What `Engine.remaining` answers besides milliseconds; the numbers are those of Redis's PTTL.
NO_EXPIRY: Final = -1
MISSING: Final = -2

SWEEP_ROWS: Final = 500  #: expired entries that one step of the sweeper removes
SWEEP_PAUSE: Final = 0.05  #: seconds between two steps


R = TypeVar("R")

#: What is called in the event loop when a bulk call has ended: with its results, or with what it raised.
Tell = Callable[[Sequence[R | asyncio.Future[R]] | None, BaseException | None], object]


class WouldBlock(Enum):
    """The marker of a read that is not done at once."""

    WOULD_BLOCK = "would block"


WOULD_BLOCK: Final = WouldBlock.WOULD_BLOCK


class Engine(ABC):
    """The connections of one event loop to a store, and the calls that move encoded records in bulk.

    It stands behind a backend, which makes one for each event loop. All methods but `abandon` and `read_in_thread`
    run in that loop; the bulk calls are called between `open` and `close` only. They raise the failures of
    `driver.failures`, or one of `refusals`; `explain` says what such an error means. Of a write that ended by
    anything else, such as what a signal handler raised, nobody knows how far it was.
    """

    #: What the library raises where the store refused a call, and nothing of it was applied.
    refusals: ClassVar[tuple[type[Exception], ...]] = ()

    #: How many bulk reads run at the same time.
    readers: ClassVar[int] = 1

    #: Keys of one bulk read, unless one caller asks for more.
    read_batch: ClassVar[int] = 512

    #: Whether expired entries stay until `sweep` removes them.
    sweeps: ClassVar[bool] = False

    #: Whether `page` and `store` are there; if not, whole stores are read and written entry by entry.
    transfers: ClassVar[bool] = False

    #: The partition of a key, where calls for one server must not hold up those for others; None: there is one.
    partition_of: Callable[[str], int] | None = None

    #: The same as `apply` for an engine that needs no task for it, since a thread does the work or there is nothing
    #: to wait for: what is given here is called in the event loop when that is done, at once or later.
    begin_apply: Callable[[list[Commit], Tell[Outcome | Exception]], None] | None = None
    #: Likewise for `read`.
    begin_read: Callable[[list[str], Tell[bytes | Exception | None]], None] | None = None

    #: What was sent again because it had surely not been executed, or changes nothing; counted by the engine.
    retries: int = 0

    #: Expired entries that were removed; counted by who sweeps.
    reclaimed: int = 0

    @property
    def pool(self) -> PoolStats | None:
        """The connections at this moment, told to any thread; None where there is no server."""
        return None

    @property
    def index_trusted(self) -> bool | None:
        """Whether listings are answered from an index beside the entries; None where there is none, or not yet."""
        return None

    @property
    def reserve(self) -> float:
        """How many seconds before its time is up a call is given up; what the engine needs to tell the outcome."""
        return 0.0

    @abstractmethod
    async def open(self) -> None:
        """Open what this event loop needs. If it fails or is cancelled, nothing stays open."""

    @abstractmethod
    async def close(self) -> None:
        """Close it; no other call is running. What fails does not keep the rest open."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up what is open, from any thread: the event loop has ended, or all of it is the parent process's.

        It neither awaits nor raises, and leaves alone what a parent process still uses.
        """

    @abstractmethod
    async def read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        """Return the live texts under ``keys``, None where there is none, an exception for what failed alone."""

    def read_nowait(self, key: str) -> bytes | WouldBlock | None:
        """Return the live text at once, without awaiting, or `WOULD_BLOCK` to have it read in bulk."""
        return WOULD_BLOCK

    def read_in_thread(self, key: str) -> bytes | WouldBlock | None:
        """Return the live text in the calling thread, which is any but the event loop's, or `WOULD_BLOCK`.

        For calls without await: to read costs less than to hand the key to the event loop. It may come at any time,
        also while the engine is closed.
        """
        return WOULD_BLOCK

    @abstractmethod
    async def remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        """Return the milliseconds that each entry has left, or `NO_EXPIRY`, or `MISSING`, or what failed alone."""

    @abstractmethod
    async def apply(
        self, commits: list[Commit]
    ) -> Sequence[Outcome | Exception | asyncio.Future[Outcome | Exception]]:
        """Apply each commit all or nothing, in order, each judged by itself; an exception stands for its outcome.

        A future (of `loop.create_future`) stands for the outcome of a commit that waits for something which only it
        needs, such as a row that another session holds: the next batch does not wait for that. It is cancelled when
        nobody waits for it.

        What is raised instead holds for every commit: so it may be raised only while none has been applied.
        """

    @abstractmethod
    async def keys(self, query: KeyQuery) -> list[str]:
        """Return the live keys of ``query``, sorted."""

    async def keys_below(self, query: KeyQuery, prefix: str) -> list[str]:
        """Return `keys` without ``prefix``: that of a namespace, with which all of them begin."""
        return list(map(itemgetter(slice(len(prefix), None)), await self.keys(query)))

    @abstractmethod
    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """Return the live keys of ``query``, sorted, with their texts."""

    async def count(self, query: KeyQuery) -> int:
        """Return how many live keys ``query`` has."""
        return len(await self.keys(query))

    async def estimate(self, query: KeyQuery) -> int | None:
        """Return about how many live keys ``query`` has, at little cost; None if that cannot be told."""
        return None

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """Return the first live entries whose keys begin with ``prefix`` and come after ``after``, sorted.

        About `PAGE_ENTRIES` entries and `PAGE_BYTES` bytes, but at least one as long as there is one.
        """
        raise NotImplementedError

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """Return the live entries under different keys, in their order; so many that they are about a page."""
        raise NotImplementedError

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """Store entries of different keys with their deadlines; tell of each whether it was stored.

        Args:
            entries: what is stored.
            expected: None: each takes the place of what is there. Otherwise each is stored if there is no live
                entry under its key, or if that holds exactly this text.
        """
        raise NotImplementedError

    async def sweep(self, rows: int) -> int:
        """Remove at most ``rows`` expired entries and return how many there were."""
        return 0

    def sweeps_on(self, steps: int, removed: int) -> bool:
        """Tell, from the steps taken and what the last one removed, whether this round of sweeping goes on."""
        return removed >= SWEEP_ROWS

    async def hears(self, prefix: str) -> bool:
        """Have all that is stored under ``prefix`` told to `wakeups`, whoever stores it; tell whether it is.

        Who waits asks again before each wait. It does not raise: without an answer nothing is heard.
        """
        return False

    async def doubts(self) -> list[str]:
        """Return why the store may lose what it acknowledged, as far as it tells; each says what to do."""
        return []

    async def facts(self) -> dict[str, Any]:
        """Return what the store says about itself: "engine", versions, settings, sizes; for `doctor`."""
        return {}

    @abstractmethod
    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """Return our error for a refusal or a cause of a failure; ``what`` starts the message."""
