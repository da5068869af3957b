"""Answers that rest on reads under schedules: a store that acknowledges only what a copy of it has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage import LEAVE, Transaction
from ad_seller.storage.atomic import confirm, idempotency, operations, updates
from ad_seller.storage.driver.commit import Commit, Outcome, Put, Refused
from ad_seller.storage.driver.failures import LostError
from ad_seller.storage.errors import (
    InvalidTransitionError,
    MissingKeyError,
    StorageError,
    UnknownOutcomeError,
)
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine
from tests.schedules.world import World, explore


class CopiedBackend(SimulatedBackend):
    """A master whose copy follows now and then; a write is acknowledged when the copy has it.

    Attributes:
        copied: so many of the commits that took effect are on the copy, too.
        connected: whether the copy follows.
    """

    def __init__(self, disk: Disk, **settings: Any) -> None:
        super().__init__(disk, **settings)
        self.copied = 0
        self.connected = True

    def _atomic_confirms(self, key: str) -> bool:
        return True

    def _make_engine(self) -> SimulatedEngine:
        return CopiedEngine(self)

    def on_copy(self, key: str) -> bool:
        """Tell whether the copy has every write of the key."""
        return not any(write.key == key for commit in self.disk.applied[self.copied :] for write in commit.writes)


class CopiedEngine(SimulatedEngine):
    _backend: CopiedBackend

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes = await super().apply(commits)
        if self._backend.connected:
            self._backend.copied = len(self.disk.applied)
        return [self._confirmed(outcome) for outcome in outcomes]

    def _confirmed(self, outcome: Outcome | Exception) -> Outcome | Exception:
        """A server waits for copies of what it wrote; where nothing was written there is nothing to wait for."""
        nothing = isinstance(outcome, Refused | Exception) or not any(outcome)
        return outcome if nothing or self._backend.connected else LostError("no copy has it")


def as_it_is(record: Any) -> Any:
    return LEAVE


async def book(tx: Transaction) -> str:
    await tx.set("deal", 1)
    return "booked"


async def look(tx: Transaction) -> Any:
    return await tx.get("deal"), await tx.get("missing")


def _answers(store: SimulatedBackend) -> list[tuple[Any, list[str]]]:
    """What may be asked after a commit that nobody confirmed, and the keys on which its answer rests."""
    return [
        (lambda: store.run_once("book", "k", 1, book), ["deal"]),
        (lambda: store.create("deal", 2), ["deal"]),
        (lambda: store.compare_and_set("deal", 7, 8), ["deal"]),
        (lambda: store.update("deal", as_it_is), ["deal"]),
        (lambda: store.transact(look), ["deal"]),
        (lambda: store.get_and_delete("missing"), ["missing"]),
        (lambda: store.delete("missing"), ["missing"]),
        (lambda: store.delete_many(["missing", "deal"]), ["missing", "deal"]),
        (lambda: store.expire("missing", 9), ["missing"]),
        (lambda: store.transition_order("1", "submitted", actor="a"), ["order:1"]),
        (lambda: store.transact(lambda tx: tx.transition_order("1", "submitted", actor="a")), ["order:1"]),
    ]


def test_an_answer_is_given_when_the_copy_has_what_it_rests_on() -> None:
    async def scenario(world: World) -> None:
        disk = Disk(world)
        store = CopiedBackend(disk, clock=world.clock, sweep_interval=None, timeout=1)
        await store.connect()
        await store.set("order:1", {"status": "draft"})
        await store.set("missing", 1)

        async def cut_and_book(tx: Transaction) -> str:
            store.connected = False
            return await book(tx)

        for call in (
            store.run_once("book", "k", 1, cut_and_book),
            store.transition_order("1", "submitted", actor="a"),
            store.delete("missing"),
            store.set("deal", 1),
        ):
            with pytest.raises(UnknownOutcomeError):
                await call
        call, keys = world.chance.choice(_answers(store))
        asked = asyncio.ensure_future(_answer(call))
        delay = world.chance.choice((0, 0.001, 0.02))
        again = world.loop.call_later(delay, setattr, store, "connected", True)
        if await asked:
            assert all(store.on_copy(key) for key in keys), "an answer that a failover would take back"
        again.cancel()
        await store.let_go()

    explore(scenario, 600)


async def _answer(call: Any) -> bool:
    """Tell whether the call was answered, be it by an exception that says what is stored."""
    try:
        await call()
    except (InvalidTransitionError, MissingKeyError):
        return True
    except StorageError:
        return False
    return True


def test_confirming_changes_nothing_and_keeps_keys_apart() -> None:
    """Each key is a commit of its own: on a cluster they live in several places."""

    async def scenario(world: World) -> None:
        disk = Disk(world)
        store = CopiedBackend(disk, clock=world.clock, sweep_interval=None)
        await store.connect()
        await store.set("deal", 1, ttl=50)
        before = dict(disk.entries)
        assert await store.transact(look) == (1, None)
        assert {key: (entry.text, entry.expires_at) for key, entry in disk.entries.items()} == {
            key: (entry.text, entry.expires_at) for key, entry in before.items()
        }
        assert all(len({write.key for write in commit.writes}) == 1 for commit in disk.applied)
        await store.let_go()

    explore(scenario, 60)


async def _believed(*arguments: object) -> bool:
    return True


class TestTheChecksFindDefects:
    @pytest.mark.parametrize("module", [idempotency, operations, updates], ids=lambda module: module.__name__)
    def test_a_read_taken_for_an_acknowledgement(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        monkeypatch.setattr(module, "is_confirmed", _believed)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_an_answer_is_given_when_the_copy_has_what_it_rests_on()

    def test_nothing_written_where_nothing_is_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_write(key: str, text: bytes | None) -> Commit:
            again = (Put(key, text),) if text is not None else ()
            return Commit(_same_again(key, text).expectations, again)

        _same_again = confirm._same_again
        monkeypatch.setattr(confirm, "_same_again", no_write)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_an_answer_is_given_when_the_copy_has_what_it_rests_on()
