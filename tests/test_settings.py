"""Where the settings come from: arguments, then the environment, then the nearest `.env` file, then defaults."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError, InvalidArgumentError, factory, get_storage_backend, open_url
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.settings import DATABASE_PASSWORDS, SETTINGS, Settings, load_settings
from ad_seller.storage.sqlite_backend import SQLiteBackend


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder below an empty folder, and no settings."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    folder = tmp_path / "below"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_defaults() -> None:
    assert load_settings() == Settings()


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
    assert load_settings().storage_type is None


def test_what_is_empty_counts_as_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("STORAGE_TYPE=\nDATABASE_URL\nREDIS_URL=\n")
    assert load_settings().storage_type is None
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
        assert settings.storage_type is None


@pytest.mark.parametrize("name", ["storage_type", "Storage_Type", "STORAGE_TYPE"])
@pytest.mark.parametrize("where", ["environment", "file"])
def test_case_does_not_count(name: str, where: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "file":
        (folder / ".env").write_text(f"{name}=memory\n")
    else:
        monkeypatch.setenv(name, "memory")
    assert load_settings().storage_type == "memory"
    assert isinstance(get_storage_backend(), MemoryBackend)


def test_of_several_the_one_in_capitals_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("STORAGE_TYPE=file\n")
    monkeypatch.setenv("storage_type", "lower")
    assert load_settings().storage_type == "lower", "the environment comes before the file, in any case"
    monkeypatch.setenv("STORAGE_TYPE", "upper")
    assert load_settings().storage_type == "upper"


def test_blanks_and_line_ends_are_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", " sqlite\n")
    monkeypatch.setenv("DATABASE_URL", "\tsqlite:///./ad.db\r\n")
    monkeypatch.setenv("SQLITE_SYNCHRONOUS", " normal ")
    for backend in (get_storage_backend(), get_storage_backend("sqlite ", " ./ad.db\n"), open_url(" ./ad.db\n")):
        assert isinstance(backend, SQLiteBackend)
        assert backend.path == "./ad.db"
    monkeypatch.setenv("DATABASE_URL", "  \n")
    assert load_settings().database_url is None


def test_a_working_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert isinstance(open_url("memory://"), MemoryBackend)
    assert load_settings() == Settings()


CHILD = """
import os, sys
from ad_seller.storage import open_url
import ad_seller.storage.memory_backend, dotenv
if os.geteuid() == 0:  # root may read everything, so it becomes somebody else
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
elif sys.argv[1] == "folder":
    os.chmod("..", 0)
print(open_url("memory://"))
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read(what: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as private:  # for its owner alone
        work = Path(private, "work")
        work.mkdir(mode=0o755)
        if what == "file":
            Path(private).chmod(0o755)
            (work / ".env").write_text("STORAGE_TYPE=nonsense\n")
            (work / ".env").chmod(0)
        command = [sys.executable, "-c", CHILD, what]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        Path(private).chmod(0o700)
    assert done.stdout.strip() == "MemoryBackend()", done.stderr


class TestOptions:
    def test_a_setting_becomes_an_argument(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORAGE_TIMEOUT", "2.5")
        monkeypatch.setenv("storage_connect_wait", "30")
        monkeypatch.setenv("STORAGE_SWEEP_INTERVAL", "off")
        backend = get_storage_backend()
        assert isinstance(backend, SQLiteBackend)
        assert (backend.timeout, backend._connect_wait, backend._sweep_interval) == (2.5, 30, None)
        assert isinstance(get_storage_backend("memory"), MemoryBackend)

    def test_the_url_comes_before_the_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORAGE_TIMEOUT", "2")
        backend = open_url("sqlite:///x.db?timeout=7&synchronous=normal")
        assert isinstance(backend, SQLiteBackend)
        assert (backend.timeout, backend._synchronous, backend.path) == (7, "NORMAL", "x.db")

    def test_an_argument_comes_before_the_url(self) -> None:
        assert SQLiteBackend("sqlite:///x.db?timeout=7", timeout=3).timeout == 3
        assert SQLiteBackend("sqlite:///x.db?timeout=7").timeout == 7

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("STORAGE_TIMEOUT", "soon"),
            ("STORAGE_TIMEOUT", "-1"),
            ("STORAGE_TIMEOUT", "nan"),
            ("STORAGE_CONNECT_WAIT", "1 s"),
            ("STORAGE_MAX_VALUE_BYTES", "64 MiB"),
            ("SQLITE_SYNCHRONOUS", "off"),
        ],
    )
    def test_what_cannot_be_read_names_the_setting(
        self, name: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, text)
        with pytest.raises(InvalidArgumentError, match=f"(?i){name.partition('_')[2]}"):
            get_storage_backend()

    @pytest.mark.parametrize("url", ["sqlite:///x.db?timeout=soon", "sqlite:///x.db?nonsense=1"])
    def test_what_a_url_cannot_say(self, url: str) -> None:
        with pytest.raises(ConfigurationError):
            open_url(url)


