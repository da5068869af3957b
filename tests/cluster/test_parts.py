"""Writes of one moment that lie in several slots take several calls: each caller hears what became of its own."""

from __future__ import annotations

import itertools

import pytest

from ad_seller.storage.redis.slots import lane_of
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from tests.parts import Calls, Event, not_sent, raising

_LARGE = "x" * 5_000_000  #: two of these are more than one call carries
_TAGS = (f"{{{number}}}" for number in itertools.count())
#: Four slots of one lane, whose writes share a batch.
A, B, C, D = itertools.islice((tag for tag in _TAGS if lane_of(f"ad_seller:{tag}") == 7), 4)

UNKNOWN, NOT_WRITTEN = "unknown", "not written"

#: What is told of each call if nothing happens: one of sets in two slots, one of others in two, one of the rest.
GOOD: list[list[object]] = [[None, None], [1, False, True, 1], [None, True]]


async def write(store: RedisBackend, calls: Calls, events: dict[int, Event]) -> list[list[object]]:
    """Write what takes three calls; return what the callers of each were told."""
    for name in (f"{A}set", f"{B}n", f"{C}new", f"{C}n", f"{D}first", f"{D}second"):
        await store.delete(name)
    await store.set(f"{B}old", 0)
    await store.set(f"{D}old", 0)
    calls.events = events
    one, first, n, old, new, m, second, gone = await calls.together(
        store,
        store.set(f"{A}opening", 0),
        [
            store.set(f"{A}set", 1),
            store.set(f"{D}first", _LARGE),
            store.increment(f"{B}n"),
            store.create(f"{B}old", 1),
            store.create(f"{C}new", 1),
            store.increment(f"{C}n"),
            store.set(f"{D}second", _LARGE),
            store.delete(f"{D}old"),
        ],
    )
    return [[one, first], [n, old, new, m], [second, gone]]


async def found(store: RedisBackend) -> list[list[bool]]:
    """Return what is there of each call."""
    texts = {name: await store.get(name) for name in (f"{A}set", f"{B}n", f"{C}new", f"{C}n")}
    assert all(text in (None, 1) for text in texts.values()), "repeated"
    at_d = [await store.exists(f"{D}{name}") for name in ("first", "second", "old")]
    return [
        [texts[f"{A}set"] == 1, at_d[0]],
        [texts[name] == 1 for name in (f"{B}n", f"{C}new", f"{C}n")],
        [at_d[1], not at_d[2]],
    ]


async def test_each_call_has_its_own_outcome(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that raises, or of which nothing is sent, takes no other along."""
    lost, late = (raising(RuntimeError("not foreseen"), sent=sent) for sent in (False, True))
    async with RedisBackend(cluster.url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)
        assert await write(store, calls, {}) == GOOD
        assert await found(store) == [[True] * 2, [True] * 3, [True] * 2]
        for number, event in [*itertools.product((2, 3), (lost, late, not_sent())), (1, lost)]:
            tells = UNKNOWN if event in (lost, late) else NOT_WRITTEN
            expected = [[tells] * len(part) if i == number else part for i, part in enumerate(GOOD, start=1)]
            assert await write(store, calls, {number: event}) == expected, (number, tells)
            assert calls.sizes == [2, 2, 1]
            there = [[i != number or event is late] * size for i, size in enumerate((2, 3, 2), start=1)]
            assert await found(store) == there


async def test_a_call_that_is_sent_in_part(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not sent is not written, and the rest is not repeated; if nothing was, all of it is tried again."""
    async with RedisBackend(cluster.url, timeout=30) as store:
        calls = await Calls.of(store, monkeypatch)
        assert await write(store, calls, {1: not_sent(1)}) == [[None, NOT_WRITTEN], *GOOD[1:]]
        assert await found(store) == [[True, False], [True] * 3, [True] * 2]
        assert await write(store, calls, {2: not_sent(1)}) == [
            GOOD[0],
            [1, False, NOT_WRITTEN, NOT_WRITTEN],
            GOOD[2],
        ]
        assert await found(store) == [[True] * 2, [True, False, False], [True] * 2]
        assert await write(store, calls, {1: not_sent()}) == GOOD
        assert calls.sizes == [2, 2, 2, 1]
    async with RedisBackend(cluster.url, "{tenant}:", timeout=30) as store:  # all in one slot, so one call
        calls = await Calls.of(store, monkeypatch)
        calls.events = {1: not_sent()}
        await store.set("a", 1)
        assert calls.sizes == [1, 1]
        assert await store.get("a") == 1


async def test_a_key_that_is_forbidden_in_one_slot(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the same script are tried alone; other slots keep their outcome, and are not repeated."""
    rules = ["on", ">pw", "+@all", f"~ad_seller:{A}mine*", f"~ad_seller:{B}*", f"~ad_seller:{C}*", "&*"]
    for node in cluster.nodes:
        ask(node, "ACL", "SETUSER", "agent", "reset", *rules)
    try:
        url = cluster.url.replace("redis+cluster://", "redis+cluster://agent:pw@")
        async with RedisBackend(url, timeout=30) as store:
            await store.set_many({f"{B}old": 0, f"{C}old": 0})
            calls = await Calls.of(store, monkeypatch)
            outcomes = await calls.together(
                store,
                store.set(f"{B}opening", 0),
                [store.create(f"{tag}{name}", 1) for name in ("mine", "n", "old") for tag in (A, B, C)],
            )
            assert outcomes == [True, True, True, NOT_WRITTEN, True, True, NOT_WRITTEN, False, False]
    finally:
        for node in cluster.nodes:
            ask(node, "ACL", "DELUSER", "agent")
