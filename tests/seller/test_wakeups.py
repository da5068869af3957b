"""Who waits for a log or an outbox is woken by what is stored, and looks all the same if it is not told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ad_seller.storage import NamespacedBackend, NotConnectedError, StorageBackend
from ad_seller.storage.concurrency.wakeups import WAITING, Wakeup, wake_all
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.runtime import template
from ad_seller.storage.seller import looking
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.atomic.support import DictBackend

ENGINES = ["dict", "memory", "sqlite", "postgres", "redis", "namespace"]
HEARD_FROM_OTHERS = ["postgres", "redis", "namespace"]
NEVER = 3_600.0  #: seconds; whoever waits for a look loses the test


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def make(kind: str, postgres_url: str, redis_url: str, redis_prefix: str, tmp_path: Path) -> Any:
    """Makes instances of one store, not connected."""
    match kind:
        case "sqlite":
            return lambda: SQLiteBackend(f"sqlite:///{tmp_path}/wakeups.db")
        case "postgres":
            return lambda: PostgresBackend(postgres_url)
        case "namespace":
            return lambda: NamespacedBackend(PostgresBackend(postgres_url), "a:b")
        case "redis":
            return lambda: RedisBackend(redis_url, redis_prefix)
    return MemoryBackend if kind == "memory" else DictBackend


@pytest.fixture
async def storage(make: Any) -> AsyncIterator[StorageBackend]:
    async with make() as backend:
        yield backend


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has looked twice waits until he is told; between the two he has begun to hear."""
    monkeypatch.setattr(looking, "HEARD", NEVER)
    monkeypatch.setattr(looking, "UNHEARD", NEVER)
    monkeypatch.setattr(looking, "SHORTEST", 0.001)


@pytest.fixture
def only_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody in this process is told of what is stored here: so it is as if another process had stored it."""
    monkeypatch.setattr(template, "WAITING", frozenset())


async def is_heard(_prefix: str) -> bool:
    return True


class Waits:
    """Tells when those who wait have begun to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest = 0.0
        self._least = NEVER / 2
        self._begun = asyncio.Event()
        wait = Wakeup.wait

        async def told(one: Wakeup, seconds: float) -> bool:
            self.longest = max(seconds, self.longest)
            if seconds > self._least:
                self._begun.set()
            return await wait(one, seconds)

        monkeypatch.setattr(Wakeup, "wait", told)

    async def for_a_notice(self, least: float = NEVER / 2) -> None:
        """Return when somebody has begun to wait, for ``least`` seconds or more unless something is told."""
        self._least = least
        async with asyncio.timeout(30):
            await self._begun.wait()
        self._begun.clear()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return Waits(monkeypatch)


@contextlib.asynccontextmanager
async def reading(entries: AsyncGenerator[Any, None]) -> AsyncIterator[asyncio.Future[Any]]:
    """Wait for the next entry in a task."""
    waiting = asyncio.ensure_future(anext(entries))
    try:
        yield waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await entries.aclose()


async def value_of(waiting: asyncio.Future[Any]) -> Any:
    async with asyncio.timeout(30):
        return (await waiting).value


@pytest.mark.usefixtures("nobody_looks")
class TestToldInTheProcess:
    @pytest.mark.parametrize("kind", ENGINES, indirect=True)
    async def test_an_append_wakes_who_follows_and_a_transaction_does(
        self, storage: StorageBackend, waits: Waits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "_hears", is_heard)
        entries = storage.log("event").follow()
        async with reading(entries) as first:
            await waits.for_a_notice()
            await storage.log("event").append(1)
            assert await value_of(first) == 1
            second = asyncio.ensure_future(anext(entries))
            await waits.for_a_notice()

            async def work(tx: Any) -> None:
                await tx.log("event").append(2)

            await storage.transact(work)
            assert await value_of(second) == 2
        assert not WAITING

    @pytest.mark.parametrize("kind", ENGINES[1:], indirect=True)
    async def test_a_put_wakes_who_works(
        self, storage: StorageBackend, waits: Waits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "_hears", is_heard)
        async with reading(storage.outbox("hooks").work()) as message:
            await waits.for_a_notice()
            await storage.outbox("hooks").put("x")
            assert await value_of(message) == "x"

    async def test_from_another_event_loop(self, waits: Waits) -> None:
        async with MemoryBackend() as storage, reading(storage.log("event").follow()) as entry:
            await waits.for_a_notice()
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, storage.log("event").append(1)).result()
            assert await value_of(entry) == 1

    async def test_what_is_copied_in(self, waits: Waits) -> None:
        async with MemoryBackend() as source, MemoryBackend() as storage:
            await source.log("event").append(1)
            async with reading(storage.log("event").follow()) as entry:
                await waits.for_a_notice()
                async for page in source._entry_pages("log:"):
                    await storage._store_entries(page)
                assert await value_of(entry) == 1

    async def test_who_follows_learns_of_the_end(self, waits: Waits) -> None:
        storage = MemoryBackend()
        await storage.connect()
        async with reading(storage.log("event").follow()) as entry:
            await waits.for_a_notice()
            await storage.disconnect()
            with pytest.raises(NotConnectedError):
                await value_of(entry)


