"""Exports: what was stored comes back, and what was cut off or changed does not come in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import resource
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from ad_seller.storage import (
    CorruptValueError,
    InvalidArgumentError,
    InvalidKeyError,
    NotEmptyError,
    StorageBackend,
    StoreUnavailableError,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import copy_entries, export_entries, import_entries, verify
from ad_seller.storage.testing.target import raw_writer
from tests.atomic.support import DictBackend
from tests.runtime.stores import store

__all__ = ["store"]

VALUES: dict[str, Any] = {
    "deal:1": {"cpm": 1.0, "z": 1e22, "a": -0.0, "nul": "\0", "line": "a\nb\r"},
    "deal:big": 10**400,
    "note:\U0001f600é": ["x" * 70_000, None, True, ""],
    "odd:%_*[\\\n'": {},
}


async def lines_of(storage: StorageBackend, **how: Any) -> list[bytes]:
    stream = io.BytesIO()
    await export_entries(storage, stream, **how)
    return stream.getvalue().splitlines(keepends=True)


def sealed(lines: list[bytes], count: int | None = None) -> bytes:
    """Return the lines with a last one that fits."""
    count = len(lines) - 1 if count is None else count
    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    return b"".join(lines) + b'{"count":%d,"digest":"sha256:%s"}\n' % (count, digest.encode())


async def sample() -> list[bytes]:
    async with MemoryBackend() as storage:
        await storage.set_many({f"deal:{n}": {"n": n} for n in range(5)})
        return await lines_of(storage)


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
async def test_there_and_back(store: StorageBackend, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    async with store:
        await store.set_many(VALUES)
        await store.set_many({f"order:{n:05}": {"n": n} for n in range(4_500)})  # more than two pages
        await store.set("quote:q", 1, ttl=500.25)
        before = await lines_of(store)
        done = await export_entries(store, file)
        assert (done.count, done.left_out) == (4_505, 0)
        await store.delete_many(await store.keys())

        seen: list[int] = []
        imported = await import_entries(store, file, progress=seen.append)
        assert (imported.stored, imported.kept, imported.expired, imported.bad) == (4_505, 0, 0, 0)
        assert seen[-1] >= 4_506
        assert await store.get_many(VALUES) == VALUES
        assert str(await store.get("deal:1")) == str(VALUES["deal:1"])  # -0.0, and the order of the members
        left = await store.ttl("quote:q")
        assert left is not None
        assert 490 < left <= 500.3
        again = await lines_of(store)
        assert len(again) == len(before)
        assert _without_times(again[1:-1]) == _without_times(before[1:-1])
        with pytest.raises(NotEmptyError, match="not empty"):
            await import_entries(store, file)
    text = file.read_bytes()
    text = gzip.decompress(text) if name.endswith(".gz") else text
    assert [line.split(b'"at":')[0] for line in text.splitlines()[:1]] == [before[0].split(b'"at":')[0]]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*"))


def _without_times(lines: list[bytes]) -> list[bytes]:
    """Redis before version 7 tells deadlines within a millisecond."""
    return [line for line in lines if b'"expires_at":null' in line]


async def test_the_lines_are_what_the_page_says() -> None:
    async with MemoryBackend(clock=lambda: 1_700_000_000.25) as storage:
        await storage.set("quote:1", {"a": [1]}, ttl=10)
        await storage.set("deal:1", "x")
        header, *entries, footer = await lines_of(storage)
    assert json.loads(header) == {
        "format": "ad-seller-storage export",
        "version": 1,
        "source": "MemoryBackend()",
        "prefix": "",
        "at": pytest.approx(json.loads(header)["at"]),
    }
    assert entries == [
        b'{"key":"deal:1","value":"x","expires_at":null}\n',
        b'{"key":"quote:1","value":{"a":[1]},"expires_at":1700000010.250}\n',
    ]
    digest = hashlib.sha256(b"".join([header, *entries])).hexdigest()
    assert json.loads(footer) == {"count": 2, "digest": f"sha256:{digest}"}


async def test_the_password_of_the_source_is_left_out() -> None:
    class Named(MemoryBackend):
        def __repr__(self) -> str:
            return "postgresql://me:s3cret@host/db"

    async with Named() as storage:
        [header, _] = await lines_of(storage)
    assert b"s3cret" not in header


async def test_a_prefix_and_a_backend_of_seven_methods() -> None:
    async with DictBackend() as storage, MemoryBackend() as other:
        await storage.set_many({"deal:1": 1, "quote:1": [1, 2]})
        await storage.set("deal:2", 2, ttl=1_000)
        lines = await lines_of(storage, prefix="deal:")
        assert [json.loads(line)["key"] for line in lines[1:-1]] == ["deal:1", "deal:2"]
        stream = io.BytesIO(b"".join(await lines_of(storage)))
        await import_entries(other, stream, prefix="quote:")
        assert await other.keys() == ["quote:1"]
        await other.set("deal:2", 22, ttl=700)
        await import_entries(storage, io.BytesIO(b"".join(await lines_of(other))), existing="replace")
        assert await storage.get("deal:2") == 22
        left = await storage.ttl("deal:2")
        assert left is not None
        assert 600 < left <= 700.01  # milliseconds are rounded up
        await storage.set("deal:2", 23)
        await import_entries(storage, io.BytesIO(b"".join(await lines_of(other))), existing="keep")
        assert await storage.get("deal:2") == 23


async def test_what_wins_is_told(store: StorageBackend) -> None:
    async with store:
        await store.set_many({"deal:1": 1, "deal:2": 2})
        stream = b"".join(await lines_of(store))
        await store.set("deal:1", "other", ttl=50)
        await store.delete("deal:2")
        kept = await import_entries(store, io.BytesIO(stream), existing="keep")
        assert (kept.stored, kept.kept) == (1, 1)
        assert await store.get("deal:1") == "other"
        replaced = await import_entries(store, io.BytesIO(stream), existing="replace")
        assert (replaced.stored, replaced.kept) == (2, 0)
        assert (await store.get("deal:1"), await store.ttl("deal:1")) == (1, None)
        with pytest.raises(InvalidArgumentError, match="existing"):
            await import_entries(store, io.BytesIO(stream), existing=cast("Any", "mine"))


async def test_what_has_expired_is_not_stored_and_a_key_that_comes_twice_counts_in_order() -> None:
    header, *_ = await sample()
    text = sealed(
        [
            header,
            b'{"key":"a","value":1,"expires_at":1600000000}\n',
            b'{"key":"b","value":1}\n',
            b'{"key":"b","value":2}\n',
        ]
    )
    async with MemoryBackend() as storage:
        done = await import_entries(storage, io.BytesIO(text), existing="replace")
        assert (done.stored, done.expired) == (2, 1)
        assert await storage.get_many(["a", "b"]) == {"b": 2}


async def test_an_entry_that_cannot_be_read(tmp_path: Path) -> None:
    async with MemoryBackend() as storage:
        write = raw_writer(storage)
        assert write is not None
        await write("deal:nan", b'{"cpm": NaN}')
        await write("deal:pretty", b'{\n  "cpm": 1.50\r\n}')
        with pytest.raises(CorruptValueError, match="deal:nan"):
            await export_entries(storage, tmp_path / "export")
        assert not list(tmp_path.iterdir())
        errors: list[CorruptValueError] = []
        done = await export_entries(storage, tmp_path / "export", on_corrupt=errors.append)
        assert (done.count, done.left_out, [error.key for error in errors]) == (1, 1, ["deal:nan"])
    async with MemoryBackend() as other:
        await import_entries(other, tmp_path / "export")
        assert await other.get("deal:pretty") == {"cpm": 1.5}


async def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_bytes(b"older")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with MemoryBackend() as storage:
        await storage.set("deal:1", "x" * 200_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(StoreUnavailableError, match="Cannot write"):
                await export_entries(storage, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.read_bytes() == b"older"
        assert list(tmp_path.iterdir()) == [file]
        with pytest.raises(StoreUnavailableError, match=r"Cannot write.*no-such"):
            await export_entries(storage, tmp_path / "no-such" / "export")
        with pytest.raises(StoreUnavailableError, match="Cannot read"):
            await import_entries(storage, tmp_path / "no-such")


@pytest.mark.parametrize(
    "prefix", ["deal:\0", "deal:\ud800", "x" * 2_049, 5], ids=["NUL", "surrogate", "long", "number"]
)
async def test_a_prefix_that_no_key_has(prefix: Any, tmp_path: Path) -> None:
    """An operation on no entry would look like one that is done."""
    async with MemoryBackend() as store, MemoryBackend() as other:
        await store.set("deal:1", 1)
        for call in (
            export_entries(store, tmp_path / "export", prefix=prefix),
            import_entries(other, tmp_path / "export", prefix=prefix),
            copy_entries(store, other, prefix=prefix),
            verify(store, other, prefix=prefix),
        ):
            with pytest.raises(InvalidKeyError):
                await call
    assert not list(tmp_path.iterdir())
