"""A copy of the open file, and a log that somebody removes: what was acknowledged stays, or is refused."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from ad_seller.storage import StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.sqlite import guard, identity, openfiles, statements
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import run_job, started_job
from tests.storms import Holdings

from .support import JOBS, execute, is_intact, older_get, plain, settle

REMOVED = [("-wal",), ("-shm",), ("-wal", "-shm")]
needs_lasting_locks = pytest.mark.skipif(guard._SET is None, reason="Linux has them")


@pytest.fixture
def nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only calls notice what happens to the files."""
    monkeypatch.setattr(openfiles, "_WATCH", 600)


@pytest.fixture(params=["the names", "their folder"])
def looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a look goes to: each of the names, or their folder, which has not changed for a while."""
    seconds = float("inf") if request.param == "the names" else 0.1  # longer than a step of the system's time
    for name in ("_SETTLED", "_SETTLED_COARSE"):
        monkeypatch.setattr(identity, name, seconds)
    return str(request.param)


def remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink()


async def come_and_go(path: Path, name: str) -> tuple[int, int]:
    """What another process sees that connects, writes and disconnects: our entries, and the counter."""
    done = await asyncio.to_thread(run_job, JOBS, "come_and_go", path, name)
    seen, counter = done.stdout.split()
    return int(seen), int(counter)


async def write_on(store: SQLiteBackend) -> tuple[int, int]:
    """Write 20 entries and count 5 times; return how many of either were acknowledged."""
    done = [0, 0]
    for number in range(25):
        try:
            if number < 20:
                await store.set(f"mine:{number}", number)
            else:
                await store.increment("counter")
        except StoreUnavailableError:
            continue
        done[number >= 20] += 1
    return done[0], done[1]


@needs_lasting_locks
@pytest.mark.parametrize("whole", [False, True], ids=["file", "folder"])
async def test_a_copy_of_the_open_file_takes_nothing_away(whole: bool, path: Path, tmp_path: Path) -> None:
    """Closing a descriptor of a file drops SQLite's locks on it; another process then removed the log."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("mine:0", 0)
        if whole:
            shutil.copytree(path.parent, tmp_path.with_name(f"{tmp_path.name}-copy"))
        else:
            shutil.copy(path, path.with_name("copy.db"))
        assert await come_and_go(path, "first") == (1, 1)
        assert await write_on(store) == (20, 5)
        assert await come_and_go(path, "second") == (20, 7)
        assert await store.get("counter") == 7
    assert older_get(path, "counter") == 7
    assert is_intact(path)
    shutil.rmtree(tmp_path.with_name(f"{tmp_path.name}-copy"), ignore_errors=True)


@pytest.mark.usefixtures("nobody_watches")
async def test_without_lasting_locks_it_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_SET", None)
    async with SQLiteBackend(str(path)) as store:
        await store.set("mine:0", 0)
        shutil.copy(path, path.with_name("copy.db"))
        assert await come_and_go(path, "first") == (1, 1)
        with pytest.raises(StoreUnavailableError, match="Nothing of this was written"):
            await store.set("mine:1", 1)
        assert await write_on(store) == (20, 5)
        assert await come_and_go(path, "second") == (20, 7)
    assert is_intact(path)


@pytest.mark.parametrize("suffixes", REMOVED, ids="".join)
async def test_a_removed_log_loses_nothing(suffixes: tuple[str, ...], path: Path) -> None:
    """The thread that watches saves it, and those who come meanwhile wait for that."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("mine:0", 0)
        await store.set("counter", 0)
        remove(path, *suffixes)
        assert await come_and_go(path, "first") == (1, 1)
        entries, counted = await write_on(store)
        assert entries >= 19
        assert await come_and_go(path, "second") == (20, 2 + counted)
        assert await store.get("counter") == 2 + counted
    assert is_intact(path)


@pytest.mark.usefixtures("nobody_watches")
@pytest.mark.parametrize("suffixes", REMOVED, ids="".join)
async def test_a_write_into_a_log_that_is_gone_is_refused(
    suffixes: tuple[str, ...], looked_at: str, path: Path
) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", "old")
        await settle(store, looked_at)
        remove(path, *suffixes)
        with pytest.raises(StoreUnavailableError, match=rf"{re.escape(str(path))}.*removed.*backup") as caught:
            await store.set("key", "new")
        assert caught.value.key == "key"
        assert await store.get("key") == "old"
        await store.set("key", "newer")  # the connections opened anew
        assert older_get(path, "key") == "newer"
    assert is_intact(path)


@pytest.mark.usefixtures("nobody_watches")
@pytest.mark.parametrize("suffixes", REMOVED, ids="".join)
async def test_disconnect_saves_what_a_removed_log_holds(suffixes: tuple[str, ...], path: Path) -> None:
    before = Holdings()
    async with SQLiteBackend(str(path)) as store:
        await store.set_many({f"mine:{number}": "x" * 1000 for number in range(100)})
        remove(path, *suffixes)
    assert execute(path, "SELECT count(*) FROM kv_store") == [(100,)]
    assert is_intact(path)
    await before.settle()


@pytest.mark.usefixtures("nobody_watches")
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_what_goes_while_it_is_written_is_unknown(
    suffix: str, looked_at: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = statements.apply

    def removed_meanwhile(*arguments: object) -> object:
        outcomes = apply(*arguments)  # type: ignore[arg-type]
        path.with_name(path.name + suffix).unlink()
        return outcomes

    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
        await settle(store, looked_at)
        with monkeypatch.context() as patch:
            patch.setattr(statements, "apply", removed_meanwhile)
            with pytest.raises(UnknownOutcomeError, match="removed or replaced"):
                await store.set("key", 2)
        if suffix:
            assert await store.get("key") == 2
            await store.set("key", 3)
            assert await store.get("key") == 3


@pytest.mark.usefixtures("nobody_watches")
async def test_a_reader_notices_another_index_of_the_log(path: Path) -> None:
    """Two processes that use different ones see each other's writes no more."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("mine:0", 0)
        remove(path, "-shm")
        assert await come_and_go(path, "first") == (1, 1)
        await asyncio.sleep(2 * openfiles._LOOK)
        assert await store.get("counter") == 1
        assert await store.count() == 3


