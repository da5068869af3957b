"""The file itself: who may read it, what reading leaves unchanged, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

import pytest

from ad_seller.storage import StorageConnectionError, StoreUnavailableError
from ad_seller.storage.sqlite import files
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import run_job

from .support import JOBS, execute, make_older_file, plain


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def changes(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was last written, and its size. (Reading an open database here would drop its locks.)"""
    files = [file for file in folder.iterdir() if not file.name.endswith("-shm")]
    return {file.name: (file.stat().st_mtime_ns, file.stat().st_size) for file in files}


async def test_a_new_file_is_private(path: Path) -> None:
    before = os.umask(0)
    try:
        async with SQLiteBackend(str(path)) as store:
            await store.set("key", 1)
            files = {file.name: mode(file) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert files == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


async def test_the_mode_of_an_existing_file_stays(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    assert mode(path) == 0o640


async def test_nothing_is_left_beside_a_closed_file(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


async def test_no_read_writes(path: Path) -> None:
    async with SQLiteBackend(str(path), sweep_interval=None) as store:
        await store.set_many({f"session:{number}": {"n": number} for number in range(50)})
        await store.set_many({f"gone:{number}": 1 for number in range(50)}, ttl=0.001)
        await asyncio.sleep(0.002)
        with plain(path) as db:
            [version] = db.execute("PRAGMA data_version").fetchone()
            before = changes(path.parent)
            assert await store.get("gone:1") is None
            assert not await store.exists("gone:1")
            assert await store.get_many(["gone:1", "session:1"]) == {"session:1": {"n": 1}}
            assert len(await store.keys()) == len((await store.scan()).items) == await store.count() == 50
            assert len(await store.list_sessions()) == 50
            assert await store.ttl("session:1") is None
            assert await store.get_buyer_session_ids("nobody") == []
            assert db.execute("PRAGMA data_version").fetchone() == (version,)
        assert changes(path.parent) == before
        assert execute(path, "SELECT count(*) FROM kv_store WHERE key LIKE 'gone:%'") == [(50,)]


async def test_opening_an_up_to_date_file_writes_nothing(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    before = path.read_bytes()
    async with SQLiteBackend(str(path)) as store:
        assert await store.get("key") == 1
    assert path.read_bytes() == before


async def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageConnectionError, match="is a directory"):
        await SQLiteBackend(f"sqlite:///{tmp_path}").connect()
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "inner" / "store.db"
    before = os.umask(0)
    try:
        async with SQLiteBackend(f"sqlite:///{path}") as store:
            await store.set("key", 1)
    finally:
        os.umask(before)
    assert [mode(path.parent.parent), mode(path.parent), mode(path)] == [0o700, 0o700, 0o600]


def test_a_folder_that_cannot_be_made(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    kind, message = run_job(JOBS, "fail_to_open", open_folder / "missing" / "store.db", "open").stdout.splitlines()
    assert kind == "StorageConnectionError"
    assert re.search("no folder .*missing.*create it", message)


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path in (f"{tmp_path}/file/store.db", f"{tmp_path}/file/inner/store.db"):
        with pytest.raises(StorageConnectionError, match="no folder"):
            await SQLiteBackend(f"sqlite:///{path}").connect()


@pytest.mark.parametrize("there", [True, False], ids=["target there", "target not there yet"])
async def test_a_symbolic_link_is_followed_before_anything_is_judged(there: bool, tmp_path: Path) -> None:
    data, link = tmp_path / "data" / "store.db", tmp_path / "app" / "store.db"
    data.parent.mkdir()
    link.parent.mkdir()
    link.symlink_to("../data/store.db")
    if there:
        make_older_file(data)
    async with SQLiteBackend(str(link)) as store:
        await store.set("key", 1)
        assert sorted(file.name for file in data.parent.iterdir()) == ["store.db", "store.db-shm", "store.db-wal"]
    assert execute(data, "SELECT value FROM kv_store") == [("1",)]
    assert mode(data) == 0o600 or there


def test_a_symbolic_link_in_a_folder_that_is_read_only(open_folder: Path) -> None:
    (open_folder / "data").mkdir(mode=0o777)
    (open_folder / "data").chmod(0o777)
    (open_folder / "app").mkdir()
    (open_folder / "app" / "store.db").symlink_to("../data/store.db")
    (open_folder / "app").chmod(0o555)
    assert run_job(JOBS, "fail_to_open", open_folder / "app" / "store.db", "write").stdout == ""
    assert execute(open_folder / "data" / "store.db", "SELECT value FROM kv_store") == [('"new"',)]


async def test_a_file_with_a_second_name_is_refused(path: Path) -> None:
    """SQLite keeps a log for each name, and writes under one destroy those under the other."""
    make_older_file(path)
    other = path.with_name("other.db")
    other.hardlink_to(path)
    for name in (path, other):
        with pytest.raises(StoreUnavailableError, match=r"2 names .hard links.*Remove the other names, or copy"):
            await SQLiteBackend(str(name)).connect()
    other.unlink()
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)


async def test_a_file_that_is_mounted_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with the file, not its folder, keeps its log where others do not see it."""
    path = tmp_path / "with blank" / "store.db"
    path.parent.mkdir()
    make_older_file(path)
    mounts = tmp_path / "mountinfo"
    line = "36 35 98:0 /data/store.db {} rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
    mounts.write_text(line.format("/") + line.format(str(path).replace(" ", "\\040")))
    monkeypatch.setattr(files, "_MOUNTS", mounts)
    with pytest.raises(StoreUnavailableError, match=r"mounted as a single file.*Mount the folder"):
        await SQLiteBackend(str(path)).connect()
    mounts.write_text(line.format(path.parent))
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
