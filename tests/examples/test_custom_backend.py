"""The example's own promises; tests/conformance/test_custom.py checks those of the contract."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError, CorruptValueError, StoreUnavailableError
from examples.custom_backend import DirectoryBackend


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(directory: Path) -> DirectoryBackend:
    return DirectoryBackend(f"directory:///{directory}")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_nobody_else_can_read_it(backend: DirectoryBackend, directory: Path) -> None:
    async with backend:
        await backend.set("deal:1", {"secret": True})
    assert mode(directory) == 0o700
    assert [mode(path) for path in directory.iterdir()] == [0o600]


async def test_names_differ_by_more_than_case_and_fit(backend: DirectoryBackend, directory: Path) -> None:
    keys = ["deal:a", "deal:A", "DEAL:a", "../x", ".", "..", "+", "k" * 2048, "K" * 2048, "\u00e9" * 1024]
    async with backend:
        await backend.set_many({key: key for key in keys})
        assert await backend.get_many(keys) == {key: key for key in keys}
        assert await backend.keys() == sorted(keys)
    names = [path.name for path in directory.iterdir()]
    assert len({name.lower() for name in names}) == len(keys)
    assert max(map(len, names)) <= 255


async def test_what_crashes_and_expiries_leave_is_removed(backend: DirectoryBackend, directory: Path) -> None:
    async with backend:
        await backend.set("lasting", 1)
        await backend.set("short", 1, ttl=0.001)
    for name, age in (("old.tmp", 3600), ("new.tmp", 0)):
        (directory / name).touch()
        os.utime(directory / name, times=(time.time() - age,) * 2)
    time.sleep(0.002)
    async with backend:
        assert await backend.keys() == ["lasting"]
    assert sorted(path.name for path in directory.iterdir()) == ["lasting.jsonl", "new.tmp"]


async def test_directory_that_cannot_be_used(backend: DirectoryBackend, directory: Path) -> None:
    directory.write_text("a file")
    with pytest.raises(StoreUnavailableError) as caught:
        await backend.connect()
    assert isinstance(caught.value.__cause__, OSError)
    directory.unlink()
    async with backend:
        directory.rmdir()
        with pytest.raises(StoreUnavailableError) as caught:
            await backend.set("deal:1", 1)
        assert caught.value.key == "deal:1"
        assert await backend.get("deal:1") is None


async def test_damaged_first_line_is_no_missing_entry(backend: DirectoryBackend, directory: Path) -> None:
    async with backend:
        await backend.set("deal:1", 1)
        (directory / "deal%3a1.jsonl").write_bytes(b"\0\0\n1")
        with pytest.raises(CorruptValueError):
            await backend.get("deal:1")
        await backend.set("deal:1", 2)
        assert await backend.get("deal:1") == 2


@pytest.mark.parametrize("url", ["sqlite:///./ad_seller.db", "directory:/x", "./seller", ""])
def test_url_of_something_else(url: str) -> None:
    with pytest.raises(ConfigurationError):
        DirectoryBackend(url)
