"""Copies that end half way: two at once, cancelled, killed, without a source, on a full disk."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from ad_seller.storage import (
    CheckpointError,
    LeaseHeldError,
    StorageBackend,
    StorageConnectionError,
    StorageError,
    StoreUnavailableError,
    open_url,
)
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import copy_entries, walking
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.servers import RedisServer
from tests import warm
from tests.operations.jobs import HALF_WAY, MANY, filled
from tests.operations.test_copying import held_by
from tests.processes import ROOT, started_job
from tests.runtime.stores import store

__all__ = ["store"]


async def test_two_copies_into_one_target(store: StorageBackend) -> None:
    async with MemoryBackend() as source, store:
        await filled(source, 10)
        async with store.lease("{copy}", ttl=20):
            with pytest.raises(LeaseHeldError, match="Another copy"):
                await copy_entries(source, store)


async def test_a_copy_that_was_cancelled_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with SQLiteBackend(f"{tmp_path}/a.db") as source, SQLiteBackend(f"{tmp_path}/b.db") as to:
        await filled(source, 20_000)
        with pytest.raises(CheckpointError, match=r"no .*to go on from"):
            await copy_entries(source, to, checkpoint=file, resume=True)
        how: dict[str, Any] = {}
        rnd = random.Random(16)

        def cancel(ticks: int) -> None:
            """Within the next of ten steps."""
            if ticks:
                asyncio.get_running_loop().call_soon(cancel, ticks - 1)
            else:
                copying.cancel()

        for _ in range(8):
            copying = asyncio.create_task(
                copy_entries(source, to, checkpoint=file, progress=lambda seen: cancel(rnd.randrange(40)), **how)
            )
            with suppress(asyncio.CancelledError):
                await copying
            if file.exists():
                how = {"resume": True}
                with pytest.raises(CheckpointError, match=r"--resume|--again"):
                    await copy_entries(source, to, checkpoint=file)
        done = await copy_entries(source, to, checkpoint=file, **how)
        assert done.verified.faults == 0
        assert await held_by(source) == await held_by(to)
        assert json.loads(file.read_bytes())["done"] is True


async def test_a_copy_that_was_killed_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    source, target = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    async with SQLiteBackend(source) as one:
        await filled(one, MANY)
    with started_job("tests.operations.jobs", "copy", source, target, file) as job:
        assert job.stderr is not None
        assert job.stderr.readline() == HALF_WAY
    before = json.loads(file.read_bytes())
    assert (before["done"], before["after"] is not None) == (False, True)
    async with SQLiteBackend(source) as one, SQLiteBackend(target) as other:
        done = await copy_entries(one, other, checkpoint=file, resume=True)
        assert 0 < done.stored < MANY
        assert done.verified.faults == 0
        assert await held_by(one) == await held_by(other)


@pytest.mark.parametrize("engine", ["redis", "postgres"])
async def test_a_copy_that_is_killed_again_and_again(
    engine: str, tmp_path: Path, redis_url: str, redis_prefix: str, postgres_url: str
) -> None:
    """At any step: while it stores, while the checkpoint is written, while both are compared, at the end."""
    file, source = tmp_path / "copy.json", f"sqlite:///{tmp_path}/a.db"
    target = {"redis": f"{redis_url}?key_prefix={redis_prefix}", "postgres": postgres_url}[engine]
    async with open_url(source) as one:
        await filled(one, 12_000)
        await one.set_many({f"session:{n}": n for n in range(500)}, ttl=5_000)
        wanted = [entry[:2] for entry in await held_by(one)]
    rnd = random.Random(16)
    states: list[str] = []
    while True:
        steps = rnd.randrange(1, 10) if states else 1
        job = [sys.executable, "-m", "tests.operations.jobs", "copy_killed", source, target, str(file), str(steps)]
        if (done := await asyncio.to_thread(warm.run, job, cwd=ROOT, text=True, timeout=60)).returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        states.append("begins")
        if file.exists():
            state = json.loads(file.read_bytes())
            states[-1] = "compares" if state["done"] else "copies" if state["after"] else "begins"
        async with open_url(target) as other:
            await other.delete("lease:{copy}")  # or the next one waits until it has ended
            held = {entry[:2] for entry in await held_by(other) if entry.key not in walking.OWN_KEYS}
            assert held <= set(wanted)
    assert len(states) >= 6
    assert {"begins", "copies", "compares"} == set(states), states
    assert json.loads(file.read_bytes())["done"]
    async with open_url(target) as other:
        assert [entry[:2] for entry in await held_by(other)] == wanted


async def test_no_page_is_noted_whose_predecessor_may_be_missing(tmp_path: Path) -> None:
    """Two pages are stored at once: the second is there, and the first is given up."""
    file = tmp_path / "copy.json"
    later = asyncio.Event()

    class Uneven(MemoryBackend):
        async def _store_entries(
            self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None = None
        ) -> Sequence[bool | StorageError]:
            if not later.is_set() and entries[0].key == "deal:000000":
                await later.wait()
                raise StoreUnavailableError("not this page")
            said = await super()._store_entries(entries, expected)
            later.set()
            return said

    async with MemoryBackend() as source, Uneven() as target:
        await filled(source, MANY)
        with pytest.raises(StoreUnavailableError, match="not this page"):
            await copy_entries(source, target, checkpoint=file)
        assert await target.exists("deal:002000")
        assert json.loads(file.read_bytes())["after"] is None
        with pytest.raises(CheckpointError, match="ended at its beginning"):
            await copy_entries(source, target, checkpoint=file)
        done = await copy_entries(source, target, checkpoint=file, resume=True)
        assert (done.stored, done.verified.faults) == (MANY - 2_000, 0)
        assert await held_by(source) == await held_by(target)


async def test_the_file_names_no_key_of_the_copy_itself(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    async with MemoryBackend() as source, MemoryBackend() as target:
        await filled(source, 10)
        await copy_entries(source, target, checkpoint=file)
    assert json.loads(file.read_bytes())["after"] == "deal:000009"


async def test_what_another_copy_keeps_in_the_source_is_not_copied() -> None:
    async with MemoryBackend() as source, MemoryBackend() as target, source.lease("{copy}", ttl=20):
        await filled(source, 10)
        done = await copy_entries(source, target)
        assert (done.seen, done.verified.faults, await target.count()) == (10, 0, 10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"nothing of ours", "no checkpoint"),
        (b'{"source":"MemoryBackend()","target":"x","prefix":"","existing":null}', "another copy: its target"),
        (b'{"source":"MemoryBackend()","target":"Named","prefix":"q","existing":null}', "another copy: its prefix"),
        (b'{"source":"x","target":"y","prefix":"","existing":null,"version":2}', "another version"),
    ],
)
async def test_the_file_of_another_copy(tmp_path: Path, text: bytes, reason: str) -> None:
    class Named(MemoryBackend):
        def __repr__(self) -> str:
            return "Named"

    file = tmp_path / "copy.json"
    file.write_bytes(text)
    async with MemoryBackend() as source, Named() as target:
        for words in ({}, {"resume": True}, {"again": True}):
            with pytest.raises(CheckpointError, match=reason):
                await copy_entries(source, target, checkpoint=file, **cast("dict[str, Any]", words))
        assert file.read_bytes() == text
        assert await target.keys() == []


async def test_again_waits_for_a_copy_that_is_done(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    file.write_bytes(b'{"source":"MemoryBackend()","target":"Named","prefix":"","existing":null,"after":"a"}')

    class Named(MemoryBackend):
        def __repr__(self) -> str:
            return "Named"

    async with MemoryBackend() as source, Named() as target:
        with pytest.raises(CheckpointError, match="not done yet"):
            await copy_entries(source, target, checkpoint=file, again=True)


async def test_a_source_that_goes_away(
    own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "_PATIENCE", 0.5)
    file = tmp_path / "copy.json"
    async with RedisBackend(own_redis.url, timeout=1) as source, SQLiteBackend(f"{tmp_path}/b.db") as target:
        await filled(source, 12_000)

        def stop(seen: int) -> None:
            if seen == 2_000:
                own_redis.stop()

        with pytest.raises(StorageConnectionError, match=r"Cannot (list '\*'|read)"):
            await copy_entries(source, target, checkpoint=file, progress=stop)
        assert 0 < await target.count() < 12_000
        own_redis.start()
        done = await copy_entries(source, target, checkpoint=file, resume=True)
        assert done.verified.faults == 0
        assert await target.count() == 12_000


async def test_a_full_disk_at_the_target(tmp_path: Path) -> None:
    file = tmp_path / "copy.json"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with MemoryBackend() as source, SQLiteBackend(f"sqlite:///{tmp_path}/b.db") as target:
        await source.set_many({f"deal:{n:05}": "x" * 500 for n in range(12_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, before[1]))
        try:
            with pytest.raises(StorageError) as caught:
                await copy_entries(source, target, checkpoint=file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert isinstance(caught.value, StoreUnavailableError)
        done = await copy_entries(source, target, checkpoint=file, resume=True)
        assert (done.verified.faults, await target.count()) == (0, 12_000)
