"""From settings to a backend, and the one that the whole application shares."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest

from ad_seller.storage import (
    ConfigurationError,
    NotConnectedError,
    StorageBackend,
    StorageConnectionError,
    close_storage,
    factory,
    get_storage,
    get_storage_backend,
    open_url,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, no settings, and nothing shared before or after."""
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(factory, "_shared", factory._Shared())
    return tmp_path


def test_the_default_is_a_file_in_this_folder(folder: Path) -> None:
    backend = get_storage_backend()
    assert isinstance(backend, SQLiteBackend)
    assert Path(backend.path).name == "ad_seller.db"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["sqlite", "SQLite", " sqlite "])
def test_sqlite(name: str) -> None:
    backend = get_storage_backend(name, "sqlite:///x.db")
    assert isinstance(backend, SQLiteBackend)
    assert backend.path == "x.db"


def test_redis() -> None:
    backend = get_storage_backend("redis", redis_url="redis://host/1")
    assert isinstance(backend, RedisBackend)
    assert backend.redis_url == "redis://host/1"
    assert backend.key_prefix == "ad_seller:"


def test_memory() -> None:
    assert isinstance(get_storage_backend("memory"), MemoryBackend)


def test_settings_and_arguments_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    monkeypatch.setenv("DATABASE_URL", "environment.db")
    for backend, url in (
        (get_storage_backend(), "redis://environment"),
        (get_storage_backend(redis_url="redis://argument"), "redis://argument"),
    ):
        assert isinstance(backend, RedisBackend)
        assert backend.redis_url == url
    for backend, path in (
        (get_storage_backend("sqlite"), "environment.db"),
        (get_storage_backend("sqlite", "argument.db"), "argument.db"),
    ):
        assert isinstance(backend, SQLiteBackend)
        assert backend.path == path


@pytest.mark.parametrize("name", ["mongodb", "sqlite3", "redis ; drop", "ad_seller.storage"])
def test_an_unknown_type(name: str) -> None:
    with pytest.raises(ValueError, match=r"Unknown storage type.*memory.*redis.*sqlite.*register_backend"):
        get_storage_backend(name)


@pytest.mark.parametrize("name", [5, b"sqlite", ["sqlite"], True])
def test_what_is_no_type(name: object) -> None:
    with pytest.raises(ConfigurationError):
        get_storage_backend(name)  # type: ignore[arg-type]


def test_redis_without_a_url() -> None:
    with pytest.raises(ValueError, match=r"Redis URL required.*REDIS_URL"):
        get_storage_backend("redis")
    with pytest.raises(ValueError, match="Redis URL required"):
        get_storage_backend("redis", redis_url="")


@pytest.mark.parametrize(
    ("storage_type", "url"),
    [
        ("sqlite", "postgresql://seller:hunter2@host/db"),
        ("sqlite", "redis://:hunter2@host"),
        ("redis", "sqlite:///hunter2.db"),
        ("redis", "postgresql://seller:hunter2@host/db"),
    ],
)
def test_a_url_that_does_not_fit_the_type(storage_type: str, url: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        get_storage_backend(storage_type, database_url=url, redis_url=url)
    if "@" in url:
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("sqlite:///x.db", SQLiteBackend),
        ("sqlite+aiosqlite:///x.db", SQLiteBackend),
        ("SQLITE:///x.db", SQLiteBackend),
        ("x.db", SQLiteBackend),
        (":memory:", SQLiteBackend),
        ("memory://", MemoryBackend),
        ("redis://host", RedisBackend),
        ("REDIS://host", RedisBackend),
        ("rediss://host", RedisBackend),
        ("unix:///run/redis.sock", RedisBackend),
    ],
)
def test_a_url_tells_the_type(url: str, backend: type[StorageBackend]) -> None:
    assert type(open_url(url)) is backend


@pytest.mark.parametrize("url", ["", "  ", None, 5, b"x.db", "http://host", "redis:host", "mysql://u:hunter2@host"])
def test_what_is_no_url(url: object, folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_url(url)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    assert list(folder.iterdir()) == []


class TestShared:
    @pytest.fixture(autouse=True)
    async def closed(self, folder: Path) -> AsyncIterator[None]:
        """Nothing stays open."""
        yield
        await close_storage()

    async def test_a_hundred_first_callers_get_one_connected_instance(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = 0
        open_ = SQLiteEngine.open

        async def counted(self: SQLiteEngine) -> None:
            nonlocal opened
            opened += 1
            await asyncio.sleep(0.01)
            await open_(self)

        monkeypatch.setattr(SQLiteEngine, "open", counted)

        async def use(number: int) -> StorageBackend:
            store = await get_storage()
            await store.set(f"key:{number}", number)
            return store

        stores = await asyncio.gather(*(use(number) for number in range(100)))
        assert len({id(store) for store in stores}) == 1
        assert opened == 1
        assert await stores[0].count() == 100
        assert [file.suffix for file in folder.iterdir() if file.suffix == ".db"] == [".db"]

    async def test_a_failed_connect_is_not_remembered(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder}/later/store.db")
        (folder / "later").write_text("a file where a folder is to be")
        results = await asyncio.gather(*(get_storage() for _ in range(10)), return_exceptions=True)
        assert all(isinstance(result, StorageConnectionError) for result in results), results
        (folder / "later").unlink()
        await (await get_storage()).set("key", 1)

    async def test_a_cancelled_first_caller_does_not_harm_the_others(self) -> None:
        first = asyncio.create_task(get_storage())
        others = [asyncio.create_task(get_storage()) for _ in range(5)]
        await asyncio.sleep(0.001)
        first.cancel()
        stores = await asyncio.gather(*others)
        assert len({id(store) for store in stores}) == 1
        await stores[0].set("key", 1)

    async def test_closing_and_opening_again(self) -> None:
        await close_storage()
        one = await get_storage()
        await one.set("key", 1)
        await asyncio.gather(close_storage(), close_storage())
        with pytest.raises(NotConnectedError):
            await one.get("key")
        two = await get_storage()
        assert two is not one
        assert await two.get("key") == 1

    async def test_settings_are_read_at_the_first_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORAGE_TYPE", "memory")
        assert isinstance(await get_storage(), MemoryBackend)
        monkeypatch.setenv("STORAGE_TYPE", "sqlite")
        assert isinstance(await get_storage(), MemoryBackend)
        await close_storage()
        assert isinstance(await get_storage(), SQLiteBackend)

    async def test_one_that_was_disconnected_is_connected_again(self) -> None:
        await (await get_storage()).disconnect()
        await (await get_storage()).set("key", 1)

    async def test_tests_can_replace_it_by_name(self) -> None:
        fake = MemoryBackend()
        with (
            mock.patch("ad_seller.storage.factory.get_storage", return_value=fake) as get,
            mock.patch("ad_seller.storage.factory.close_storage") as close,
        ):
            assert await factory.get_storage() is fake
            await factory.close_storage()
            get.assert_awaited_once()
            close.assert_awaited_once()


def test_event_loops_one_after_the_other(folder: Path) -> None:
    async def use() -> int:
        return await (await get_storage()).increment("counter")

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
    asyncio.run(close_storage())
