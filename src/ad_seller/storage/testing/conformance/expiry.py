# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 3: time to live, on the real clock of the store.

Nothing here depends on the speed of the machine. An entry set between the moments A and B with a time to live
T is there when asked before A + T, and gone when asked after B + T + 20 ms; in between, both are right.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import NamedTuple

import pytest

from ...base import StorageBackend
from ...errors import InvalidArgumentError, InvalidTTLError, MissingKeyError, UnsupportedError
from ...records.expiry import MAX_TTL_MS, TTL
from ..levels import Level, Section, belongs
from .calls import PRESENCE
from .harness import Harness, need_second_instance
from .jobs import NewBackend
from .rows import rows
from .samples import BAD_TTLS

LATE = 0.020  #: seconds that an entry may outlive its time
RESOLUTION = 0.001  #: seconds, the grain of the clocks


class Moment(NamedTuple):
    """A moment by both clocks: a store may go by either, and corrections move the second by some ms a second.

    Attributes:
        steady: by `time.monotonic`.
        wall: by `time.time`.
    """

    steady: float
    wall: float

    @classmethod
    def now(cls) -> Moment:
        """Return this moment."""
        return cls(time.monotonic(), time.time())

    def plus(self, seconds: float) -> Moment:
        """Return the moment that is so much later."""
        return Moment(self.steady + seconds, self.wall + seconds)

    def seconds_since(self, other: Moment) -> tuple[float, float]:
        """Return the smaller and the larger number of seconds by the two."""
        one, two = sorted((self.steady - other.steady, self.wall - other.wall))
        return one, two


async def watch_it_expire(backend: StorageBackend, key: str, earliest: Moment, latest: Moment) -> None:
    """Poll until the entry is gone; the moments are those of its expiry. It is early, or late, by both clocks."""
    while True:
        asked = Moment.now()
        present = await backend.exists(key)
        answered = Moment.now()
        if not present:
            _, passed = answered.seconds_since(earliest)
            assert passed >= -RESOLUTION, f"gone {-passed:.4f} s early"
            return
        late, _ = asked.seconds_since(latest)
        assert late <= LATE, f"still there {late:.4f} s late"
        await asyncio.sleep(0.001)


async def wait_until_gone(backend: StorageBackend, *keys: str) -> None:
    """Wait for entries with at most 50 ms to live."""
    for key in keys:
        await watch_it_expire(backend, key, earliest=Moment(0, 0), latest=Moment.now().plus(0.25))


