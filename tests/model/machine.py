"""A hypothesis state machine that does the same to a backend and to a dict, and compares every answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ad_seller.storage import KEEP, InvalidArgumentError, MissingKeyError, StorageBackend
from ad_seller.storage.testing.conformance.samples import same
from tests.clock import SetClock
from tests.model import draws
from tests.model.reference import Reference

T = TypeVar("T")

#: Seconds by which a server's clock and its answer may differ from the model's.
LATENESS = 60.0


class Bench:
    """A connected backend and the event loop that it lives in, for all examples of one test.

    Args:
        new: makes a backend, not yet connected.
        clock: the backend's clock, if a test can set it; else the server's decides.
        fresh: whether each example gets a new backend, rather than one that has been emptied.
    """

    def __init__(
        self, new: Callable[[], StorageBackend], clock: SetClock | None = None, *, fresh: bool = False
    ) -> None:
        self.backend = new()
        self.clock = clock
        self._new = new
        self._fresh = fresh
        self._runner = asyncio.Runner()

    def start_empty(self) -> None:
        if self._fresh:
            self.run(self.backend.disconnect())
            self.backend = self._new()
            self.run(self.backend.connect())
        else:
            self.run(self._delete_all())

    async def _delete_all(self) -> None:
        await self.backend.delete_many(await self.backend.keys())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def __enter__(self) -> Bench:
        self.run(self.backend.connect())
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self.backend.disconnect())
        self._runner.close()


class StoreMachine(RuleBasedStateMachine):
    """What all rules share: the bench, which a subclass names, and the model."""

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.model = Reference(self.bench.clock or time.time)

    @property
    def store(self) -> StorageBackend:
        return self.bench.backend

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.bench.run(work)

    def ttl(self, data: st.DataObject) -> Any:
        """Draw a time to live; short ones where the clock can be set."""
        return data.draw(draws.ttls if self.bench.clock else draws.long_ttls, label="ttl")

    @initialize()
    def start_empty(self) -> None:
        self.bench.start_empty()

    @invariant()
    def has_the_same_entries(self) -> None:
        if self.bench.clock:  # cheap there
            assert same(self.listed(), self.model.items())

    def teardown(self) -> None:
        assert same(self.listed(), self.model.items())

    def listed(self) -> list[tuple[str, Any]]:
        return self.run(self.store.scan("*")).items


class KeyRules(StoreMachine):
    """One entry at a time."""

    @rule(key=draws.keys, value=draws.values, data=st.data())
    def set(self, key: str, value: Any, data: st.DataObject) -> None:
        ttl = self.ttl(data)
        self.run(self.store.set(key, value, ttl))
        self.model.set(key, value, ttl)

    @rule(key=draws.keys)
    def get(self, key: str) -> None:
        assert same(self.run(self.store.get(key)), self.model.get(key))

    @rule(key=draws.keys)
    def exists(self, key: str) -> None:
        assert self.run(self.store.exists(key)) is self.model.exists(key)

    @rule(key=draws.keys)
    def delete(self, key: str) -> None:
        assert self.run(self.store.delete(key)) is self.model.delete(key)

    @rule(key=draws.keys)
    def ttl_of(self, key: str) -> None:
        if not self.model.exists(key):
            with pytest.raises(MissingKeyError):
                self.run(self.store.ttl(key))
            return
        left, expected = self.run(self.store.ttl(key)), self.model.left(key)
        if left is None or expected is None:
            assert left is expected
        else:
            assert abs(left - expected) <= (0.001 if self.bench.clock else LATENESS)

    @rule(key=draws.keys, data=st.data())
    def expire(self, key: str, data: st.DataObject) -> None:
        ttl = self.ttl(data) or 120
        assert self.run(self.store.expire(key, ttl)) is self.model.touch(key, ttl)

    @rule(key=draws.keys)
    def persist(self, key: str) -> None:
        assert self.run(self.store.persist(key)) is self.model.touch(key, None)

    @rule(key=draws.keys, value=draws.values, data=st.data())
    def create(self, key: str, value: Any, data: st.DataObject) -> None:
        ttl = self.ttl(data)
        assert self.run(self.store.create(key, value, ttl)) is self.model.create(key, value, ttl)

    @rule(key=draws.keys, guess=draws.values, value=draws.values, right=st.booleans(), data=st.data())
    def compare_and_set(self, key: str, guess: Any, value: Any, right: bool, data: st.DataObject) -> None:
        expected = self.model.get(key) if right else guess
        ttl = data.draw(st.sampled_from([KEEP, None, 3600]))
        done = self.run(self.store.compare_and_set(key, expected, value, ttl))
        assert done is self.model.compare_and_set(key, expected, value, ttl)

    @rule(key=draws.keys)
    def get_and_delete(self, key: str) -> None:
        assert same(self.run(self.store.get_and_delete(key)), self.model.get_and_delete(key))

    @rule(key=draws.keys, by=st.sampled_from([1, -1, 0, 2**64]), data=st.data())
    def increment(self, key: str, by: int, data: st.DataObject) -> None:
        ttl = self.ttl(data)
        total = self.model.increment(key, by, ttl)
        if total is None:
            with pytest.raises(InvalidArgumentError):
                self.run(self.store.increment(key, by, ttl))
        else:
            assert same(self.run(self.store.increment(key, by, ttl)), total)

    @rule(key=draws.keys)
    def reconnect(self, key: str) -> None:
        if key == draws.KEYS[0]:  # seldom
            self.run(self.store.disconnect())
            self.run(self.store.connect())


class TimeRules(StoreMachine):
    """Entries end at their time; only where the clock can be set."""

    @rule(seconds=st.sampled_from([0.25, 0.75, 1, 60, 90_000]))
    def time_passes(self, seconds: float) -> None:
        if self.bench.clock:
            before = self.model.keys("*")
            self.bench.clock.now += seconds
            for ended in set(before).difference(self.model.keys("*")):
                assert self.run(self.store.exists(ended)) is False


class ShortTimeRules(StoreMachine):
    """Entries end at their time, by the server's clock."""

    @rule(key=draws.keys, value=draws.values, how=st.sampled_from(["set", "expire", "create"]))
    def lives_shortly(self, key: str, value: Any, how: str) -> None:
        if how == "set":
            self.run(self.store.set_many({key: value}, 0.02))
        elif how == "create":
            self.run(self.store.delete(key))
            assert self.run(self.store.create(key, value, 0.02))
        else:
            self.run(self.store.set(key, value))
            assert self.run(self.store.expire(key, 0.02))
        self.run(asyncio.sleep(0.045))
        self.model.delete(key)
        assert self.run(self.store.get(key)) is None
        assert not self.run(self.store.delete(key))
        assert key not in self.run(self.store.keys("*"))
