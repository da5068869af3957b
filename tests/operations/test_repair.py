"""Values that cannot be read are set aside or mended, on every engine, and nothing is lost by it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ad_seller.storage import Commit, CorruptValueError, StorageBackend
from ad_seller.storage.driver import Outcome
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Repaired, repair
from ad_seller.storage.testing.target import raw_writer
from tests.runtime.stores import store

__all__ = ["store"]

NAN = b'{"cpm": NaN, "sizes": [1, -Infinity, 1e999, 12345678901234567890]}'
CUT = b'{"cpm": 1'


async def write_raw(storage: StorageBackend, entries: dict[str, bytes]) -> None:
    write = raw_writer(storage)
    assert write is not None
    for key, text in entries.items():
        await write(key, text)


async def repaired(storage: StorageBackend, pattern: str = "*", **how: Any) -> dict[str, Repaired]:
    return {each.key: each async for each in repair(storage, pattern, **how)}


async def test_what_cannot_be_read_is_set_aside(store: StorageBackend) -> None:
    async with store:
        await store.set_many({f"deal:{number:04}": {"n": number} for number in range(1_000)})
        await store.set_many({"deal:0700": 1, "session:s": 1, "quote:q": 1}, ttl=500)
        damaged = {"deal:0003": NAN, "deal:0700": CUT, "session:s": b"", "quote:q": b"hello"}
        for key, text in damaged.items():
            await write_raw(store, {key: text})
            if key != "deal:0003":
                await store.expire(key, 500)

        looked = await repaired(store, dry_run=True)
        assert {key: each.what for key, each in looked.items()} == dict.fromkeys(damaged, "found")
        with pytest.raises(CorruptValueError):
            await store.list_deals()

        done = await repaired(store)
        assert {key: (each.what, each.to) for key, each in done.items()} == {
            key: ("set aside", f"damaged:{key}") for key in damaged
        }
        assert len(await store.list_deals()) == 998
        assert await store.get_many(damaged) == {}
        for key, text in damaged.items():
            aside = await store.get(f"damaged:{key}")
            assert aside == {"key": key, "text": text.decode(), "reason": done[key].reason}
            left = await store.ttl(f"damaged:{key}")
            assert left is None if key == "deal:0003" else left is not None and 400 < left <= 500
        assert "NaN" in done["deal:0003"].reason
        assert await repaired(store) == {}


async def test_null_takes_the_place_of_what_is_no_number(store: StorageBackend) -> None:
    async with store:
        await store.set("quote:nan", 0, ttl=500)
        await write_raw(store, {"deal:nan": NAN, "deal:cut": CUT, "deal:alone": b"NaN"})
        done = await repaired(store, "deal:*", nulls=True)
        assert {key: each.what for key, each in done.items()} == {
            "deal:nan": "nulls",
            "deal:alone": "nulls",
            "deal:cut": "set aside",
        }
        assert await store.get("deal:nan") == {"cpm": None, "sizes": [1, None, None, 12345678901234567890]}
        assert await store.exists("deal:alone")
        assert await store.get("deal:alone") is None


async def test_the_same_key_again(store: StorageBackend) -> None:
    async with store:
        for text in (CUT, NAN, CUT):
            await write_raw(store, {"deal:1": text})
            await repaired(store)
        # the third is the first once more: that copy is there already
        assert await store.keys() == ["damaged:deal:1", "damaged:deal:1~2"]
        await write_raw(store, {"damaged:deal:1": CUT})
        assert (await repaired(store))["damaged:deal:1"].to == "damaged:damaged:deal:1"


async def test_bytes_that_are_no_text_and_names_that_are_too_long() -> None:
    async with MemoryBackend() as storage:
        long = "k" * 2_045
        await write_raw(storage, {"deal:1": b"\xff\x00", long: CUT})
        done = await repaired(storage)
        aside = await storage.get("damaged:deal:1")
        assert aside is not None
        assert aside["base64"] == base64.b64encode(b"\xff\x00").decode()
        assert done[long].what == "left"
        assert "at most 2048 bytes" in done[long].reason
        assert not done[long].is_readable
        with pytest.raises(CorruptValueError):
            await storage.get(long)


class Overtaken(MemoryBackend):
    """Just before a commit on ``deal:1``, somebody else's value is there, or none."""

    newer: bytes | None = None
    at: int = 0

    async def _atomic_commit(self, commit: Commit) -> Outcome:
        if "deal:1" in commit.keys and self.at == 0:
            self.at -= 1
            if self.newer is None:
                await self.delete("deal:1")
            else:
                await write_raw(self, {"deal:1": self.newer})
        elif "deal:1" in commit.keys:
            self.at -= 1
        return await super()._atomic_commit(commit)


@pytest.mark.parametrize("newer", [b'{"n": 2}', None, NAN])
@pytest.mark.parametrize("nulls", [False, True])
async def test_nothing_newer_is_lost(newer: bytes | None, nulls: bool) -> None:
    async with Overtaken() as storage:
        storage.at = -1
        await write_raw(storage, {"deal:1": b"[NaN]" if nulls else CUT})
        storage.newer, storage.at = newer, 0
        done = await repaired(storage, nulls=nulls)
        assert done["deal:1"].what == "changed"
        assert await storage._atomic_snapshot(["deal:1"]) == [newer]
        assert await storage.keys("damaged:*") == []


async def test_a_run_that_ended_halfway_is_finished_by_the_next() -> None:
    class Stops(MemoryBackend):
        async def _atomic_commit(self, commit: Commit) -> Outcome:
            if commit.expectations and commit.first_key == "deal:1":
                raise KeyboardInterrupt
            return await super()._atomic_commit(commit)

    async with Stops() as storage:
        await write_raw(storage, {"deal:1": CUT})
        with pytest.raises(KeyboardInterrupt):
            await repaired(storage)
        assert await storage.keys() == ["damaged:deal:1", "deal:1"]
        Stops._atomic_commit = MemoryBackend._atomic_commit  # type: ignore[method-assign]
        assert (await repaired(storage))["deal:1"].to == "damaged:deal:1"
        assert await storage.keys() == ["damaged:deal:1"]
