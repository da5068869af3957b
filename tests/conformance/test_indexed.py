"""Searches find the same where the fields have an index."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage import DEFAULT_INDEXES, Index, NamespacedBackend, StorageBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.conformance import NewBackend
from ad_seller.storage.testing.conformance.searches import SearchConformance

#: What the searches of the kit ask for.
INDEXES = (*DEFAULT_INDEXES, *(Index("event", field) for field in ("field", "field.field", "s", "n", "t")))


class TestSQLiteWithIndexes(SearchConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db", indexes=INDEXES)


class TestSQLiteWhateverTheWay(SearchConformance):
    """Many records by an index: along the keys first, and then all of them sorted."""

    @pytest.fixture
    def new_backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewBackend:
        for name, number in {"_FEW": 0, "_LEAST_FEW": 0, "_WALKED": 2, "_LEAST_WALKED": 2, "_SPARE": 1}.items():
            monkeypatch.setattr(f"ad_seller.storage.sqlite.finding.{name}", number)
        return partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db", indexes=INDEXES)


class TestPostgresWithIndexes(SearchConformance):
    @pytest.fixture
    def new_backend(self, new_database: str) -> NewBackend:
        return partial(PostgresBackend, new_database, indexes=INDEXES)


def in_namespace(make: NewBackend) -> StorageBackend:
    return NamespacedBackend(make(), "publisher-a")


class TestSQLiteWithIndexesOfNamespaces(SearchConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> NewBackend:
        return partial(in_namespace, partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db", indexes=INDEXES))


class TestPostgresWithIndexesOfNamespaces(SearchConformance):
    @pytest.fixture
    def new_backend(self, new_database: str) -> NewBackend:
        return partial(in_namespace, partial(PostgresBackend, new_database, indexes=INDEXES))


class TestPostgresPageByPage(SearchConformance):
    """Without an index, in pages of few records."""

    @pytest.fixture
    def new_backend(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> NewBackend:
        monkeypatch.setattr("ad_seller.storage.postgres.listings._ENTRY_ROWS", 3)
        return partial(PostgresBackend, postgres_url)