@pytest.mark.usefixtures("nobody_watches")
async def test_it_is_told_when_another_program_has_begun_a_new_log(path: Path) -> None:
    """A program that does not wait, as ours does, opens the file in the moment after the removal."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("mine:0", 0)
        with plain(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await store.set("mine:1", 1)
        remove(path, "-wal", "-shm")
        execute_elsewhere = (
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()"
        )
        statement = "INSERT INTO kv_store (key, value) VALUES ('theirs', '1')"
        process = await asyncio.create_subprocess_exec("python3", "-c", execute_elsewhere, str(path), statement)
        assert await process.wait() == 0
        with pytest.raises(StoreUnavailableError, match=r"pages of acknowledged writes are lost"):
            await store.set("mine:2", 2)
        assert await store.keys() == ["mine:0", "theirs"]
        await store.set("mine:2", 2)
    assert is_intact(path)


@pytest.mark.parametrize("suffixes", REMOVED, ids="".join)
async def test_all_connections_of_a_process_open_anew(suffixes: tuple[str, ...], path: Path) -> None:
    """SQLite shares one index of the log among all of them, whichever instance or event loop they belong to."""
    first, second = SQLiteBackend(str(path)), SQLiteBackend(str(path))
    loop = asyncio.new_event_loop()
    async with first, second:
        await first.set("counter", 0)
        await asyncio.to_thread(loop.run_until_complete, second.increment("counter"))
        remove(path, *suffixes)
        counted = 1
        for store in (second, first, second, first):
            try:
                counted = await store.increment("counter")
            except StoreUnavailableError as error:
                assert "removed" in str(error)  # noqa: PT017 - at most the first call
        assert counted >= 4
        assert await come_and_go(path, "first") == (0, counted + 1)
        assert await asyncio.to_thread(loop.run_until_complete, second.get("counter")) == counted + 1
        assert await first.get("counter") == counted + 1
    await asyncio.to_thread(loop.run_until_complete, loop.shutdown_asyncgens())
    loop.close()
    assert is_intact(path)


@needs_lasting_locks
async def test_no_new_log_is_begun_while_others_use_the_old_one(path: Path, nobody_watches: None) -> None:
    """They share one index: what it says of one log would be looked for in the other (found by the histories)."""
    with started_job(JOBS, "write_when_told", path) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert await asyncio.to_thread(job.stdout.readline) == "open\n"
        async with SQLiteBackend(str(path), timeout=0.5) as store:
            await store.set("mine", 1)
            remove(path, "-wal")
            await asyncio.sleep(2 * openfiles._LOOK)
            with pytest.raises(StoreUnavailableError, match="while another process has it open"):
                await store.get("mine")
            assert not path.with_name(f"{path.name}-wal").exists()
            job.stdin.write("\n")
            job.stdin.flush()
            assert await asyncio.to_thread(job.stdout.readline) == "StoreUnavailableError\n"
            assert await store.get_many(["mine", "theirs"]) == {"mine": 1, "theirs": 0}
            await store.set("mine", 2)
            job.stdin.write("\n")
            job.stdin.flush()
            assert await asyncio.to_thread(job.stdout.readline) == "written\n"
            assert await store.get_many(["mine", "theirs"]) == {"mine": 2, "theirs": 2}


async def test_a_log_that_sqlite_removes_at_the_last_close_is_no_loss(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that watches may look between the last close and its own end."""
    store = SQLiteBackend(str(path))
    await store.connect()
    await store.set("key", 1)
    database = store._shared.current
    assert database is not None
    file = database._file
    assert file is not None
    await store.disconnect()
    assert not path.with_name(f"{path.name}-wal").exists()
    assert file.is_whole()
    file.renew()
    assert not caplog.records
