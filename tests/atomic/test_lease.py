"""Leases: one holder, told when it is not one any more, replaced when it dies."""

# ruff: noqa: PT012 - the end of a block raises here
from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
    Lease,
    LeaseHeldError,
    LeaseLostError,
    StorageBackend,
    TransactionError,
    UnsupportedError,
)
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import MOMENTS, Address, Moment, cancelled_at, renewed, settled, workers

NAME = "sync:gam"
KEY = f"lease:{NAME}"


async def take_away(backend: StorageBackend, lease: Lease) -> None:
    """Let the lease end, as if its holder had been frozen for longer than its time to live."""
    await backend.delete(lease.key)


class TestHolding:
    async def test_one_holder_at_a_time(self, backend: StorageBackend) -> None:
        inside = most = 0

        async def use() -> int:
            nonlocal inside, most
            async with backend.lease(NAME, 5, wait=10) as lease:
                inside += 1
                most = max(most, inside)
                assert lease.held
                lease.check()
                await asyncio.sleep(0)
                inside -= 1
            return lease.fence

        fences = await asyncio.gather(*(use() for _ in range(4)))
        assert (most, len(set(fences))) == (1, 4)

    async def test_the_number_grows_whatever_was_forgotten(
        self, backend: StorageBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def next_fence() -> int:
            async with backend.lease(NAME, 5) as lease:
                return lease.fence

        first = await next_fence()
        await backend.delete(f"lease_fence:{NAME}")  # as a failover does that loses the last writes
        await asyncio.sleep(0.002)
        second = await next_fence()
        monkeypatch.setattr(time, "time", lambda: 5.0)  # a machine whose clock is far behind
        assert first < second < await next_fence() < await next_fence()

    async def test_leaves_nothing_for_ever(self, backend: StorageBackend) -> None:
        """Leases may be named after requests."""
        async with backend.lease(NAME, 5):
            pass
        with contextlib.suppress(UnsupportedError):  # a backend of seven methods cannot tell
            left = await backend.ttl(f"lease_fence:{NAME}")
            assert left is not None
            assert 29 * 86_400 < left <= 30 * 86_400

    async def test_the_next_one_is_refused_or_waits(self, backend: StorageBackend) -> None:
        async with backend.lease(NAME, 5):
            with pytest.raises(LeaseHeldError, match=NAME):
                async with backend.lease(NAME, 5):
                    pass
            began = time.monotonic()
            with pytest.raises(LeaseHeldError):
                async with backend.lease(NAME, 5, wait=0.1):
                    pass
            assert 0.1 <= time.monotonic() - began < 3
            async with backend.lease("another", 5):
                pass
        async with backend.lease(NAME, 5) as again:
            assert again.held

    async def test_is_renewed_and_then_given_up(self, backend: StorageBackend) -> None:
        before = asyncio.all_tasks()
        async with backend.lease(NAME, 1.5) as lease:
            assert 0 < (await renewed(backend, KEY)) <= 1.5
            lease.check()
        assert lease.held is False
        assert not await backend.exists(KEY)
        await settled(before)

    async def test_an_exception_gives_it_up(self, backend: StorageBackend) -> None:
        with pytest.raises(ZeroDivisionError):
            async with backend.lease(NAME, 5):
                _ = 1 // 0
        assert not await backend.exists(KEY)

    async def test_a_lease_is_entered_once(self, backend: StorageBackend) -> None:
        lease = backend.lease(NAME, 5)
        async with lease:
            with pytest.raises(TransactionError):
                await lease.__aenter__()
            assert lease.held
        with pytest.raises(LeaseLostError):
            lease.check()

    @rows("ttl", [None, 0, -1, float("nan"), True, "5"])
    async def test_bad_input(self, backend: StorageBackend, ttl: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            backend.lease(NAME, ttl)
        for name in ("", None, 7):
            with pytest.raises(InvalidArgumentError):
                backend.lease(name, 5)  # type: ignore[arg-type]
        for wait in (-1, float("nan"), None, "1", True):
            with pytest.raises(InvalidArgumentError):
                backend.lease(NAME, 5, wait=wait)  # type: ignore[arg-type]


class TestFencing:
    async def test_a_commit_depends_on_the_lease(self, backend: StorageBackend) -> None:
        async with backend.lease(NAME, 5) as lease, backend.transaction() as tx:
            await tx.hold(lease)
            await tx.set("a", 1)
        assert await backend.get("a") == 1

    async def test_and_is_refused_after_its_loss(self, backend: StorageBackend) -> None:
        """The holder has not noticed yet that another one has replaced it."""
        with pytest.raises(LeaseLostError):
            async with backend.lease(NAME, 60) as lease:
                await take_away(backend, lease)
                assert lease.held
                with pytest.raises(LeaseLostError):
                    async with backend.transaction() as tx:
                        await tx.hold(lease)
                        await tx.set("a", 1)
                with pytest.raises(LeaseLostError):
                    async with backend.transaction() as tx:
                        await tx.hold(lease)
        assert not await backend.exists("a")

    async def test_a_lease_that_is_not_held_is_refused_at_once(self, backend: StorageBackend) -> None:
        runs = 0
        lease = backend.lease(NAME, 5)

        async def work(tx: Any) -> None:
            nonlocal runs
            runs += 1
            await tx.hold(lease)
            await tx.set("a", 1)

        with pytest.raises(LeaseLostError):
            await backend.transact(work)
        async with lease:
            await backend.transact(work)
        with pytest.raises(LeaseLostError):
            await backend.transact(work)
        assert runs == 3


class TestCancelled:
    @pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
    async def test_at_every_await_it_leaves_nothing(self, backend: StorageBackend, moment: Moment) -> None:
        async def use(name: str) -> None:
            async with backend.lease(name, 60) as lease, backend.transaction() as tx:
                await tx.hold(lease)
                await tx.set(f"k:{name}", 1)

        before = asyncio.all_tasks()
        step = 0
        while await cancelled_at(use(f"n{step}"), step, moment):
            await settled(before)
            async with backend.lease(f"n{step}", 60):
                step += 1
        assert step >= 4

    async def test_while_waiting(self, backend: StorageBackend) -> None:
        async with backend.lease(NAME, 5):
            waiting = asyncio.create_task(backend.lease(NAME, 5, wait=10).__aenter__())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
        async with backend.lease(NAME, 5):
            pass

    async def test_ending_at_the_moment_of_a_renewal_does_not_hang(self, backend: StorageBackend) -> None:
        """Python 3.11's wait_for swallows a cancellation that comes together with the answer."""
        for turns in range(12):
            with contextlib.suppress(LeaseLostError):  # a busy machine may be late
                async with asyncio.timeout(20), backend.lease(f"{NAME}{turns}", 0.03):
                    await asyncio.sleep(0.01)
                    for _ in range(turns):
                        await asyncio.sleep(0)


class TestProcesses:
    def test_a_killed_holder_is_replaced_after_the_time_to_live(self, engine: Engine, address: Address) -> None:
        with workers(1, address, "keep_lease", NAME, 30) as [holder]:
            holder.go()
            [held, first] = holder.line()
            assert held == "held"
            holder.process.kill()
            holder.process.wait()

            async def take_over(storage: StorageBackend) -> int:
                with pytest.raises(LeaseHeldError):
                    await storage.lease(NAME, 30).__aenter__()
                assert 0 < (await storage.ttl(KEY) or 0) <= 30
                await storage.expire(KEY, 0.1)  # rather than to wait for that
                async with storage.lease(NAME, 30, wait=20) as lease:
                    return lease.fence

            assert address.run(take_over) > first
