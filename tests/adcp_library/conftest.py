"""Only in the environment of `make adcp`: nothing here is collected where `adcp` is not installed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.servers import RedisServer, find_redis_binary
from tests.adcp_library.processes import PROCESSES
from tests.atomic.support import Address

collect_ignore_glob = [] if find_spec("adcp") else ["test_*.py"]
if find_spec("adcp"):
    PROCESSES.set_forkserver_preload(["tests.adcp_library.warm"])
    ensure_running()  # it takes as long as the imports of the tests, and runs beside them


@pytest.fixture(scope="session")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis"), binary=find_redis_binary()) as server:
        yield server.url


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store of the test's own, empty, which processes can share."""
    kind: str = request.param
    if kind == "sqlite":
        return Address(kind, str(tmp_path / "seller.db"))
    if kind == "redis":
        return Address(kind, request.getfixturevalue("own_redis_url"), f"{uuid.uuid4().hex}:")
    return Address(kind, request.getfixturevalue("postgres_url"))


@pytest.fixture
async def storage(address: Address) -> AsyncIterator[StorageBackend]:
    async with address.open() as backend:
        yield backend
