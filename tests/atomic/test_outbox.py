"""Outboxes: put with what they tell of, delivered at least once, by one worker at a time, in order of the key."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
    InvalidKeyError,
    InvalidValueError,
    LeaseLostError,
    Message,
    Outbox,
    StorageBackend,
    Transaction,
    TransactionError,
    UnsupportedError,
)
from ad_seller.storage.seller.outbox_entries import OutboxForm
from ad_seller.storage.seller.outbox_work import Patience, Worker

from .support import Address, workers


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


class TestLeases:
    async def test_two_workers_never_have_one_message_or_one_key(self, shop: Shop) -> None:
        for number in range(60):
            await shop.outbox.put(number, key=f"k{number % 7}")
        busy: set[str] = set()
        got: list[int] = []

        async def work() -> None:
            messages = shop.messages()
            async for message in messages:
                async with message:
                    assert message.key is not None
                    assert message.key not in busy
                    busy.add(message.key)
                    await asyncio.sleep(0.001)
                    got.append(message.value)
                    busy.discard(message.key)
                if len(got) >= 60:
                    break
            await messages.aclose()

        tasks = [asyncio.ensure_future(work()) for _ in range(4)]
        await asyncio.wait(tasks, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)
        assert sorted(got) == list(range(60))
        for key in range(7):
            assert [n for n in got if n % 7 == key] == list(range(key, 60, 7))

    async def test_who_hangs_loses_the_lease_and_what_it_says_late_is_refused(self, shop: Shop) -> None:
        message_id = await shop.outbox.put("once")
        slow = Shop(shop.storage, lease_ms=100).messages()
        late = await anext(slow)
        await asyncio.sleep(0.15)
        other = shop.messages()
        again = await anext(other)
        assert (late.id, again.id) == (message_id, message_id)
        with pytest.raises(LeaseLostError, match="another worker may have it"):
            await late.done()
        await again.done()
        for call in (again.done, again.failed, late.done):
            with pytest.raises(TransactionError, match="already"):
                await call()
        await slow.aclose()
        await other.aclose()
        assert await shop.storage.keys() == []

    async def test_a_block_that_took_too_long_goes_on_with_the_next(self, shop: Shop) -> None:
        await shop.outbox.put("once")
        messages = Shop(shop.storage, lease_ms=60).messages()
        async with await anext(messages):
            await asyncio.sleep(0.1)
        again = await anext(messages)
        assert again.value == "once"
        await again.done()
        await messages.aclose()

    async def test_what_nobody_acknowledged_counts_as_failed(self, shop: Shop) -> None:
        await shop.outbox.put("x")
        messages = shop.messages()
        await anext(messages)
        again = await anext(messages)
        assert again.attempts == 1
        await again.done()
        await messages.aclose()

    async def test_a_worker_of_which_nothing_more_is_heard_loses_nothing(self, shop: Shop) -> None:
        for number in range(40):
            await shop.outbox.put(number, key=f"k{number % 5}")
        silent = Shop(shop.storage, lease_ms=200).messages()
        first = await anext(silent)
        messages = shop.messages()
        assert sorted(await take(messages, 40)) == list(range(40))
        with pytest.raises(LeaseLostError):
            await first.done()
        await messages.aclose()
        await silent.aclose()

    async def test_what_kills_each_of_its_workers_is_set_aside(self, shop: Shop) -> None:
        """Those before and behind it in its lane are delivered meanwhile, those of its key after it."""
        for value in ("before", "poison", "behind"):
            await shop.outbox.put(value, key="k")
        shop.patience = shop.patience._replace(horizon=600.0)
        dead, delivered, since = [], [], shop.now
        while shop.now < since + 3_600 and "behind" not in delivered:
            dead.append(shop.messages())  # kept, and never closed: nothing more is heard of it
            async for message in dead[-1]:
                if message.value == "poison":
                    break
                await message.done()
                delivered.append(message.value)
                if message.value == "behind":
                    break
            await end_leases(shop.storage)
        [(poison, aside)] = (await shop.outbox.set_aside()).items
        assert delivered == ["before", "behind"]
        assert (aside["value"], aside["deaths"]) == ("poison", aside["attempts"])
        assert aside["error"] == f"its worker died, or took longer than the lease, {aside['deaths']} times"
        assert len(dead) == aside["deaths"] + 2, "the first was not missed yet, the last has lived"
        assert since + 500 < aside["set_aside_at"] < since + 660
        for worker in dead:
            await worker.aclose()
        await shop.outbox.retry(poison)
        messages = shop.messages()
        assert await take(messages, 1) == ["poison"]
        await messages.aclose()
        assert await shop.storage.keys() == []

    async def test_a_few_dead_workers_set_nothing_aside(self, shop: Shop) -> None:
        """A backlog older than the horizon, and workers that are killed by each deployment."""
        await shop.outbox.put("old")
        shop.now += 10 * 86_400
        dead = [shop.messages() for _ in range(3)]
        for worker in dead:
            await anext(worker)
            await end_leases(shop.storage)
            shop.now += 60
        messages = shop.messages()
        assert await take(messages, 1) == ["old"]
        for worker in (*dead, messages):
            await worker.aclose()


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
        await shop.outbox.put(1)
        messages = shop.messages()
        assert await take(messages, 1) == [1]
        await messages.aclose()
        assert len(await shop.storage.keys()) == 2

    async def test_a_large_message_and_outboxes_of_similar_names(self, shop: Shop) -> None:
        others: list[Outbox] = [shop.storage.outbox(name) for name in ("a", "a:00", "a%3A00", "a*")]
        for number, outbox in enumerate(others):
            await outbox.put({"n": number, "text": "x" * (20_000_000 if number == 1 else 1)})
        for number, outbox in enumerate(others):
            messages = outbox.work()
            async with await anext(messages) as message:
                assert message.value["n"] == number
            await messages.aclose()


class TestProcesses:
    def test_a_message_that_kills_every_worker_is_set_aside(self, address: Address) -> None:
        """It is older than the horizon from the start; the first death is not counted, three are enough."""

        async def put(storage: StorageBackend) -> None:
            for value in ("before", "poison", "behind"):
                await storage.outbox("hooks").put(value, key="k")

        async def aside(storage: StorageBackend) -> list[Any]:
            return [record["value"] for _, record in (await storage.outbox("hooks").set_aside()).items]

        address.run(put)
        for _ in range(4):
            with workers(1, address, "deliver", "behind") as [killed]:
                killed.go()
                assert killed.process.wait() == -signal.SIGKILL
            assert address.run(aside) == []
            address.run(end_leases)
        with workers(1, address, "deliver", "behind") as [worker]:
            worker.go()
            assert worker.line() == ["behind"]
        assert address.run(aside) == ["poison"]
