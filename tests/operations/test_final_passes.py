"""The last pass of a move: it compares all once, and reads again what it has repaired, which decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ad_seller.storage import NamespacedBackend, StorageBackend, StorageError
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Kind, copy_entries, verify
from tests.atomic.support import DictBackend
from tests.operations.jobs import filled
from tests.operations.test_copying import faults, held_by
from tests.runtime.stores import store

__all__ = ["store"]


async def test_one_pass_ends_a_move(store: StorageBackend, tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with MemoryBackend() as source, store:
        await filled(source, 4_500)
        await source.set("quote:renewed", 1, ttl=100)
        await copy_entries(source, store, checkpoint=file)
        await source.delete_many([f"deal:{n:06}" for n in range(0, 4_500, 7)])
        await source.set_many({f"deal:{n:06}": "changed" for n in range(1, 4_500, 7)})
        await source.expire("quote:renewed", 900)
        await source.set("a:new", 1)
        done = await copy_entries(source, store, checkpoint=file, again=True, final=True)
        assert (done.stored, done.deleted, done.passes) == (645, 643, 1)
        assert (done.verified.compared, done.verified.counts) == (3_859, {})
        assert json.loads(file.read_bytes())["finished"] is not None
        assert (await verify(source, store)).faults == 0


class Careless(MemoryBackend):
    """Says that all is stored, but loses or alters one entry, as often as it is told."""

    kind: Kind = "missing"
    times = 0

    async def _store_entries(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
    ) -> Sequence[bool | StorageError]:
        said = await super()._store_entries(entries, expected)
        for key, text, deadline in entries:
            if key == "deal:000007" and self.times > 0:
                self.times -= 1
                if self.kind == "missing":
                    await self.delete(key)
                elif self.kind == "value":
                    await super()._store_entries([StoredEntry(key, b"0", deadline)])
                else:
                    await super()._store_entries([StoredEntry(key, text, 4_000_000_000_000)])
        return said


@pytest.mark.parametrize("kind", ["missing", "value", "expiry"])
async def test_what_a_repair_did_not_do_is_noticed(kind: Kind, tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with MemoryBackend() as source, Careless() as target:
        await filled(source, 20)
        await copy_entries(source, target, checkpoint=file)
        await source.set_many({f"deal:{n:06}": "changed" for n in range(5, 9)})
        target.kind, target.times = kind, 1_000
        done = await copy_entries(source, target, checkpoint=file, again=True, final=True)
        assert faults(done.verified) == {kind: ["deal:000007"]}
        assert json.loads(file.read_bytes())["finished"] is None

        target.times = 1  # the next pass repairs it
        done = await copy_entries(source, target, checkpoint=file, again=True, final=True)
        assert (done.passes, done.verified.counts) == (2, {})
        assert await held_by(target) == await held_by(source)


async def test_an_entry_that_was_not_deleted_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with MemoryBackend() as source, DictBackend() as target:
        await filled(source, 20)
        await copy_entries(source, target, checkpoint=file)
        await source.delete("deal:000003")

        async def delete(key: str) -> bool:
            return True

        target.delete = delete  # type: ignore[method-assign]
        done = await copy_entries(source, target, checkpoint=file, again=True, final=True)
        assert faults(done.verified) == {"more": ["deal:000003"]}
        assert json.loads(file.read_bytes())["finished"] is None


async def test_what_was_kept_is_still_named(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with MemoryBackend() as source, MemoryBackend() as target:
        await filled(source, 20)
        await target.set_many({"deal:000001": "kept", "deal:9": 9})
        await copy_entries(source, target, existing="keep", checkpoint=file)
        await source.set("deal:a", 1)
        done = await copy_entries(source, target, existing="keep", checkpoint=file, again=True, final=True)
        assert (done.stored, done.passes, done.verified.faults) == (1, 1, 0)
        assert faults(done.verified) == {"value": ["deal:000001"], "more": ["deal:9"]}


async def test_entries_by_their_keys(store: StorageBackend) -> None:
    async with store:
        assert await store._entries_at([]) == []
        await store.set_many({f"deal:{n:03}": {"n": n} for n in range(500)})
        await store.set_many(
            {"deal:large1": "x" * 3_000_000, "deal:large2": "x" * 3_000_000, "session:1": "\u20ac"}
        )
        await store.set("session:2", 2, ttl=500)
        all_of_them = await held_by(store)
        keys = ["absent", *reversed([entry.key for entry in all_of_them])]
        assert await store._entries_at(keys) == all_of_them[::-1]
        async with NamespacedBackend(store, "one") as part:
            await part.set("deal:000", "mine", ttl=500)
            assert await part._entries_at(["deal:000", "deal:001"]) == await held_by(part)