@pytest.mark.usefixtures("nobody_looks", "only_others")
@pytest.mark.parametrize("kind", HEARD_FROM_OTHERS, indirect=True)
class TestToldByTheServer:
    async def test_an_append_and_a_put_of_another_instance(
        self, make: Any, storage: StorageBackend, waits: Waits
    ) -> None:
        async with make() as other:
            async with reading(storage.log("event").follow()) as entry:
                await waits.for_a_notice()
                await other.log("event").append(1)
                assert await value_of(entry) == 1
            async with reading(storage.outbox("hooks").work()) as message:
                await waits.for_a_notice()
                await other.outbox("hooks").put("x")
                assert await value_of(message) == "x"

    async def test_many_at_once_the_last_of_them_too(
        self, make: Any, storage: StorageBackend, waits: Waits
    ) -> None:
        entries = storage.log("event").follow()
        async with make() as other, reading(entries) as first:
            await waits.for_a_notice()
            await asyncio.gather(*(other.log("event").append(number) for number in range(300)))
            got = [await value_of(first)]
            async with asyncio.timeout(30):
                got += [(await anext(entries)).value for _ in range(299)]
        assert sorted(got) == list(range(300))


class TestNotTold:
    @pytest.mark.usefixtures("only_others")
    @pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
    async def test_where_others_are_not_heard_it_looks_each_second(
        self, make: Any, storage: StorageBackend, waits: Waits
    ) -> None:
        async with make() as other, reading(storage.log("event").follow()) as entry:
            await waits.for_a_notice(looking.UNHEARD / 2)
            await other.log("event").append(1)
            assert await value_of(entry) == 1
        assert waits.longest <= looking.UNHEARD

    @pytest.mark.usefixtures("only_others")
    async def test_postgres_a_listener_that_was_ended_is_made_again(
        self, postgres_url: str, waits: Waits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "SHORTEST", 0.001)
        async with PostgresBackend(postgres_url) as storage, PostgresBackend(postgres_url) as other:
            entries = storage.log("event").follow()
            async with reading(entries) as entry:
                await waits.for_a_notice(looking.HEARD / 2)
                admin = await asyncpg.connect(postgres_url)
                ended = await admin.fetch(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%' OR query = 'SELECT 1'"
                )
                await admin.close()
                assert len(ended) == 1
                await other.log("event").append(1)
                assert await value_of(entry) == 1, "by looking"
                monkeypatch.setattr(looking, "HEARD", NEVER)
                again = asyncio.ensure_future(anext(entries))
                await waits.for_a_notice(NEVER / 2)
                await other.log("event").append(2)
                assert await value_of(again) == 2

    @pytest.mark.parametrize("kind", ["postgres"], indirect=True)
    async def test_with_one_connection_nothing_listens(self, postgres_url: str, kind: str) -> None:
        async with PostgresBackend(postgres_url, pool_min=1, pool_max=1) as storage:
            assert not await storage._hears("log:event:")

    async def test_a_retry_is_delivered_when_it_is_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(looking, "HEARD", NEVER)
        async with MemoryBackend() as storage:
            await storage.outbox("hooks").put("x")
            messages = storage.outbox("hooks").work(first_pause=0.05)
            async with await anext(messages):
                raise OSError
            async with reading(messages) as message:
                assert await value_of(message) == "x"


async def test_a_wakeup_of_a_loop_that_has_ended_is_in_nobodys_way() -> None:
    def leave() -> None:
        loop = asyncio.new_event_loop()

        async def begin() -> None:
            left.append(Wakeup("log:x:").__enter__())

        loop.run_until_complete(begin())
        loop.close()

    left: list[Wakeup] = []
    with ThreadPoolExecutor(1) as thread:
        thread.submit(leave).result()
    wake_all()
    with Wakeup("log:x:"):
        assert left[0] not in WAITING


@pytest.fixture(autouse=True)
def nobody_waits_afterwards() -> Iterator[None]:
    yield
    assert not WAITING
