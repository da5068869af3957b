"""Mends taken out again, to see which test finds the defect: ``pytest -p tests.defects --defect NAME tests/…``.

Each stands in the table of defects of docs/testing.md. What runs in processes of its own is not reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ad_seller.storage.driver.commit import Commit
from ad_seller.storage.postgres import indexes, writer
from ad_seller.storage.postgres.commits import loads
from ad_seller.storage.records.expiry import SteadyClock
from ad_seller.storage.redis import engine, listener, pool, scripts

Patch = pytest.MonkeyPatch

DEFECTS: dict[str, Callable[[Patch], None]] = {}


def defect(name: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Mark what brings a defect back."""

    def mark(function: Callable[[Patch], None]) -> Callable[[Patch], None]:
        DEFECTS[name] = function
        return function

    return mark


@defect("split-batch-postgres")
def _(patch: Patch) -> None:
    """The error of a later call hides what earlier ones of the same batch did (row 2)."""

    async def apply(self: writer.Writer, commits: list[Commit]) -> Sequence[writer.Answer]:
        answers: list[writer.Answer] = []
        for start, end in loads(commits):
            answers += await self._send(commits[start:end], self._lock_wait, None)
        return answers

    patch.setattr(writer.Writer, "apply", apply)


@defect("split-batch-redis")
def _(patch: Patch) -> None:
    """Likewise on Redis (row 2)."""
    whole = engine.RedisEngine.apply

    async def apply(self: engine.RedisEngine, commits: list[Commit]) -> Sequence[Any]:
        outcomes = await whole(self, commits)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return outcomes

    patch.setattr(engine.RedisEngine, "apply", apply)


@defect("silent-listeners")
def _(patch: Patch) -> None:
    """Nobody ends a listener that does not read (row 6)."""
    patch.setattr(listener, "BEHIND", 1 << 60)


@defect("head-of-line")
def _(patch: Patch) -> None:
    """A call for many waits for a locked row as long as it may (row 7)."""
    begin = writer.Writer.__init__

    def init(self: writer.Writer, client: Any, *, most: int, timeout: float) -> None:
        begin(self, client, most=most, timeout=timeout)
        self._lock_wait = timeout

    patch.setattr(writer.Writer, "__init__", init)


@defect("torn-reads")
def _(patch: Patch) -> None:
    """A read of many keys is made of several (row 10)."""
    patch.setattr(engine, "_MGET_KEYS", 1)


@defect("refused-together-redis")
def _(patch: Patch) -> None:
    """What the server refuses of one commit is the answer of the script, for all of them (row 11)."""
    text = scripts.COMMITS.text.replace("(wrote or is_own(done['err']))", "wrote")
    patch.setattr(scripts, "COMMITS", scripts.Script(text))


@defect("refused-together-postgres")
def _(patch: Patch) -> None:
    """One key that the server refuses fails all that share its call (row 11)."""
    patch.setattr(writer, "_FOR_ALL", (Exception,))


@defect("no-pause")
def _(patch: Patch) -> None:
    """While another instance builds indexes, each listing looks anew (row 13)."""
    patch.setattr(indexes, "_LOOK_PAUSE", 0.0)


@defect("dropped-siblings")
def _(patch: Patch) -> None:
    """What is learnt of one connection is not applied to the others of its server (row 14)."""
    patch.setattr(pool.NodePool, "learn", lambda self, error: None)


@defect("clock-believed")
def _(patch: Patch) -> None:
    """The system's clock is believed when it is set back (row 15)."""
    patch.setattr(SteadyClock, "__call__", lambda self: self._wall())


@defect("never-sent")
def _(patch: Patch) -> None:
    """A batch of which nothing was sent is told as the answer of its one try (row 16)."""
    patch.setattr(engine.RedisEngine, "_check_started", lambda self, answers: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--defect", choices=sorted(DEFECTS), help="the mend that is taken out")


@pytest.fixture(autouse=True, scope="session")
def _taken_out(request: pytest.FixtureRequest) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if name := request.config.getoption("--defect"):
            DEFECTS[name](patch)
        yield
