"""The pytest plugin: ``pytest --storage-backend=module:Class`` runs the conformance tests on a backend.

pytest loads this file wherever the package is installed. So it stands outside of the package, and imports nothing
of it unless the option is there: the tests of others are neither slowed down nor change what their coverage sees.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add = parser.getgroup("ad-seller-storage", "conformance tests of storage backends").addoption
    add("--storage-backend", metavar="TARGET", help="Test module:Class, module:function or a URL.")
    add("--storage-url", metavar="URL", help="The database_url for it; {folder} is a new folder for each check.")
    add("--storage-level", action="append", default=[], metavar="LEVEL", help="Only this level; may come often.")
    add("--storage-check", action="append", default=[], metavar="NAME", help="Only this check; may come often.")
    add("--storage-storm", type=int, metavar="N", help="How many operations the storms of cancellations start.")
    add("--storage-seconds", type=float, default=60.0, metavar="N", help="A check that takes longer hangs.")
    add("--storage-erase", action="store_true", help="Delete the entries of a store that has some.")
    add("--storage-after", help=argparse.SUPPRESS)
    add("--storage-events", type=int, help=argparse.SUPPRESS)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Bring the kit in, if the option is there."""
    if config.getoption("--storage-backend"):
        from ad_seller.storage.testing.plugin import Kit

        config.pluginmanager.register(Kit(config), "ad_seller_storage_kit")


# --- for the tests of applications: nothing is imported before a test asks for one of these ----------------


@pytest.fixture
def seller_clock() -> Any:
    """A clock that stands still until the test turns it (``advance(seconds)``); the storages below go by it."""
    from ad_seller.storage.testing.fixtures import TestClock

    return TestClock()


@pytest.fixture
def seller_storage(seller_clock: Any) -> Iterator[Any]:
    """An empty storage in memory, connected; it is the one that `get_storage()` returns during the test."""
    from ad_seller.storage.memory_backend import MemoryBackend
    from ad_seller.storage.testing.fixtures import shared_storage

    with shared_storage(MemoryBackend(clock=seller_clock)) as storage:
        yield storage


@pytest.fixture
def seller_storage_file(seller_clock: Any, tmp_path: Path) -> Iterator[Any]:
    """The same on a new SQLite file."""
    from ad_seller.storage.sqlite_backend import SQLiteBackend
    from ad_seller.storage.testing.fixtures import shared_storage

    with shared_storage(SQLiteBackend(f"sqlite:///{tmp_path}/seller.db", clock=seller_clock)) as storage:
        yield storage


@pytest.fixture
def no_storage_left_open() -> Iterator[None]:
    """Fail the test if it leaves a backend connected that was not so before."""
    from ad_seller.storage.testing.fixtures import none_left_open

    with none_left_open():
        yield