class TestPasswords:
    @pytest.mark.parametrize("name", ["REDIS_PASSWORD", "redis_password"])
    def test_a_url_without_one(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, "p@ss w/rd#?")
        backend = open_url("redis://host/1")
        assert isinstance(backend, RedisBackend)
        assert backend._settings.password == "p@ss w/rd#?"
        assert "ss w" not in repr((backend, backend._settings))

    @pytest.mark.parametrize("url", ["redis://:own@host/1", "redis://host/1?password=own", "redis://u:o@host"])
    def test_a_url_with_one_keeps_it(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_PASSWORD", "other")
        assert open_url(url).redis_url == url  # type: ignore[attr-defined]

    def test_the_first_of_several_names_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in reversed(DATABASE_PASSWORDS):
            monkeypatch.setenv(name, name)
            assert load_settings().database_password == name

    def test_no_repr_shows_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_PASSWORD", "hunter2")
        monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
        assert "hunter2" not in repr(load_settings())


class TestContradictions:
    @pytest.fixture(autouse=True)
    def not_said_yet(self) -> None:
        factory._warn_once.cache_clear()

    def test_a_redis_url_without_a_type(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("REDIS_URL", "redis://host")
        for _ in range(2):
            get_storage_backend()
        assert [record.levelno for record in caplog.records] == [logging.WARNING], "once"
        assert "STORAGE_TYPE=redis" in caplog.text
        caplog.clear()
        monkeypatch.setenv("STORAGE_TYPE", "sqlite")
        get_storage_backend()
        assert not caplog.records

    def test_memory_with_several_workers(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("STORAGE_TYPE", "memory")
        monkeypatch.setenv("WEB_CONCURRENCY", "2")
        get_storage_backend()
        assert "each has entries of its own" in caplog.text

    def test_memory_in_a_worker_of_a_server(self, tmp_path: Path) -> None:
        """As uvicorn starts its workers; in the process that starts them nothing is said."""
        script = tmp_path / "serve.py"
        script.write_text(
            "import logging, multiprocessing\n"
            "from ad_seller.storage import get_storage_backend\n"
            "def work():\n"
            "    logging.basicConfig(format='%(process)d %(message)s')\n"
            "    get_storage_backend()\n"
            "if __name__ == '__main__':\n"
            "    work()\n"
            "    workers = [multiprocessing.get_context('spawn').Process(target=work) for _ in range(2)]\n"
            "    [one.start() for one in workers]\n"
            "    [one.join() for one in workers]\n"
        )
        env = {**os.environ, "STORAGE_TYPE": "memory"}
        env.pop("WEB_CONCURRENCY", None)
        done = subprocess.run(
            [sys.executable, script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        said = [line.partition(" ") for line in done.stderr.splitlines() if "each such process has entries" in line]
        assert len({process for process, _, _ in said}) == len(said) == 2, done.stderr

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("postgresql", "postgres"),
            ("sqlite3", "sqlite"),
            ("pg", "postgres"),
            ("reddis", "redis"),
            ("mem", "memory"),
        ],
    )
    def test_the_nearest_name_is_suggested(self, written: str, meant: str) -> None:
        with pytest.raises(ConfigurationError, match=f"Unknown storage type.*Did you mean '{meant}'"):
            get_storage_backend(written)

    def test_nothing_is_suggested_for_what_is_like_none(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            get_storage_backend("xyz")
        assert "Did you mean" not in str(caught.value)
