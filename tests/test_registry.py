"""Backends by name: built in, registered, or offered by other packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    ConfigurationError,
    MissingDependencyError,
    StorageBackend,
    backend_names,
    get_storage_backend,
    register_backend,
    registry,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import run_code

BACKEND = """
from ad_seller.storage.memory_backend import MemoryBackend
class Theirs(MemoryBackend):
    def __init__(self, database_url="default"):
        super().__init__()
        self.database_url = database_url
class NoBackend: pass
"""


class Minimal(StorageBackend):
    """Seven methods, an __init__ of its own, and no arguments."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def get(self, key: str) -> Any | None:
        return self.entries.get(key)

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        self.entries[key] = value

    async def delete(self, key: str) -> bool:
        return self.entries.pop(key, None) is not None

    async def exists(self, key: str) -> bool:
        return key in self.entries

    async def keys(self, pattern: str = "*") -> list[str]:
        return sorted(self.entries)


class WithURL(Minimal):
    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.database_url = database_url


@pytest.fixture(autouse=True)
def own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that another package brings; returns its name."""
    name = f"other_package_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / f"{name}.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(folder))
    return name


async def test_a_class() -> None:
    register_backend("minimal", Minimal)
    assert "minimal" in backend_names()
    store = get_storage_backend("Minimal")
    assert type(store) is Minimal
    await store.set("key", 1)
    assert await store.get("key") == 1


def test_a_class_gets_the_url_if_it_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    register_backend("with-url", WithURL)
    store = get_storage_backend("with-url", "files:///somewhere")
    assert isinstance(store, WithURL)
    assert store.database_url == "files:///somewhere"
    monkeypatch.setenv("STORAGE_TYPE", "WITH-URL")
    monkeypatch.setenv("DATABASE_URL", "files:///environment")
    store = get_storage_backend()
    assert isinstance(store, WithURL)
    assert store.database_url == "files:///environment"


def test_a_module_that_is_imported_at_first_use(other_package: str) -> None:
    register_backend("theirs", f"{other_package}:Theirs")
    assert "theirs" in backend_names()
    assert other_package not in sys.modules
    assert type(get_storage_backend("theirs")).__name__ == "Theirs"
    assert other_package in sys.modules


def test_a_name_is_not_replaced_silently() -> None:
    register_backend("mine", Minimal)
    register_backend("mine", Minimal)  # the same again is harmless
    for name in ("mine", "MINE", "sqlite", "redis", "memory"):
        with pytest.raises(ConfigurationError, match=r"taken.*replace=True"):
            register_backend(name, WithURL)
    assert type(get_storage_backend("mine")) is Minimal
    assert type(get_storage_backend("sqlite")) is SQLiteBackend


def test_a_name_is_replaced_when_told() -> None:
    register_backend("sqlite", Minimal, replace=True)
    assert type(get_storage_backend()) is Minimal


@pytest.mark.parametrize("name", ["", "  ", None, 5])
def test_what_is_no_name(name: object) -> None:
    with pytest.raises(ConfigurationError, match="storage type"):
        register_backend(name, Minimal)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", [None, 5, dict, {"a": 1}, "module", ":Class", "module:", ""], ids=repr)
def test_what_is_no_backend(backend: object) -> None:
    with pytest.raises(ConfigurationError, match="module:Class"):
        register_backend("mine", backend)  # type: ignore[arg-type]


def test_what_cannot_be_imported(other_package: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "broken_syntax.py").write_text("def")
    (tmp_path / "site" / "broken_import.py").write_text("from os import nothing_like_this")
    (tmp_path / "site" / "broken_code.py").write_text("1 / 0")
    (tmp_path / "site" / "broken_name.py").write_text("import os; os.nothing_like_this")
    targets = [
        f"{other_package}:Nothing",
        f"{other_package}:NoBackend",
        "nothing_like_this:C",
        "a b:C",
        f"{other_package}:Theirs:x",
    ]
    targets += [f"broken_{kind}:C" for kind in ("syntax", "import", "code", "name")]
    for number, target in enumerate(targets):
        register_backend(f"mine{number}", target)
        with pytest.raises(ConfigurationError, match=f"mine{number}") as caught:
            get_storage_backend(f"mine{number}")
        assert target.split(":")[0] in str(caught.value)


@pytest.mark.parametrize("name", ["theirs", "Theirs"])
def test_an_entry_point(name: str, other_package: str, tmp_path: Path) -> None:
    offer(tmp_path, "other-package", {name: f"{other_package}:Theirs"})
    assert other_package not in sys.modules
    assert {"memory", "redis", "sqlite"} < set(backend_names())
    assert name in backend_names()
    store = get_storage_backend("theirs", "files:///x")
    assert type(store).__name__ == "Theirs"
    assert store.database_url == "files:///x"  # type: ignore[attr-defined]


def test_an_entry_point_does_not_replace_a_built_in(other_package: str, tmp_path: Path) -> None:
    offer(tmp_path, "other-package", {"sqlite": f"{other_package}:Theirs"})
    assert type(get_storage_backend("sqlite")) is SQLiteBackend


def test_two_packages_that_offer_the_same_name(other_package: str, tmp_path: Path) -> None:
    offer(tmp_path, "one", {"theirs": f"{other_package}:Theirs"})
    offer(tmp_path, "two", {"theirs": f"{other_package}:NoBackend"})
    with pytest.raises(ConfigurationError, match=r"several packages"):
        get_storage_backend("theirs")
    register_backend("theirs", MemoryBackend)  # said explicitly, it is clear
    assert type(get_storage_backend("theirs")) is MemoryBackend


def test_an_entry_point_that_cannot_be_imported(tmp_path: Path, other_package: str) -> None:
    offer(tmp_path, "other-package", {"theirs": "nothing_like_this:Theirs"})
    with pytest.raises(ConfigurationError, match=r"theirs.*nothing_like_this"):
        get_storage_backend("theirs")


def offer(tmp_path: Path, package: str, backends: dict[str, str]) -> None:
    """Install the metadata of a package that offers backends."""
    folder = tmp_path / "site" / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in backends.items())
    (folder / "entry_points.txt").write_text(f"[{registry.ENTRY_POINT_GROUP}]\n{lines}")


@pytest.mark.parametrize(
    ("storage_type", "blocked", "extra"), [("redis", "redis", "redis"), ("postgres", "asyncpg", "postgres")]
)
def test_a_missing_extra_is_named_with_the_command(storage_type: str, blocked: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{blocked!r}] = None
from ad_seller.storage import MissingDependencyError, get_storage_backend
try:
    get_storage_backend({storage_type!r}, database_url="postgresql://h/d", redis_url="redis://h")
except MissingDependencyError as error:
    assert isinstance(error, ImportError) and isinstance(error, ValueError)
    print(error)
"""
    done = run_code(code)
    assert done.stderr == ""
    assert f"pip install 'ad-seller-storage[{extra}]'" in done.stdout
    assert blocked in done.stdout


