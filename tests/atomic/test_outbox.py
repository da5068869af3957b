"""Outboxes: put with what they tell of, delivered at least once, by one worker at a time, in order of the key."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
    InvalidKeyError,
    InvalidValueError,
    Message,
    Outbox,
    StorageBackend,
    Transaction,
    UnsupportedError,
)
from ad_seller.storage.seller.outbox_entries import OutboxForm
from ad_seller.storage.seller.outbox_work import Patience, Worker


class Shop:
    """An outbox, with a clock and pauses of the test's own."""

    def __init__(self, storage: StorageBackend, lease_ms: int = 20_000) -> None:
        self.storage = storage
        self.now = time.time()
        self.form = OutboxForm.of("hooks")
        self.outbox = Outbox(storage, self.form, lambda: self.now)
        self.patience = Patience(lease_ms, 1.0, 60.0, 86_400.0, 1.0)
        self.slept: list[float] = []
        self.has_slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) > 10:
            self.has_slept.set()
        self.now += seconds
        await asyncio.sleep(0)

    def messages(self) -> AsyncGenerator[Message, None]:
        return Worker(self.storage, self.form, self.patience, lambda: self.now, self.sleep).messages()


@pytest.fixture
def shop(backend: StorageBackend) -> Shop:
    """An outbox of the engine; where there can be none, that is checked."""
    if backend.capabilities.atomic != "store":
        with pytest.raises(UnsupportedError, match="one process"):
            backend.outbox("hooks")
        pytest.skip("does not declare atomic='store', so it refuses to have an outbox")
    return Shop(backend)


async def end_leases(storage: StorageBackend) -> None:
    """Let the lease of each worker end now, as it does when nothing more is heard of it."""
    assert await storage.delete_many(await storage.keys("outbox_lane:*"))


async def take(messages: AsyncGenerator[Message, None], count: int) -> list[Any]:
    """Deliver so many messages."""
    values = []
    for _ in range(count):
        async with await anext(messages) as message:
            values.append(message.value)
    return values


class TestDelivery:
    async def test_what_was_committed_is_delivered_once_in_the_order_of_its_key(self, shop: Shop) -> None:
        for number in range(6):
            await shop.outbox.put({"n": number}, key=f"buyer-{number % 2}")
        await shop.outbox.put({"n": 6})
        messages = shop.messages()
        values = await take(messages, 7)
        await messages.aclose()
        assert sorted(value["n"] for value in values) == list(range(7))
        assert [value["n"] for value in values if value["n"] in (0, 2, 4)] == [0, 2, 4]
        assert [value["n"] for value in values if value["n"] in (1, 3, 5)] == [1, 3, 5]
        assert await shop.outbox.waiting() == 0
        assert await shop.storage.keys() == []

    async def test_a_transaction_that_fails_puts_nothing(self, shop: Shop) -> None:
        async def work(tx: Transaction, number: int) -> None:
            await tx.set(f"outbox:deal-{number}", number)
            await tx.outbox("hooks").put(number)
            if number == 2:
                raise RuntimeError("no")

        await shop.storage.transact(lambda tx: work(tx, 1))
        with pytest.raises(RuntimeError):
            await shop.storage.transact(lambda tx: work(tx, 2))
        assert await shop.outbox.waiting() == 1
        messages = shop.messages()
        assert await take(messages, 1) == [1]
        await messages.aclose()

    async def test_a_failure_comes_again_later_and_holds_up_its_key_only(self, shop: Shop) -> None:
        first = await shop.outbox.put("first", key="a")
        await shop.outbox.put("second", key="a")
        for number in range(5):
            await shop.outbox.put(number, key=f"other-{number}")
        messages, failures = shop.messages(), 0
        delivered: list[Any] = []
        began = shop.now
        while len(delivered) < 7:
            async with await anext(messages) as message:
                if message.id == first and failures < 3:
                    assert message.attempts == failures
                    failures += 1
                    raise OSError("no route, password=secret-word")
                delivered.append(message.value)
        await messages.aclose()
        assert sorted(map(str, delivered[:5])) == list("01234")
        assert delivered[5:] == ["first", "second"]
        assert 7 <= shop.now - began < 20, "1 + 2 + 4 seconds of pauses"

    async def test_what_fails_for_too_long_is_set_aside_until_an_operator_decides(self, shop: Shop) -> None:
        shop.patience = shop.patience._replace(horizon=200.0)
        bad = await shop.outbox.put({"n": 1}, key="a")
        worse = await shop.outbox.put({"n": 2}, key="b")
        await shop.outbox.put({"n": 3}, key="a")
        messages = shop.messages()
        good: list[Any] = []
        while len((await shop.outbox.set_aside()).items) < 2 or not good:
            async with await anext(messages) as message:
                if message.value["n"] < 3:
                    raise OSError("refused: https://user:secret-word@shop.example")
                good.append(message.value)
        aside = dict((await shop.outbox.set_aside()).items)
        assert set(aside) == {bad, worse}
        assert aside[bad]["value"] == {"n": 1}
        assert "OSError: refused" in aside[bad]["error"]
        assert "secret-word" not in str(aside)
        assert good == [{"n": 3}]
        assert await shop.outbox.drop(worse)
        assert not await shop.outbox.drop(worse)
        assert await shop.outbox.retry(bad)
        assert not await shop.outbox.retry(bad)
        async with await anext(messages) as message:
            assert (message.id, message.attempts) == (bad, 0)
            raise OSError("still not")
        assert (await shop.outbox.set_aside()).items == [], "the time begins anew"
        assert await take(messages, 1) == [{"n": 1}]
        await messages.aclose()
        assert await shop.storage.keys() == []

    async def test_a_clock_that_jumps_back_makes_nobody_wait_for_it(self, shop: Shop) -> None:
        await shop.outbox.put(1)
        messages = shop.messages()
        async with await anext(messages):
            raise OSError
        shop.now -= 3_600
        set_back = shop.now
        assert await take(messages, 1) == [1]
        assert shop.now < set_back + 60
        await messages.aclose()

    async def test_idle_workers_look_once_a_second_and_write_nothing(self, shop: Shop) -> None:
        shop.patience = shop.patience._replace(first=60.0)
        await shop.outbox.put(1, key="a")
        messages = shop.messages()
        async with await anext(messages):
            raise OSError
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.wait_for(shop.has_slept.wait(), 30)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert max(shop.slept) == 1.0
        assert all(shop.slept[i] <= shop.slept[i + 1] for i in range(1, 6))


