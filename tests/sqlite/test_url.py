"""How a SQLite file can be named, and what is refused before anything is created."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import ConfigurationError, get_storage_backend
from ad_seller.storage.sqlite_backend import SQLiteBackend

WRONG = {
    "postgres": "postgresql://seller:hunter2@db.example/ads",
    "postgres with a driver": "postgresql+asyncpg://seller:hunter2@db.example/ads",
    "redis": "redis://:hunter2@cache.example:6379/0",
    "unknown scheme": "mysql://seller:hunter2@db.example/ads",
    "password with a slash": "postgresql://seller:hun/ter2@db.example/ads",
    "password with a hash": "postgresql://seller:hun#ter2@db.example/ads",
    "password with a question mark": "postgresql://seller:hun?ter2@db.example/ads",
    "password with an at": "postgresql://seller:hun@ter2@db.example/ads",
    "password as an option": "postgresql://db.example/ads?user=seller&password=hunter2",
    "two slashes": "sqlite://seller:hunter2@store.db",
    "options": "sqlite:///store.db?password=hunter2",
    "keywords": "host=db.example port=5432 dbname=ads user=seller password=hunter2",
    "login and host": "seller:hunter2@db.example",
    "login and a file's suffix": "seller:hunter2@db.example.db",
    "host and port": "10.0.0.5:6379",
    "host and port of a name": "my-redis:6379",
    "host and port, and a database": "cache.example.db:6379/0",
    "keywords of another cloud": "cache.example.com:6380,password=hunter2,ssl=True",
    "a word": "sqlite",
}


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///store.db", "store.db"),
        ("sqlite:///./store.db", "store.db"),
        ("sqlite+aiosqlite:///store.db", "store.db"),
        ("store.db", "store.db"),
        ("./store.db", "store.db"),
        ("./store", "store"),
        (" store.db\n", "store.db"),
        ("sqlite:///./store.db\r\n", "store.db"),
        ("store.sqlite3", "store.sqlite3"),
        ("sqlite:///a folder/päckchen%20 #1.db", "a folder/päckchen%20 #1.db"),
    ],
)
async def test_relative_names(url: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a folder").mkdir()
    async with SQLiteBackend(url) as store:
        await store.set("key", 1)
    assert (tmp_path / file).stat().st_size > 0


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite+aiosqlite:///{}", "{}"])
async def test_absolute_names(form: str, path: Path) -> None:
    async with SQLiteBackend(form.format(path)) as store:
        await store.set("key", 1)
    assert path.stat().st_size > 0


@pytest.mark.parametrize(
    "url", [":memory:", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"]
)
async def test_in_memory(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLiteBackend(url) as store:
        assert not store.capabilities.durable
        assert not store.capabilities.shared
        await store.set("key", [1])
        assert await store.scan() == ([("key", [1])], None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRONG)
def test_other_urls_are_refused_and_create_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", WRONG[name])
    makers: tuple[Callable[[], object], ...] = (
        lambda: SQLiteBackend(WRONG[name]),
        lambda: get_storage_backend("sqlite", database_url=WRONG[name]),
        lambda: get_storage_backend("sqlite"),
    )
    for make in makers:
        with pytest.raises(ConfigurationError) as caught:
            make()
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "sqlite" in str(caught.value).lower()
        assert "ter2" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["", "  ", None, 5, b"store.db", Path("store.db"), "store\0.db"], ids=repr)
def test_what_is_no_url(url: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="non-empty str"):
        SQLiteBackend(url)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings", [{"synchronous": "OFF"}, {"timeout": 0}, {"timeout": float("nan")}, {"sweep_interval": -1}], ids=str
)
def test_settings_that_cannot_work(settings: dict[str, Any], path: Path) -> None:
    with pytest.raises(ValueError, match=r"FULL|positive"):
        SQLiteBackend(str(path), **settings)
    assert not path.exists()


async def test_a_file_that_is_there_needs_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLiteBackend("sqlite:///store") as store:
        await store.set("key", 1)
    async with SQLiteBackend("store") as store:
        assert await store.get("key") == 1


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SQLiteBackend("~/store").path == f"{tmp_path}/store"