@belongs(Level.EXPIRY, Section.TTL)
class ExpiryConformance(Harness):
    """Never early, at most 20 ms late, for every operation alike."""

    @rows("ttl", [0.1, 0.1234, timedelta(milliseconds=150), 1], ids=str)
    async def test_expires_never_early_and_hardly_late(self, backend: StorageBackend, ttl: TTL) -> None:
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        before = Moment.now()
        await backend.set("value", "here", ttl=ttl)
        await watch_it_expire(backend, "value", before.plus(seconds), Moment.now().plus(seconds))

    @rows("name", PRESENCE)
    async def test_gone_for_every_operation(self, backend: StorageBackend, name: str) -> None:
        is_there = PRESENCE[name]
        await backend.set("long", "here", ttl=60)
        assert await is_there(backend, "long")
        assert not await is_there(backend, "missing")
        await backend.set("short", "here", ttl=0.05)
        await wait_until_gone(backend, "short")
        assert not await is_there(backend, "short")

    @rows("name", BAD_TTLS)
    async def test_bad_ttl_is_refused(self, backend: StorageBackend, name: str) -> None:
        bad = BAD_TTLS[name]
        await backend.set("value", "old", ttl=60)
        with pytest.raises(InvalidTTLError) as caught:
            await backend.set("value", "new", ttl=bad)
        assert caught.value.key == "value"
        for call in (
            backend.set_many({"value": "new"}, ttl=bad),
            backend.expire("value", bad),
            backend.create("new", 1, ttl=bad),
            backend.compare_and_set("value", "old", "new", ttl=bad),
            backend.update("value", lambda current: "new", ttl=bad),
            backend.increment("counter", ttl=bad),
            backend.set_session("1", {}, ttl=bad),
            backend.set_quote("1", {}, ttl=bad),
        ):
            with pytest.raises(InvalidTTLError):
                await call
        assert (await backend.scan()).items == [("value", "old")]
        left = await backend.ttl("value")
        assert left is not None
        assert 55 < left <= 60

    async def test_shortest_and_longest_ttl(self, backend: StorageBackend) -> None:
        longest = MAX_TTL_MS // 1000
        await backend.set("long", 1, ttl=longest)
        await backend.set("short", 1, ttl=1e-9)
        await wait_until_gone(backend, "short")
        left = await backend.ttl("long")
        assert left is not None
        assert longest - 60 < left <= longest
        assert await backend.get("long") == 1

    async def test_ttl_tells_what_is_left(self, backend: StorageBackend) -> None:
        await backend.set("for ever", 1)
        assert await backend.ttl("for ever") is None
        before = time.monotonic()
        await backend.set("for a minute", 1, ttl=60)
        left = await backend.ttl("for a minute")
        passed = time.monotonic() - before
        assert left is not None
        assert 60 - passed - RESOLUTION <= left <= 60
        with pytest.raises(MissingKeyError) as caught:
            await backend.ttl("missing")
        assert isinstance(caught.value, LookupError)
        assert caught.value.key == "missing"

    async def test_set_removes_an_earlier_expiry(self, backend: StorageBackend) -> None:
        await backend.set("value", 1, ttl=60)
        await backend.set("value", 2)
        assert await backend.ttl("value") is None
        await backend.set("value", 3, ttl=60)
        await backend.set_many({"value": 4})
        assert await backend.ttl("value") is None

    async def test_set_without_ttl_outlives_the_earlier_one(self, backend: StorageBackend) -> None:
        await backend.set_many({"value": 1, "witness": 1}, ttl=0.05)
        await backend.set("value", 2)
        await wait_until_gone(backend, "witness")
        await asyncio.sleep(LATE)
        assert await backend.get("value") == 2

    async def test_set_with_ttl_starts_anew(self, backend: StorageBackend) -> None:
        await backend.set("value", 1, ttl=60)
        before = Moment.now()
        await backend.set("value", 2, ttl=0.1)
        await watch_it_expire(backend, "value", before.plus(0.1), Moment.now().plus(0.1))
        await backend.set("value", 3, ttl=60)
        left = await backend.ttl("value")
        assert left is not None
        assert left > 55
        assert await backend.get("value") == 3

    async def test_set_after_expiry_is_a_new_entry(self, backend: StorageBackend) -> None:
        await backend.set("value", 1, ttl=0.03)
        await wait_until_gone(backend, "value")
        assert await backend.delete("value") is False
        await backend.set("value", 2)
        await asyncio.sleep(0.05)
        assert await backend.get("value") == 2
        assert await backend.ttl("value") is None

    async def test_expire_and_persist(self, backend: StorageBackend) -> None:
        await backend.set("value", {"n": 1})
        assert await backend.expire("value", 60) is True
        left = await backend.ttl("value")
        assert left is not None
        assert 55 < left <= 60
        assert await backend.persist("value") is True
        assert await backend.ttl("value") is None
        assert await backend.expire("value", timedelta(hours=1)) is True
        before = Moment.now()
        assert await backend.expire("value", 0.1) is True
        assert await backend.get("value") == {"n": 1}
        await watch_it_expire(backend, "value", before.plus(0.1), Moment.now().plus(0.1))
        assert await backend.expire("value", 60) is False
        assert await backend.persist("value") is False
        assert await backend.expire("missing", 60) is False
        assert await backend.persist("missing") is False
        assert await backend.keys() == []

    async def test_expire_needs_a_ttl(self, backend: StorageBackend) -> None:
        await backend.set("value", 1, ttl=60)
        with pytest.raises(InvalidArgumentError):
            await backend.expire("value", None)  # type: ignore[arg-type]
        assert await backend.ttl("value") is not None

    async def test_set_many_gives_all_the_same_ttl(self, backend: StorageBackend) -> None:
        keys = [f"value:{n}" for n in range(20)]
        before = Moment.now()
        await backend.set_many(dict.fromkeys(keys, "here"), ttl=0.2)
        after = Moment.now()
        await asyncio.gather(*(watch_it_expire(backend, key, before.plus(0.2), after.plus(0.2)) for key in keys))
        assert await backend.count() == 0

    async def test_update_keeps_the_expiry_unless_told(self, backend: StorageBackend) -> None:
        await backend.set("value", 1, ttl=60)
        await backend.update("value", lambda current: current + 1)
        left = await backend.ttl("value")
        assert left is not None
        assert 55 < left <= 60
        await backend.update("value", lambda current: current + 1, ttl=None)
        assert await backend.ttl("value") is None
        await backend.update("value", lambda current: current + 1, ttl=30)
        left = await backend.ttl("value")
        assert left is not None
        assert 25 < left <= 30

    async def test_only_quotes_expire_unless_told(self, backend: StorageBackend) -> None:
        await backend.set_quote("1", {})
        left = await backend.ttl("quote:1")
        assert left is not None
        assert 86_340 < left <= 86_400
        await backend.set_quote("1", {}, ttl=None)
        assert await backend.ttl("quote:1") is None
        await backend.set_session("1", {})
        assert await backend.ttl("session:1") is None
        await backend.set_session("1", {}, ttl=60)
        assert await backend.ttl("session:1") is not None
        await backend.set_order("1", {})
        assert await backend.ttl("order:1") is None

    async def test_expired_records_are_not_listed(self, backend: StorageBackend) -> None:
        await backend.set_quote("a", {"status": "open"}, ttl=60)
        await backend.set_quote("b", {"status": "open"}, ttl=0.03)
        await backend.set_session("a", {"n": 1}, ttl=0.03)
        await wait_until_gone(backend, "quote:b", "session:a")
        assert await backend.list_quotes({"status": "open"}) == [{"status": "open"}]
        assert await backend.list_quotes() == [{"status": "open"}]
        assert await backend.list_sessions() == []

    @belongs(Level.DURABLE, Section.TTL)
    async def test_expiry_survives_a_restart(self, backend: StorageBackend, new_backend: NewBackend) -> None:
        if not backend.capabilities.durable:
            pytest.skip("does not declare durable")
        before = Moment.now()
        await backend.set_many({"short": 1, "gone": 1}, ttl=0.4)
        after = Moment.now()
        await backend.set("gone", 1, ttl=0.01)
        await backend.set("long", 1, ttl=60)
        await backend.set("for ever", 1)
        await wait_until_gone(backend, "gone")
        await backend.disconnect()
        async with new_backend() as other:
            assert not await other.exists("gone")
            await watch_it_expire(other, "short", before.plus(0.4), after.plus(0.4))
            if other.capabilities.expiry == "store":
                left = await other.ttl("long")
                assert left is not None, "its time to live is forgotten"
                assert left <= 60
            assert await other.keys() == ["for ever", "long"]

    @belongs(Level.DURABLE, Section.TTL)
    async def test_expiry_is_known_as_far_as_declared(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_second_instance(backend)
        await backend.set("value", 1, ttl=60)
        if not backend.capabilities.shared:
            await backend.disconnect()
        async with new_backend() as other:
            if backend.capabilities.expiry == "store":
                left = await other.ttl("value")
                assert left is not None
                assert 55 < left <= 60
            else:
                with pytest.raises(UnsupportedError):
                    await other.ttl("value")
                assert await other.get("value") == 1
            assert await other.persist("value")
            assert await other.ttl("value") is None