class TestBadInput:
    async def test_is_refused(self, shop: Shop) -> None:
        for name in ("", None, 5, "x" * 2_100):
            with pytest.raises(InvalidArgumentError):
                shop.storage.outbox(name)  # type: ignore[arg-type]
        for key in ("", 5, "x\0"):
            with pytest.raises(InvalidArgumentError):
                await shop.outbox.put(1, key=key)  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError):
            await shop.outbox.put({1})
        for message_id in ("", None):
            with pytest.raises(InvalidKeyError):
                await shop.outbox.retry(message_id)  # type: ignore[arg-type]
        assert not await shop.outbox.retry("nothing")
        with pytest.raises(InvalidArgumentError):
            await anext(shop.outbox.work(lease=0))
        assert await shop.storage.keys() == []

    async def test_what_is_no_message_is_passed_over(self, shop: Shop) -> None:
        await shop.storage.set("outbox:hooks:00:foreign", "x")
        await shop.storage.set("outbox:hooks:zz", "x")
        odd: list[dict[str, Any]] = [
            {"attempts": "x"},
            {"due": "nan"},
            {"since": "inf"},
            {"due": None},
            {"due": 10**400},
            {"key": ["a"]},
            {"since": {}},
        ]
        for number, parts in enumerate(odd):
            await shop.storage.set(f"outbox:hooks:00:{number:036}", {"value": "odd"} | parts)
        await shop.outbox.put(1)
        messages = shop.messages()
        assert await take(messages, 1) == [1]
        await messages.aclose()
        assert len(await shop.storage.keys()) == 2 + len(odd)

    async def test_a_large_message_and_outboxes_of_similar_names(self, shop: Shop) -> None:
        others: list[Outbox] = [shop.storage.outbox(name) for name in ("a", "a:00", "a%3A00", "a*")]
        for number, outbox in enumerate(others):
            await outbox.put({"n": number, "text": "x" * (20_000_000 if number == 1 else 1)})
        for number, outbox in enumerate(others):
            messages = outbox.work()
            async with await anext(messages) as message:
                assert message.value["n"] == number
            await messages.aclose()