def test_a_missing_extra_does_not_disturb_the_others() -> None:
    code = """
import asyncio, sys
sys.modules["redis"] = sys.modules["asyncpg"] = None
from ad_seller.storage import backend_names, open_url
assert {"redis", "sqlite"} <= set(backend_names())
async def main():
    async with open_url(":memory:") as store:
        await store.set("key", 1)
asyncio.run(main())
"""
    done = run_code(code)
    assert done.returncode == 0, done.stderr


def test_the_error_of_a_missing_extra_is_one_of_ours() -> None:
    assert issubclass(MissingDependencyError, ConfigurationError | ValueError)


WITHOUT_URL = """
import sys
sys.modules["redis"] = sys.modules["hiredis"] = sys.modules["asyncpg"] = None
from ad_seller.storage import get_storage_backend
for name in ("redis", "postgres", "hybrid"):
    try:
        get_storage_backend(name)
    except ValueError as error:
        print(error)
"""


def test_a_missing_url_is_told_before_a_missing_library() -> None:
    """Older agents ask for the URL first, and their tests run where no such library is installed."""
    done = run_code(WITHOUT_URL, env={"DATABASE_URL": "", "REDIS_URL": ""})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" storage")[0] for line in lines] == [
        "Redis URL required for redis",
        "PostgreSQL URL required for postgres",
        "PostgreSQL URL required for hybrid",
    ]
