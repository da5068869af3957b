"""What is open on Redis in one event loop: connections to the servers, and listings from the index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, ClassVar

from redis.exceptions import ResponseError

from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Outcome
from ..driver.engine import SWEEP_ROWS, Engine
from ..driver.query import KeyQuery, say_how
from ..driver.transfer import StoredEntry
from ..errors import InvalidArgumentError, StorageError
from ..stats import PoolStats
from .batches import spread
from .cluster import ClusterRouter
from .commands import RoutedCommand
from .commits import Commits
from .errors import explain
from .facts import by_server, doubts, facts, facts_of_cluster, parse_info
from .listings import Listings, taken
from .pool import NodePool
from .router import RedisRouter
from .scripts import COUNT, EXPIRIES, Argument, Call
from .sentinel import SentinelRouter
from .settings import RedisSettings
from .slots import lane_of
from .transfer import Transfers

_MGET_KEYS = 1_000  #: keys of one MGET
_MGET_BYTES = 8_000_000  #: bytes that one MGET of a listing is likely to bring; a guess from what came so far
_FIRST_KEYS = 16  #: keys of a listing's first MGET, before anything is known

#: Steps over the index that one look for names of expired entries takes at least, with `SWEEP_ROWS` names each.
_SWEEP_STEPS = 20

_ROUTERS: dict[str, type[RedisRouter]] = {
    "server": RedisRouter,
    "sentinel": SentinelRouter,
    "cluster": ClusterRouter,
}


class RedisEngine(Engine):
    """Reads of a tick are one MGET, writes one script.

    Args:
        settings: see `RedisSettings`.
    """

    readers: ClassVar[int] = 4
    refusals: ClassVar[tuple[type[Exception], ...]] = (ResponseError,)
    sweeps: ClassVar[bool] = True
    transfers: ClassVar[bool] = True

    def __init__(self, settings: RedisSettings) -> None:
        """Connect nothing yet."""
        self._settings = settings
        self._prefix = settings.prefix
        self._index = settings.index
        self._is_in_one_place = settings.is_in_one_place
        self.router = _ROUTERS[settings.url.kind](settings)
        self._listings = Listings(self.router, settings.prefix, settings.patience, indexed=self._is_in_one_place)
        self._commits = Commits(settings, self.router, self._listings, self._split)
        self._transfers = Transfers(settings, self.router, self._listings, self._split)
        if not self._is_in_one_place:
            self.partition_of = lambda key: lane_of(settings.prefix + key)

    @property
    def reserve(self) -> float:
        """See `RedisSettings`."""
        return self._settings.reserve

    @property
    def pool(self) -> PoolStats:
        """See `Engine.pool`; to all servers together."""
        return self.router.stats

    @property
    def index_trusted(self) -> bool | None:
        """See `Engine.index_trusted`."""
        return self._listings.index_trusted

    @property
    def retries(self) -> int:  # type: ignore[override]
        """See `Engine.retries`."""
        return self.router.retries

    async def open(self) -> None:
        """Find the servers, and make sure that they answer."""
        try:
            await self.router.open()
        except BaseException:
            await run_to_end(self.router.close())
            raise

    async def close(self) -> None:
        """Take what marked the index along, and close all connections."""
        try:
            await self._listings.close()
        finally:
            await self.router.close()

    def abandon(self) -> None:
        """Have the servers see that the connections have ended."""
        self.router.abandon()

    # --- one key and many ------------------------------------------------------------------------------

    async def read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        """Return the texts, with one MGET for each slot."""
        names = [self._prefix + key for key in keys]
        groups = [
            group[i : i + _MGET_KEYS] for group in self._split(names) for i in range(0, len(group), _MGET_KEYS)
        ]
        commands = [RoutedCommand(names[group[0]], ("MGET", *(names[i] for i in group))) for group in groups]
        return spread(len(keys), groups, await self.router.send(commands, writes=False))

    async def remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        """Return the milliseconds that are left, as Redis counts them."""
        names = [self._prefix + key for key in keys]
        groups = self._split(names)
        calls: list[Call] = [([names[i] for i in group], ()) for group in groups]
        left = spread(len(keys), groups, await self.router.run(EXPIRIES, calls, writes=False))
        return [1 if isinstance(ms, int) and ms == 0 else ms for ms in left]

    def apply(self, commits: list[Commit]) -> Coroutine[Any, Any, Sequence[Outcome | Exception]]:
        """Apply the commits with as few scripts as can be."""
        return self._commits.apply(commits)

    def _split(self, names: Sequence[str]) -> list[list[int]]:
        """Return the positions of the names in groups that one command can carry."""
        if self._is_in_one_place:
            return [list(range(len(names)))] if names else []
        return self.router.split(names)

    # --- listings --------------------------------------------------------------------------------------

    def keys(self, query: KeyQuery) -> Coroutine[Any, Any, list[str]]:
        """Return the names, from the index where there is one."""
        return self._listings.keys(query)

    async def keys_below(self, query: KeyQuery, prefix: str) -> list[str]:
        """See `Engine.keys_below`."""
        if not query.exact:
            return await super().keys_below(query, prefix)
        return await self._listings.keys(query, below=prefix)

    def count(self, query: KeyQuery) -> Coroutine[Any, Any, int]:
        """Return how many there are; the server counts where it can."""
        return self._listings.count(query)

    async def entries(self, query: KeyQuery) -> list[tuple[str, bytes]]:
        """Return the names with their texts; by the index as of one moment, as far as `index.MOMENT` goes."""
        say_how(query, None)
        if query.exact and (entries := await self._listings.entries(query)) is not None:
            return entries
        found: list[tuple[str, bytes]] = []
        while True:
            missing = None if query.limit is None or query.counts_records else query.limit - len(found)
            keys = await self._listings.keys(query.up_to(missing), living=False)
            async for entries in self._texts(keys):
                found += await taken(entries, query)
                if query.limit is not None and len(found) >= query.limit:
                    return found[: query.limit]
            if missing is None or len(keys) < missing:
                return found
            query = query.beyond(keys[-1])  # some were gone

    async def _texts(self, keys: list[str]) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Yield the keys that have a text, with it, in parts; not too many bytes at once."""
        size, position, many = 0, 0, _FIRST_KEYS
        while position < len(keys):
            chunk = keys[position : position + many]
            position += len(chunk)
            found: list[tuple[str, bytes]] = []
            for key, text in zip(chunk, await self.read(chunk), strict=True):
                if isinstance(text, Exception):
                    raise text
                if text is not None:
                    found.append((key, text))
                    size += len(text)
            yield found
            many = max(1, min(_MGET_KEYS, _MGET_BYTES * position // (size + 1)))

    async def hears(self, prefix: str) -> bool:
        """See `Engine.hears`: the server tells of all changes of the kinds that were listed."""
        return self._listings.hears(prefix)

    async def estimate(self, query: KeyQuery) -> int | None:
        """See `Engine.estimate`."""
        return await self.count(query)

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """See `Engine.page`."""
        return await self._transfers.page(prefix, after)

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        return await self._transfers.entries_at(keys)

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """See `Engine.store`."""
        return await self._transfers.store(entries, expected)

    async def sweep(self, rows: int) -> int:
        """Take names of expired entries out of the index."""
        return await self._listings.sweep(rows)

    def sweeps_on(self, steps: int, removed: int) -> bool:
        """Go on with the index for a while, and for as long as much is gone, as Redis does with expired keys."""
        return not self._listings.all_swept and (steps < _SWEEP_STEPS or removed > SWEEP_ROWS // 4)

    # --- what only Redis has ---------------------------------------------------------------------------

    async def publish(self, channel: str, text: bytes) -> int:
        """Send ``text`` to the subscribers of a channel; return how many there are."""
        name = f"{self._prefix}channel:{channel}"
        [answer] = await self.router.send([RoutedCommand(name, ("PUBLISH", name, text))], writes=True)
        return int(_good(answer))

    async def add_one(self, key: str) -> int:
        """Add 1 to a counter and return the sum.

        Raises:
            InvalidArgumentError: Redis cannot count with what is there.
        """
        name = self._prefix + key
        call: Call = ([name] if self._index is None else [name, self._index], ())
        [answer] = await self.router.run(COUNT, [call], writes=True)
        answer = answer[0] if isinstance(answer, list) else answer
        if isinstance(answer, ResponseError) and "not an integer" in str(answer):
            raise InvalidArgumentError(
                f"{key!r} does not hold an int that Redis can count with", key=key
            ) from answer
        return int(_good(answer))

    async def info(self) -> dict[str, str]:
        """Return the fields of INFO, of any server."""
        return parse_info(await self.router.ask("INFO"))

    async def facts(self) -> dict[str, Any]:
        """See `Engine.facts`; of a group with ``servers``, what each master says of itself.

        Of a cluster those that answer are told of, and as ``cluster`` which do not, and how many slots have none.
        """
        if isinstance(self.router, ClusterRouter):
            return await facts_of_cluster(self.router, self._told_by)
        [told] = await self.router.with_all(self._told_by)
        if isinstance(self.router, SentinelRouter):
            told["replica_faults"] = await self.router.replica_faults()
            told = {**told, "servers": [told]}
        return told

    async def _told_by(self, pool: NodePool) -> dict[str, Any]:
        async def ask(*command: Argument) -> Any:
            [answer] = await pool.pipeline([command], self.router.deadline())
            return _good(answer)

        return {"server": pool.server, **await facts(ask, self._settings)}

    async def doubts(self) -> list[str]:
        """See `Engine.doubts`: eviction, and what is not kept on disk; of a cluster on any master."""

        async def doubted(pool: NodePool) -> tuple[str, list[str]]:
            return pool.server, await doubts(
                lambda asked: pool.pipeline(asked, self.router.deadline()), self._settings.wait_replicas
            )

        return by_server(await self.router.with_all(doubted, moving=False))

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        """See `errors.explain`."""
        settings = self._settings
        return explain(error, what, key, address=settings.address, grant=settings.grant, timeout=settings.timeout)


def _good(answer: Any) -> Any:
    """Return the answer, or raise what stands in its place."""
    if isinstance(answer, Exception):
        raise answer
    return answer
