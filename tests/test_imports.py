"""What the package exports, and what is imported with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import ad_seller.storage
from tests.processes import run_code


def test_the_names_that_existing_agents_import() -> None:
    code = """
from ad_seller.storage import StorageBackend, get_storage_backend
from ad_seller.storage.base import StorageBackend as Same
from ad_seller.storage.factory import close_storage, get_storage, get_storage_backend as make
from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.redis_backend import RedisBackend
assert Same is StorageBackend and make is get_storage_backend
assert issubclass(SQLiteBackend, StorageBackend) and issubclass(RedisBackend, StorageBackend)
assert not hasattr(StorageBackend, "publish") and hasattr(RedisBackend, "publish")
"""
    done = run_code(code)
    assert done.returncode == 0, done.stderr


def test_everything_that_is_exported_exists() -> None:
    assert [name for name in ad_seller.storage.__all__ if not hasattr(ad_seller.storage, name)] == []
    assert set(ad_seller.storage.__all__) <= set(dir(ad_seller.storage))
    with pytest.raises(AttributeError, match=r"'ad_seller.storage' has no attribute 'nonsense'"):
        _ = ad_seller.storage.nonsense  # type: ignore[attr-defined]


def test_a_sqlite_store_is_opened_without_what_it_does_not_use(tmp_path: Path) -> None:
    """Cold start is a goal of its own; what takes how long is measured by `benchmarks.cold`."""
    code = """
import asyncio, sys
before = set(sys.modules)  # a tool that measures coverage brings some of them along
from ad_seller.storage import get_storage_backend

async def main():
    async with get_storage_backend("sqlite", sys.argv[1]) as store:
        await store.set("a", 1)
        assert await store.get("a") == 1 and await store.keys() == ["a"]
        assert await store.create("b", 2) and await store.update("b", lambda value: 3) == 3

asyncio.run(main())
others = {"argparse", "asyncpg", "difflib", "dotenv", "hashlib", "hiredis", "http", "importlib.metadata", "json",
    "multiprocessing", "opentelemetry", "pytest", "random", "redis", "shutil", "tempfile", "typer"}
ours = {f"ad_seller.storage.{name}" for name in (
    "atomic.effects", "atomic.idempotency", "atomic.lease", "atomic.open_effects", "cli", "driver.search", "hybrid",
    "namespaces.backend", "operations", "postgres", "records.ids", "redis", "seller.log", "seller.outbox",
    "seller.transaction", "seller.views", "sqlite.backup", "sqlite.views", "sync", "telemetry", "testing")}
print(sorted((others | ours) & (sys.modules.keys() - before)))
"""
    done = run_code(code, str(tmp_path / "a.db"))
    assert done.stdout.strip() == "[]", (done.stdout, done.stderr)


def test_importing_the_package_imports_no_driver() -> None:
    code = """
import sys
before = set(sys.modules)  # a tool that measures coverage brings sqlite3 along
import ad_seller.storage
from ad_seller.storage import backend_names, open_url, register_backend
backend_names()
open_url("memory://")
drivers = {"aiosqlite", "sqlite3", "redis", "hiredis", "asyncpg", "typer", "rich", "pytest", "anyio"}
print(sorted(drivers & (sys.modules.keys() - before)))
"""
    done = run_code(code)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("module", ["base", "errors", "factory", "options", "registry", "settings"])
def test_importing_the_package_is_enough_to_name_its_modules(module: str) -> None:
    done = run_code(f"import ad_seller.storage\nprint(ad_seller.storage.{module}.__name__)")
    assert done.stdout.strip() == f"ad_seller.storage.{module}", done.stderr
