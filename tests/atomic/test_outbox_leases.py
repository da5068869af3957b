"""Workers of an outbox: which one has a message, and what comes of one that hangs, is slow, or dies."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Any

import pytest

from ad_seller.storage import (
    LeaseLostError,
    StorageBackend,
    TransactionError,
)
from ad_seller.storage.seller.outbox_message import Claim

from .support import Address, workers
from .test_outbox import Shop, end_leases, shop, take

__all__ = ["shop"]


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
        done = False
        async with asyncio.timeout(30):
            while not done:
                again = await anext(messages)
                assert again.value == "once"
                with suppress(LeaseLostError):  # on a slow machine this takes too long, too
                    await again.done()
                    done = True
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

    async def test_a_message_that_was_noted_and_not_delivered_is_not_overtaken(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The store answers late when the death of the worker before is noted, and at once again afterwards."""
        for value in ("first", "second"):
            await shop.outbox.put(value, key="k")
        dead = shop.messages()
        await anext(dead)
        await end_leases(shop.storage)
        is_fresh, answers = Claim.is_fresh, iter([True, False])

        async def late(self: Claim) -> bool:
            return next(answers, True) and await is_fresh(self)

        monkeypatch.setattr(Claim, "is_fresh", late)
        messages, delivered = shop.messages(), list[str]()
        async for message in messages:
            async with message:
                delivered.append(message.value)
            if len(delivered) == 2:
                break
        await messages.aclose()
        await dead.aclose()
        assert delivered == ["first", "second"]

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
