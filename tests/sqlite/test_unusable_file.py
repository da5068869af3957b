"""Files that cannot be used: no database, damaged, without the right to it, full, or taken away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ad_seller.storage import StoreUnavailableError
from ad_seller.storage.sqlite import openfiles
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import run_job

from .support import JOBS, execute, is_intact, make_older_file, older_set


@pytest.mark.parametrize(
    "content", [b"this is no database " * 500, b"no database", b"SQLite format 3\0" + b"\xff" * 5000]
)
async def test_a_file_that_is_no_database(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    store = SQLiteBackend(str(path))
    with pytest.raises(StoreUnavailableError, match=r"store\.db.*(damaged|no SQLite database)"):
        await store.connect()
    assert path.read_bytes() == content
    path.unlink()
    await store.connect()  # the same instance works once the cause is gone
    await store.set("key", 1)
    await store.disconnect()


async def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch()
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    assert is_intact(path)


async def test_a_damaged_file_is_said_to_be_damaged(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set_many({f"key:{number:04}": "x" * 500 for number in range(500)})
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (path.stat().st_size - 4 * 4096))
    async with SQLiteBackend(str(path)) as store:
        for call in (
            lambda: store.get("key:0250"),
            lambda: store.scan("key:*"),
            lambda: store.set("key:0250", 1),
            lambda: store.set_many({"key:0250": 1, "key:0251": 1}),
            lambda: store.delete("key:0250"),
        ):
            with pytest.raises(StoreUnavailableError, match=r"store\.db' is damaged.*Restore a backup"):
                await call()


@pytest.mark.parametrize("action", ["open", "write"])
@pytest.mark.parametrize("what", ["file", "folder", "file and folder"])
def test_without_the_right_to_write(what: str, action: str, open_folder: Path) -> None:
    path = open_folder / "store.db"
    make_older_file(path)
    older_set(path, "key", "old")
    path.chmod(0o444 if "file" in what else 0o666)
    open_folder.chmod(0o555 if "folder" in what else 0o777)
    kind, message = run_job(JOBS, "fail_to_open", path, action).stdout.splitlines()
    assert kind == "StoreUnavailableError"
    assert "read-only" in message
    assert "store.db" in message or str(open_folder) in message
    assert execute(path, "SELECT value FROM kv_store") == [('"old"',)]


def test_without_the_right_to_read(open_folder: Path) -> None:
    path = open_folder / "store.db"
    make_older_file(path)
    path.chmod(0)
    kind, message = run_job(JOBS, "fail_to_open", path, "open").stdout.splitlines()
    assert kind in {"StoreUnavailableError", "StorageConnectionError"}
    assert "store.db" in message


def test_without_the_right_to_enter_the_folder(open_folder: Path) -> None:
    (open_folder / "inner").mkdir()
    make_older_file(open_folder / "inner" / "store.db")
    open_folder.chmod(0)
    kind, message = run_job(JOBS, "fail_to_open", open_folder / "inner" / "store.db", "open").stdout.splitlines()
    assert kind in {"StoreUnavailableError", "StorageConnectionError"}
    assert "inner" in message


def test_a_file_that_becomes_read_only(open_folder: Path) -> None:
    path = open_folder / "store.db"
    assert "read-only" in run_job(JOBS, "lose_the_right_to_write", path).stdout
    assert execute(path, "SELECT value FROM kv_store") == [('"old"',)]


def test_a_full_disk(path: Path) -> None:
    run_job(JOBS, "fill_the_disk", path)
    assert is_intact(path)


async def test_a_full_database(path: Path) -> None:
    """SQLITE_FULL proper, by a limit on the number of pages; one write at fault does not fail the others."""
    async with SQLiteBackend(str(path)) as store:
        await store.set_many({"old": "intact", "small": 0})
        await _limit_pages(store, 6)
        large, small = await asyncio.gather(
            store.set("old", "x" * 100_000), store.set("small", 1), return_exceptions=True
        )
        assert isinstance(large, StoreUnavailableError)
        assert large.key == "old"
        assert "full" in str(large)
        assert small is None
        assert await store.get_many(["old", "small"]) == {"old": "intact", "small": 1}
        with pytest.raises(StoreUnavailableError):
            await store.set_many({"old": 1, "new": "x" * 100_000})
        assert await store.get_many(["old", "new"]) == {"old": "intact"}
        await _limit_pages(store, 1_000_000)
        await store.set("old", "x" * 100_000)
        assert await store.get("old") == "x" * 100_000
    assert is_intact(path)


async def _limit_pages(store: SQLiteBackend, pages: int) -> None:
    assert store._connection is not None
    await (await store._connection.execute(f"PRAGMA max_page_count = {pages}")).close()


@pytest.mark.parametrize("fate", ["deleted", "replaced", "folder moved"])
async def test_a_file_that_is_taken_away_while_open(fate: str, tmp_path: Path) -> None:
    """What is written to it from then on would be lost, so nothing may be acknowledged."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "store.db"
    store = SQLiteBackend(str(path))
    await store.connect()
    await store.set("key", "old")
    if fate == "folder moved":
        folder.rename(tmp_path / "elsewhere")
    else:
        for file in folder.iterdir():
            file.unlink()
    if fate == "replaced":
        make_older_file(path)
        older_set(path, "key", "of another file")
    for _ in range(2):
        with pytest.raises(
            StoreUnavailableError, match=r"store\.db.*(removed|replaced|deleted|moved|gone)"
        ) as caught:
            await store.set("key", "new")
        assert caught.value.key == "key"
        await asyncio.sleep(2 * openfiles._LOOK)
        with pytest.raises(StoreUnavailableError, match="moved or deleted"):
            await store.count()
    await store.disconnect()
    if fate == "replaced":
        assert execute(path, "SELECT value FROM kv_store") == [('"of another file"',)]
        async with store:
            await store.set("key", "new")
            assert await store.get("key") == "new"
        assert is_intact(path)
