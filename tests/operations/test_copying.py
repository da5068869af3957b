"""Copies: nothing is lost, doubled or stale, wherever they end and whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, cast

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
    InvalidValueError,
    NotEmptyError,
    StorageBackend,
)
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Copied, Kind, Verified, copy_entries, verify
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.target import raw_writer
from tests.atomic.support import DictBackend
from tests.operations.jobs import filled
from tests.runtime.stores import store

__all__ = ["store"]


def faults(found: Verified) -> dict[str, list[str]]:
    return {kind: keys for kind, keys in found.named.items() if keys}


async def held_by(storage: StorageBackend) -> list[StoredEntry]:
    return [entry async for page in storage._entry_pages("") for entry in page]


async def test_to_every_engine_and_back(store: StorageBackend) -> None:
    async with MemoryBackend() as source, MemoryBackend() as back, store:
        await filled(source, 4_500)
        await source.set("deal:float", {"cpm": 1.0, "n": 10**30, "z": -0.0, "nul": "\0"}, ttl=1_000.5)
        seen: list[int] = []
        done = await copy_entries(source, store, progress=seen.append)
        assert (done.stored, done.refused, done.verified.faults) == (4_501, 0, 0)
        assert seen[-1] == 4_501
        assert await store.count() == 4_501  # nothing of the copy itself is left
        assert str(await store.get("deal:float")) == str(await source.get("deal:float"))
        left = await store.ttl("deal:float")
        assert left is not None
        assert 990 < left <= 1_001

        done = await copy_entries(store, back)
        assert (done.stored, done.verified.faults) == (4_501, 0)
        assert [entry[:2] for entry in await held_by(back)] == [entry[:2] for entry in await held_by(source)]


async def test_what_differs_is_named_by_kind(store: StorageBackend) -> None:
    async with MemoryBackend() as source, store:
        await source.set_many({f"deal:{n}": {"n": n} for n in range(6)})
        await source.set("deal:renewed", 1, ttl=500)
        assert (await copy_entries(source, store)).verified.faults == 0
        await store.delete("deal:0")
        await store.set("deal:1", {"n": 1.0})
        await store.expire("deal:2", 700)
        await store.persist("deal:renewed")
        await store.set("deal:9", 9)
        await source.set("quote:soon", 1, ttl=0.5)  # about to expire: may be on one side only

        found = await verify(source, store)
        assert faults(found) == {
            "missing": ["deal:0"],
            "value": ["deal:1"],
            "expiry": ["deal:2", "deal:renewed"],
            "more": ["deal:9"],
        }
        assert (found.compared, found.faults) == (8, 5)
        assert faults(await verify(source, store, prefix="deal:9")) == {"more": ["deal:9"]}
        only: tuple[Kind, ...] = ("more",)
        assert (await verify(source, store, kinds=only)).faults == 1


async def test_texts_of_one_value_are_equal() -> None:
    async with MemoryBackend() as source, MemoryBackend() as target:
        for storage, text in ((source, b'{"a": 1, "b": 2}'), (target, b'{"b":2,"a":1}')):
            write = raw_writer(storage)
            assert write is not None
            await write("deal:1", text)
            await write("deal:bad", b"[NaN]" if storage is source else b"[NaN ]")
        assert faults(await verify(source, target)) == {"value": ["deal:bad"]}


async def test_a_target_that_is_not_empty(store: StorageBackend) -> None:
    async with MemoryBackend() as source, store:
        await source.set_many({"deal:1": 1, "deal:2": 2, "quote:1": 3})
        await store.set_many({"deal:1": "other", "deal:9": 9})
        with pytest.raises(NotEmptyError, match=r"not empty.*'deal:1'"):
            await copy_entries(source, store)
        looked = await copy_entries(source, store, dry_run=True)
        assert (looked.stored, looked.verified.counts) == (0, {"value": 1, "missing": 2, "more": 1})
        assert await store.keys() == ["deal:1", "deal:9"]

        kept = await copy_entries(source, store, existing="keep")
        assert (kept.stored, kept.verified.faults) == (2, 0)
        assert await store.get("deal:1") == "other"
        replaced = await copy_entries(source, store, existing="replace")
        assert (replaced.stored, replaced.verified.faults) == (1, 0)
        assert await store.get_many(["deal:1", "deal:9"]) == {"deal:1": 1, "deal:9": 9}
        assert (await copy_entries(source, store, existing="replace", again=True)).deleted == 0


async def test_again_makes_the_target_equal(store: StorageBackend) -> None:
    async with MemoryBackend() as source, store:
        await filled(source, 3_000)
        await source.set("quote:renewed", 1, ttl=100)
        await copy_entries(source, store)
        await source.delete_many([f"deal:{n:06}" for n in range(0, 3_000, 7)])
        await source.expire("quote:renewed", 900)
        await source.set("deal:000001", "changed")
        await source.set("a:new", 1)
        done = await copy_entries(source, store, again=True)
        assert (done.stored, done.deleted, done.passes, done.verified.faults) == (3, 429, 2, 0)
        left = await store.ttl("quote:renewed")
        assert left is not None
        assert left > 800
        assert (await verify(source, store)).faults == 0


async def test_backends_of_seven_methods() -> None:
    async with MemoryBackend() as source, DictBackend() as target, DictBackend() as other:
        await filled(source, 500)
        await source.set("quote:1", 1, ttl=50)
        assert (await copy_entries(source, target)).verified.faults == 0
        await source.set("deal:000001", 2)
        await source.delete("deal:000002")
        done = await copy_entries(source, target, again=True)
        assert (done.stored, done.deleted, done.verified.faults) == (1, 1, 0)
        assert (await copy_entries(target, other)).verified.faults == 0


async def test_what_the_target_refuses_is_named(tmp_path: Path) -> None:
    class Picky(DictBackend):
        async def set(self, key: str, value: Any, ttl: Any = None) -> None:
            if value == {"n": 333}:
                raise InvalidValueError("not this one", key=key)
            await super().set(key, value, ttl)

    async with MemoryBackend() as source, Picky() as target:
        await filled(source, 400)
        write = raw_writer(source)
        assert write is not None
        await write("deal:bad", b"[NaN]")
        refused: dict[str, str] = {}
        done = await copy_entries(source, target, on_refused=lambda key, error: refused.update({key: str(error)}))
        assert sorted(refused) == ["deal:000333", "deal:bad"]
        assert (done.stored, done.refused) == (399, 2)
        assert faults(done.verified) == {"missing": ["deal:000333", "deal:bad"]}

        file = tmp_path / "copy.json"  # where something differs the move is not finished
        await copy_entries(source, target, existing="replace", checkpoint=file, final=True)
        assert json.loads(file.read_bytes())["finished"] is None
        done = await copy_entries(source, target, checkpoint=file, again=True)
        assert (done.refused, done.passes, done.verified.faults) == (2, 2, 2)


async def test_wrong_arguments() -> None:
    async with MemoryBackend() as one, DictBackend() as other:
        for words in ({"existing": "mine"}, {"resume": True, "again": True}, {"final": True}):
            with pytest.raises(InvalidArgumentError):
                await copy_entries(one, other, **cast("dict[str, Any]", words))
        with pytest.raises(InvalidArgumentError, match="one store"):
            await copy_entries(one, one)


# --- while the source is written to --------------------------------------------------------------------


async def test_four_writers_and_renewed_times_to_live(store: StorageBackend, tmp_path: Path) -> None:
    async with SQLiteBackend(f"sqlite:///{tmp_path}/a.db") as source, store:
        await filled(source, 3_000)
        for n in range(50):
            await source.set(f"quote:{n:02}", n, ttl=100)
        stop = asyncio.Event()

        async def write(number: int) -> None:
            rnd = random.Random(number)
            while not stop.is_set():
                n = rnd.randrange(3_000)
                await source.set(f"deal:{n:06}", {"by": number, "x": rnd.random()})
                await source.delete(f"deal:{rnd.randrange(3_000):06}")
                await source.set(f"session:{number}:{rnd.randrange(10**6)}", 1, ttl=rnd.choice([None, 300]))
                await source.expire(f"quote:{rnd.randrange(50):02}", rnd.randrange(200, 5_000))
                await asyncio.sleep(0.001)

        writers = [asyncio.create_task(write(number)) for number in range(4)]
        await copy_entries(source, store)
        await copy_entries(source, store, again=True)
        stop.set()
        await asyncio.gather(*writers)
        last: Copied = await copy_entries(source, store, again=True)
        assert last.verified.faults == 0
        found = await verify(source, store)
        assert (faults(found), found.compared) == ({}, await store.count())


@pytest.mark.parametrize("texts", [[None] * 5, [b'"other"', b'"there"', None, None, None]])
async def test_only_what_is_expected_is_replaced(store: StorageBackend, texts: list[bytes | None]) -> None:
    """Where a page meets what is there, also what has expired and is not reclaimed yet."""
    async with store:
        await store.set("deal:0", "there")
        await store.set("deal:1", "there")
        await store.set("deal:2", "there", ttl=0.05)
        await asyncio.sleep(0.1)
        in_time, over = (int((time.time() + left) * 1000) for left in (1_000, -1))
        entries = [StoredEntry(f"deal:{n}", b'"new"', in_time if n == 3 else None) for n in range(4)]
        entries.append(StoredEntry("deal:4", b'"new"', over))
        said = await store._store_entries(entries, texts)
        assert said[:4] == [False, texts[1] is not None, True, True]
        held = {key: await store.get(key) for key, _, _ in entries}
        assert held == {
            "deal:0": "there",
            "deal:1": "new" if texts[1] else "there",
            "deal:2": "new",
            "deal:3": "new",
            "deal:4": None,
        }
        assert await store.keys() == [f"deal:{n}" for n in range(4)]
        assert 900 < (await store.ttl("deal:3") or 0) <= 1_000
