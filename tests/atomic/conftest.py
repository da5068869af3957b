"""Every engine for every test: `backend` is a connected one, `address` says where one is that processes share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing.servers import RedisBinary, RedisServer
from tests.conftest import FOREIGN_REDIS, redis_binaries
from tests.kept_open import emptied

from .support import Address

Engine = tuple[str, RedisBinary | None]
ServerUrl = Callable[[RedisBinary | None], str]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One round for each engine; other Redis programs are for tests/conformance and tests/redis."""
    if "engine" in metafunc.fixturenames:
        programs = [None] if FOREIGN_REDIS else redis_binaries()[:1]
        engines: list[Engine] = [("sqlite", None), *(("redis", program) for program in programs)]
        if "backend" in metafunc.fixturenames:
            engines = [("memory", None), ("dict", None), *engines]
        names = [f"{kind}-{program.name}" if program else kind for kind, program in engines]
        metafunc.parametrize("engine", engines, ids=names, indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine of this round."""
    found: Engine = request.param
    return found


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUrl]:
    """Where a server of each program answers; it is started at first use and shared by the tests of a worker."""
    with ExitStack() as running:
        urls: dict[RedisBinary | None, str] = {None: FOREIGN_REDIS or ""}

        def url(program: RedisBinary | None) -> str:
            if program not in urls:
                server = RedisServer(tmp_path_factory.mktemp("redis"), binary=program)
                urls[program] = running.enter_context(server).url
            return urls[program]

        yield url


@pytest.fixture
def address(engine: Engine, redis_server_url: ServerUrl, tmp_path: Path) -> Iterator[Address]:
    """A store of the test's own, empty."""
    kind, program = engine
    if kind == "sqlite":
        yield Address(kind, f"sqlite:///{tmp_path}/atomic.db")
    elif kind != "redis":
        yield Address(kind)
    else:
        found = Address(kind, redis_server_url(program), f"ad_seller_test_{uuid.uuid4().hex}:")
        with emptied(found.url, found.prefix):
            yield found


@pytest.fixture
async def backend(address: Address) -> AsyncIterator[StorageBackend]:
    """A connected backend of each kind; "dict" is one of seven methods, atomic within the process."""
    async with address.open() as storage:
        yield storage
