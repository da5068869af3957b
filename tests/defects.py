"""Mends taken out again, to see which test finds the defect: ``pytest -p tests.defects --defect NAME tests/…``.

Each stands in the table of defects of docs/testing.md. What runs in processes of its own is not reached.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ad_seller.storage.atomic import claims, effects, lease, outcomes
from ad_seller.storage.concurrency import elapsed
from ad_seller.storage.driver.commit import Commit, Delete, Put
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory import entries
from ad_seller.storage.postgres import client, indexes, writer
from ad_seller.storage.postgres.commits import loads
from ad_seller.storage.records.expiry import SteadyClock
from ad_seller.storage.redis import commits, engine, index, listener, listings, pool, scripts, sentinel
from ad_seller.storage.sqlite import fields, files, identity, openfiles
from tests import outbox_defects  # noqa: F401 - they are noted where they stand
from tests.taken_out import DEFECTS, Patch, defect

__all__ = ["DEFECTS"]


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


@defect("parts-repeated")
def _(patch: Patch) -> None:
    """If a later call of a batch is not sent, all of it is tried again, with what earlier ones did (row 2)."""
    apply_stage = commits.Commits._apply_stage

    async def as_if_first(self: commits.Commits, stage: Any, batch: Any, outcomes: Any, until: float) -> None:
        own: list[Any] = [None] * len(outcomes)
        await apply_stage(self, stage, batch, own, until)
        outcomes[:] = [told if mine is None else mine for told, mine in zip(outcomes, own, strict=True)]

    patch.setattr(commits.Commits, "_apply_stage", as_if_first)


@defect("silent-listeners")
def _(patch: Patch) -> None:
    """Nobody ends a listener that does not read (row 6)."""
    patch.setattr(listener, "BEHIND", 1 << 60)


@defect("looks-nowhere")
def _(patch: Patch) -> None:
    """A listing that nobody vouches for believes the index without a look at the keys (row 6)."""
    for name in ("LIST", "ENTRIES"):
        text = getattr(listings, name).text.replace("if not is_right()", "if false")
        patch.setattr(listings, name, scripts.Script(text))


@defect("untold-kinds")
def _(patch: Patch) -> None:
    """What comes to the kinds of which an instance is told is surveyed, but not told of (row 6)."""
    patch.setattr(listener.Listener, "tells_of", lambda self, start: self._connection is not None)


@defect("head-of-line")
def _(patch: Patch) -> None:
    """A call for many waits for a locked row as long as it may (row 7)."""
    send = writer.Writer._send
    patch.setattr(writer.Writer, "_send", lambda self, commits, wait, patience: send(self, commits, 5.0, patience))


@defect("torn-reads")
def _(patch: Patch) -> None:
    """A read of many keys is made of several (row 10)."""
    patch.setattr(engine, "_MGET_KEYS", 1)


@defect("torn-listings-redis")
def _(patch: Patch) -> None:
    """A listing is made of many parts, each of another moment (row 10)."""
    patch.setattr(index, "MOMENT", 100)


@defect("torn-listings-postgres")
def _(patch: Patch) -> None:
    """Likewise (row 10)."""
    patch.setattr(client, "_BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")


@defect("fence-forgotten")
def _(patch: Patch) -> None:
    """The number of a lease begins anew where the last one was lost, as after a failover (row 16)."""
    patch.setattr(lease, "time", SimpleNamespace(**{**vars(time), "time": lambda: 0.0}))


@defect("asleep")
def _(patch: Patch) -> None:
    """The time that the machine is suspended is not counted."""
    patch.setattr(elapsed, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))


@defect("hybrid-waits")
def _(patch: Patch) -> None:
    """A hybrid does not know how long its sides wait (row 16)."""
    patch.setattr(HybridBackend, "timeout", None)


@defect("log-unseen")
def _(patch: Patch) -> None:
    """Of the three files of SQLite, only the database itself is known by its identity (row 1)."""
    patch.setattr(identity.Names, "lead_to", lambda self, files: identity.file_at(self._path) == files.main)
    patch.setattr(openfiles.OpenFile, "is_whole", openfiles.OpenFile.is_there)


@defect("second-name")
def _(patch: Patch) -> None:
    """A file of SQLite may have a second name (row 12)."""
    patch.setattr(files, "_check_names", lambda real: None)


@defect("master-believed")
def _(patch: Patch) -> None:
    """A master that was frozen is believed after its silence (row 9)."""
    patch.setattr(sentinel, "_SAFE", math.inf)


@defect("double-members")
def _(patch: Patch) -> None:
    """A member that comes twice is taken for what SQLite reads, not for what Python does (row 16)."""
    patch.setattr(fields, "_is_there_twice", lambda name: "0")


@defect("void-deadlines")
def _(patch: Patch) -> None:
    """A sweep of the memory backend goes through any number of void deadlines in one step (row 16)."""
    sweep = entries.Entries.sweep
    patch.setattr(entries.Entries, "sweep", lambda self, rows, now: sweep(self, 1 << 30, now))


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
    patch.setattr(commits.Commits, "_check_started", lambda self, answers: None)


@defect("effect-unfenced")
def _(patch: Patch) -> None:
    """The result of an effect is committed although another process has taken over."""

    async def keep(self: effects.Effect, claim: Any, result: Any) -> tuple[Any] | None:
        if self._terms.then is not None:
            async with self._begin() as transaction:
                await self._terms.then(transaction, result)
        text = self._store._atomic_encode(outcomes.made(self._id, result), self.key)
        writes = (Put(self.key, text, self._ttl_ms), Delete(self._keys.open), Delete(claim.key))
        await self._store._atomic_commit(Commit((), writes))
        return (result,)

    patch.setattr(effects.Effect, "_keep", keep)


@defect("old-claim")
def _(patch: Patch) -> None:
    """Another system is called although the claim may have ended, since the store was slow."""
    patch.setattr(claims.Claim, "is_old", False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--defect", choices=sorted(DEFECTS), help="the mend that is taken out")


@pytest.fixture(autouse=True, scope="session")
def _taken_out(request: pytest.FixtureRequest) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if name := request.config.getoption("--defect"):
            DEFECTS[name](patch)
        yield
