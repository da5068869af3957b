"""The table of failures in docs/design.md, walked through: each row is provoked on a real engine."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.sqlite import openfiles
from ad_seller.storage.testing.redis_groups import RedisCluster, SentinelGroup
from tests.docs_samples import ROOT
from tests.failures.provoking import PROVOKED, Provoke

#: In the order of the table.
for _module in ("files", "redis_rows", "postgres_rows", "hybrid_rows", "group_rows"):
    importlib.import_module(f"tests.failures.{_module}")


#: What the rows of an engine share.
SHARED = {
    "PostgreSQL": ["postgres_url"],
    "hybrid": ["postgres_url"],
    "Sentinel": ["sentinel"],
    "cluster": ["cluster"],
}


class Row(NamedTuple):
    """A line of the table."""

    engine: str
    happened: str
    known: str
    told: str


def rows() -> list[Row]:
    """Read the table from the page."""
    section = (ROOT / "docs" / "design.md").read_text().partition("\n## Failures\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"
    ]
    return [Row(*line) for line in cells[2:]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters with a replica each; every row leaves it whole."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), node_timeout=1000) as group:
        yield group


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    """A master with two replicas and three sentinels, which take their time; every row leaves it whole."""
    with SentinelGroup(tmp_path_factory.mktemp("sentinel"), down_after=60_000) as group:
        yield group


async def provoked(provoke: Provoke, path: Path, request: pytest.FixtureRequest) -> StorageError:
    """Return the error of a row."""
    return await provoke(path, request)


def test_each_row_is_provoked_and_nothing_else() -> None:
    assert [(row.engine, row.happened) for row in rows()] == list(PROVOKED)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.engine}: {row.happened}") for row in rows()])
def test_the_caller_gets_what_the_table_says(
    row: Row, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openfiles, "_WATCH", 600)  # only calls notice what happens to files
    for name in SHARED.get(row.engine, ()):
        request.getfixturevalue(name)  # which is not possible in an event loop
    error = asyncio.run(provoked(PROVOKED[row.engine, row.happened], tmp_path / "store.db", request))
    assert f"`{type(error).__name__}`" == row.told
    assert re.search(r"[a-z]", str(error))
