"""Where the settings come from: arguments, then the environment, then the nearest `.env` file, then defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError
from ad_seller.storage.settings import load_settings

NAMES = ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "POSTGRES_POOL_MIN", "POSTGRES_POOL_MAX")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder below an empty folder, and no settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "below"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_defaults() -> None:
    settings = load_settings()
    assert settings.storage_type == "sqlite"
    assert settings.redis_url is None
    assert (settings.postgres_pool_min, settings.postgres_pool_max) == ("2", "10")


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other.db")
    monkeypatch.setenv("REDIS_URL", "redis://host")
    settings = load_settings()
    assert (settings.storage_type, settings.database_url, settings.redis_url) == (
        "redis",
        "sqlite:///other.db",
        "redis://host",
    )


def test_a_file_and_the_environment_before_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text(
        "STORAGE_TYPE=redis\nREDIS_URL='redis://:p$HOME${X}w@file'\nexport DATABASE_URL=a.db\n"
    )
    settings = load_settings()
    assert settings.storage_type == "redis"
    assert settings.redis_url == "redis://:p$HOME${X}w@file"  # a password is no template
    assert settings.database_url == "a.db"
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    assert load_settings().redis_url == "redis://environment"


def test_the_file_of_a_folder_above(folder: Path) -> None:
    (folder.parent / ".env").write_text("STORAGE_TYPE=memory\n")
    assert load_settings().storage_type == "memory"
    (folder / ".env").write_text("STORAGE_TYPE=redis\n")
    assert load_settings().storage_type == "redis"


def test_reading_the_settings_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("STORAGE_TYPE=memory\nUNRELATED=1\n")
    load_settings()
    (folder / ".env").unlink()
    assert load_settings().storage_type == "sqlite"


def test_what_is_empty_counts_as_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("STORAGE_TYPE=\nDATABASE_URL\nREDIS_URL=\n")
    assert load_settings().storage_type == "sqlite"
    assert load_settings().redis_url is None
    (folder / ".env").write_text("STORAGE_TYPE=memory\n")
    monkeypatch.setenv("STORAGE_TYPE", "")
    assert load_settings().storage_type == "memory"


@pytest.mark.parametrize("content", [b"STORAGE_TYPE=\xff\xfe", b"\x00\x01\x02"])
def test_a_file_that_is_no_text(content: bytes, folder: Path) -> None:
    """Garbage is our error, or ignored; no exception of the library that reads it comes through."""
    (folder / ".env").write_bytes(content)
    try:
        settings = load_settings()
    except ConfigurationError as error:
        assert ".env" in str(error)  # noqa: PT017 - both are right
    else:
        assert settings.storage_type == "sqlite"
