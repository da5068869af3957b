"""Writes of one moment that take three calls: something happens at one of them, and each caller hears its own."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put, Refused
from ad_seller.storage.driver.failures import NotSentError
from ad_seller.storage.redis import commits
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.engines import engine_of
from tests.parts import Calls, Event, Scripts, Send, not_sent, raising
from tests.proxy import Proxy

from .support import plain

PARTS = (1, 2, 3)
_LARGE = "x" * 5_000_000  #: two of these are more than one call carries

#: What the callers of a part are told if nothing happens to it: set, increment, create of what is there, delete.
GOOD = [None, 1, False, True]
UNKNOWN = ["unknown"] * 4
NOT_WRITTEN = ["not written"] * 4


async def prepare(store: RedisBackend) -> None:
    """Have each part begin as it does in every round."""
    await store.delete_many([f"large:{part}" for part in PARTS])
    await store.set_many({f"{name}:{part}": 0 for part in PARTS for name in ("n", "other", "old")})


async def write(store: RedisBackend, calls: Calls, events: dict[int, Event]) -> list[list[object]]:
    """Write all parts at once; return what the callers of each were told."""
    writes: list[Any] = []
    for part in PARTS:
        writes += [
            store.set(f"large:{part}", _LARGE),
            store.increment(f"n:{part}"),
            store.create(f"other:{part}", 1),
            store.delete(f"old:{part}"),
        ]
    calls.events = events
    outcomes = await calls.together(store, store.set("opening", 0), writes)
    return [outcomes[4 * (part - 1) : 4 * part] for part in PARTS]


def is_written(server: RedisServer) -> list[bool]:
    """Return of which parts the server has all; it has none of the others."""
    with plain(server.url) as client:
        found = [
            (
                client.exists(f"ad_seller:large:{part}"),
                client.get(f"ad_seller:n:{part}") == b"1",
                not client.exists(f"ad_seller:old:{part}"),
            )
            for part in PARTS
        ]
    assert all(len(set(part)) == 1 for part in found), found
    return [bool(large) for large, _, _ in found]


async def test_the_answer_to_one_call_is_lost(
    own_redis: RedisServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its callers do not know, all others do, also those of later calls."""
    url = own_redis.url.replace(f":{own_redis.port}", f":{proxy.port}")
    async with RedisBackend(url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)
        for lost in (*PARTS, None):
            await prepare(store)
            if lost is not None:
                proxy.lose_once(f"large:{lost}".encode())
            assert await write(store, calls, {}) == [UNKNOWN if part == lost else GOOD for part in PARTS], lost
            assert calls.sizes == [1, 1, 1]
            assert is_written(own_redis) == [True, True, True]


async def test_the_server_dies_before_a_call(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is told as written, what was never sent as not written, so that it can be repeated."""
    async with RedisBackend(own_redis.url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)

        async def die(scripts: Scripts, send: Send) -> list[Any]:
            own_redis.kill()
            with suppress(StorageError):
                await store.get("n:1")  # takes note that the connections are gone
            return await send(scripts)

        for dead in PARTS:
            await prepare(store)
            assert await write(store, calls, {dead: die}) == [
                GOOD if part < dead else NOT_WRITTEN for part in PARTS
            ], dead
            own_redis.start()
            assert is_written(own_redis) == [part < dead for part in PARTS]
            with suppress(StorageError):
                await store.get("n:1")


async def test_a_call_is_refused(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is full for the time of one call: only what adds to it is refused."""
    async with RedisBackend(own_redis.url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)
        with plain(own_redis.url) as client:

            async def full(scripts: Scripts, send: Send) -> list[Any]:
                client.config_set("maxmemory", 1)
                try:
                    return await send(scripts)
                finally:
                    client.config_set("maxmemory", 0)

            for refused in PARTS:
                await prepare(store)
                expected = [["not written"] * 2 + GOOD[2:] if part == refused else GOOD for part in PARTS]
                assert await write(store, calls, {refused: full}) == expected, refused
                written = [client.get(f"ad_seller:n:{part}") == b"1" for part in PARTS]
                assert written == [part != refused for part in PARTS]


@pytest.mark.parametrize("failing", PARTS)
async def test_a_call_fails_in_an_unforeseen_way(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """It raises, whether it was sent or not; what the others did is told all the same."""
    events: list[tuple[Event, list[str], bool]] = [
        (raising(RuntimeError("not foreseen"), sent=True), UNKNOWN, True),
        (raising(RuntimeError("not foreseen"), sent=False), UNKNOWN, False),
        (raising(NotSentError("no way"), sent=False), NOT_WRITTEN, False),
        (not_sent(), NOT_WRITTEN, False),
    ]
    async with RedisBackend(own_redis.url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)
        for event, tells, sent in events:
            await prepare(store)
            assert await write(store, calls, {failing: event}) == [
                tells if part == failing else GOOD for part in PARTS
            ]
            assert calls.sizes == [1, 1, 1]
            assert is_written(own_redis) == [part != failing or sent for part in PARTS]
        await prepare(store)
        unsent = raising(NotSentError("no way"), sent=False)
        others = {part: unsent for part in PARTS if part != failing}
        expected = [UNKNOWN if part == failing else NOT_WRITTEN for part in PARTS]
        assert await write(store, calls, {failing: events[0][0], **others}) == expected


async def test_all_parts_share_the_time_of_one_call(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited in vain for the server is told so in time; parts for which none is left are not sent."""
    async with RedisBackend(own_redis.url, timeout=30) as store:
        engine = await engine_of(store)
        assert isinstance(engine, RedisEngine)
        deadlines: list[float | None] = []
        run = engine.router.run

        def noting(*args: Any, deadline: float | None = None, **settings: Any) -> Any:
            deadlines.append(deadline)
            return run(*args, deadline=deadline, **settings)

        monkeypatch.setattr(engine.router, "run", noting)
        calls = await Calls.of(store, monkeypatch)
        await prepare(store)
        deadlines.clear()
        assert await write(store, calls, {}) == [GOOD] * 3
        assert len(deadlines[1:]) == 3
        assert None not in deadlines[1:]
        assert len(set(deadlines[1:])) == 1

        async def late(scripts: Scripts, send: Send) -> list[Any]:
            answers = await send(scripts)
            over = SimpleNamespace(time=lambda: float("inf"))
            monkeypatch.setattr(commits, "asyncio", SimpleNamespace(get_running_loop=lambda: over))
            return answers

        await prepare(store)
        assert await write(store, calls, {1: late}) == [GOOD, NOT_WRITTEN, NOT_WRITTEN]
        assert calls.sizes == [1]
        assert is_written(own_redis) == [True, False, False]


async def test_parts_behind_a_commit_that_is_no_call(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without reads and writes, and one that is too large, have their outcome; the others keep theirs."""
    text = _LARGE.encode()
    async with RedisBackend(own_redis.url) as store:
        calls = await Calls.of(store, monkeypatch)
        outcomes = await (await engine_of(store)).apply(
            [
                Commit((), ()),
                Commit((), (Put("a", text),)),
                Commit((), tuple(Delete(str(n)) for n in range(200_001))),
                Commit((Expect("b", b"1"),), (Put("b", b"2"),)),
                Commit((), (Put("c", text),)),
                Commit((Expect("d", None),), (Put("d", b"2"),)),
                Commit((), (Delete("e"),)),
            ]
        )
        assert calls.sizes == [1, 1]
        too_large = outcomes[2]
        assert isinstance(too_large, StorageError)
        assert "at most 200,000" in str(too_large)
        assert [*outcomes[:2], *outcomes[3:]] == [[], [True], Refused("b"), [True], [True], [False]]
