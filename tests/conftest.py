"""Real engines for all tests.

`redis_url` and `postgres_url` are for ordinary ones, `own_redis` and `own_postgres` for those that break things.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import signal
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

from ad_seller.storage.testing import guardian
from ad_seller.storage.testing.conformance import jobs
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisBinary, RedisServer, find_redis_binaries, find_redis_binary
from tests import scratch, warm
from tests.certificates import Certificates, make_certificates
from tests.kept_open import emptied
from tests.measuring import RETOLD, UNMEASURED, untraced
from tests.postgres import kept
from tests.postgres.support import created_database
from tests.spread import pytest_collection_modifyitems, pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler"]

FOREIGN_REDIS = os.environ.get("REDIS_URL")
DATABASE_URL = os.environ.get("DATABASE_URL", "")
FOREIGN_POSTGRES = DATABASE_URL if DATABASE_URL.startswith("postgres") else None


jobs.Popen = guardian.Popen = warm.Popen
kept.install()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Every async test runs on asyncio; the library uses nothing else."""
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare each later `gc.collect` a look at all tests: 0.3 s of computing for ten thousand."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        _set_aside()


def _set_aside() -> None:
    """Take what lives on out of all later looks of the garbage collector; what is garbage now goes."""
    gc.collect()
    gc.freeze()


_begun = itertools.count(1)
_AT_ONCE = 100  #: tests, until what they have left for good is set aside


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Spare the tests that collect garbage a look at all that lives: 0.3 s each time.

    A burst of the benchmarks takes back what was set aside, and each module that is imported later comes on top.
    """
    if next(_begun) % _AT_ONCE == 0:
        _set_aside()


@pytest.fixture(scope="module", autouse=True)
def measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have coverage follow a module's tests, and the processes that they start, where that tells something."""
    is_retold = request.node.nodeid.startswith(RETOLD)
    with pytest.MonkeyPatch.context() as patch:
        if is_retold or request.node.nodeid.startswith(UNMEASURED):
            for name in [name for name in os.environ if name.startswith(warm.MEASURED)]:
                patch.delenv(name)
        with untraced() if is_retold else nullcontext():
            yield


@functools.cache
def redis_binaries() -> list[RedisBinary]:
    """Return what can be a server, at least one; found once, since each question starts all of those programs."""
    find_redis_binary()  # where there is none, it says what to do
    return find_redis_binaries()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is about Redis once for every server program found, all else on the first; or on REDIS_URL."""
    if "redis_binary" in metafunc.fixturenames:
        is_about_redis = any("redis" in part for part in metafunc.definition.path.parts[-2:])
        binaries = redis_binaries() if is_about_redis and not FOREIGN_REDIS else redis_binaries()[:1]
        metafunc.parametrize(
            "redis_binary", binaries, ids=[binary.name for binary in binaries], scope="session", indirect=True
        )


@pytest.fixture(scope="session")
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """The server program of this round."""
    binary: RedisBinary = request.param
    return binary


@pytest.fixture(scope="session")
def redis_server(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that the tests of one worker share: never stop, freeze or reconfigure it."""
    with RedisServer(tmp_path_factory.mktemp("redis"), binary=redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_binary: RedisBinary, request: pytest.FixtureRequest) -> str:
    """Where the shared Redis answers. It may belong to somebody: keep to `redis_prefix`, never FLUSHALL."""
    if FOREIGN_REDIS:
        return FOREIGN_REDIS
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """A key prefix of the test's own; what stands under it is removed afterwards."""
    prefix = f"ad_seller_test_{uuid.uuid4().hex}:"
    with emptied(redis_url, prefix):
        yield prefix


@pytest.fixture
def own_redis(redis_binary: RedisBinary, tmp_path: Path) -> Iterator[RedisServer]:
    """A server that only this test uses, and may kill, freeze and restart; it keeps what was acknowledged."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(tmp_path / "redis", binary=redis_binary, config=config) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a server and its clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that the tests of one worker share: never stop, freeze or reconfigure it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_admin_url(request: pytest.FixtureRequest) -> str:
    """A database of the shared PostgreSQL in which nothing is written, to create others from."""
    if FOREIGN_POSTGRES:
        return FOREIGN_POSTGRES.replace("postgresql+asyncpg:", "postgresql:", 1)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url()


@pytest.fixture(scope="session")
def postgres_database(postgres_admin_url: str) -> Iterator[kept.Database]:
    """A database for the tests of one worker."""
    with created_database(postgres_admin_url) as url, closing(kept.Database(url)) as database:
        yield database


@pytest.fixture
def postgres_url(postgres_database: kept.Database) -> str:
    """A database without entries."""
    postgres_database.empty()
    return postgres_database.url


@pytest.fixture
def new_database(postgres_admin_url: str) -> Iterator[str]:
    """A database that nobody has ever connected to."""
    with created_database(postgres_admin_url) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that only this test uses, and may kill, freeze and restart; it keeps what was acknowledged."""
    with PostgresServer(config={"fsync": "on", "full_page_writes": "on"}) as server:
        yield server


#: Reasons for which a check of the conformance kit does not apply to a backend, which its capabilities declare.
DECLARED = (
    "does not declare",
    "declares neither",
    "offers no store_raw",
    "a text column of PostgreSQL holds nothing but UTF-8",
)


class SkipsFailInCI:
    """A test that did not run proves nothing: in CI only a backend's declared capabilities may skip one."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not reason.startswith(DECLARED):
                self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and not hasattr(session.config, "workerinput"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.unexpected:
            terminalreporter.write_line(f"SKIPPED IN CI, which counts as a failure: {line}", red=True)


#: So many tests may pass only at their second try before the run is red all the same.
MOST_UNSTEADY = 3


class UnsteadyInCI:
    """With ``--reruns 1`` a test that fails gets a second try: its first is shown, and few may need it.

    One of ten thousand tests that hangs on chance must not throw away a day's work; but it is a defect, of the test
    or of the product, and whoever reads the run must see it.
    """

    def __init__(self) -> None:
        self.first_tries: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if outcome == "rerun":
            self.first_tries.append(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if len(self.first_tries) > MOST_UNSTEADY and not hasattr(session.config, "workerinput"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for report in self.first_tries:
            terminalreporter.section(f"UNSTEADY, a defect to be mended: {report.nodeid}", red=True)
            terminalreporter.write_line(report.longreprtext)
        if len(self.first_tries) > MOST_UNSTEADY:
            terminalreporter.write_line(f"More than {MOST_UNSTEADY} tests failed at their first try.", red=True)


def pytest_configure(config: pytest.Config) -> None:
    scratch.use()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under nohup: tests press Ctrl-C, children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", 0)
    if runs_tests and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # likewise; a handler, children do not inherit
    if not os.environ.keys() & {"FUZZ", "MODEL"} and find_spec("hypothesis"):  # make adcp does without it
        from hypothesis import settings

        settings.load_profile("ci")  # the same examples each time, none too slow; FUZZ and MODEL look for new ones
    if os.environ.get("CI"):
        config.pluginmanager.register(SkipsFailInCI())
        config.pluginmanager.register(UnsteadyInCI())
