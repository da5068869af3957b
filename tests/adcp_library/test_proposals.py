"""adcp's proposal store on ours: one buyer among all processes gets a proposal, and none is lost with a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from adcp.decisioning import AdcpError, ProposalRecord, ProposalState, ProposalStore

from ad_seller.storage import Applied, NotApplied, Reconciled, StorageBackend, Unknown
from examples.adcp.proposals import StoredProposals
from tests.adcp_library.grabbing import ACME, reserve, started
from tests.atomic.support import Address

LATER = datetime(2100, 1, 1, tzinfo=UTC)


async def committed(storage: StorageBackend, *names: str, **how: Any) -> StoredProposals:
    proposals = StoredProposals(storage, **how)
    for name in names:
        await proposals.put_draft(proposal_id=name, account_id="acme", recipes={}, proposal_payload={"cpm": 1})
        await proposals.commit(name, expires_at=LATER, proposal_payload={"cpm": 2}, **ACME)
    return proposals


def test_of_three_processes_one_gets_each(address: Address) -> None:
    names = [f"p-{number}" for number in range(20)]

    async def prepare() -> None:
        async with address.open() as storage:
            await committed(storage, *names)

    asyncio.run(prepare())
    processes = [started(address, names) for _ in range(3)]
    got = [name for _, answer in processes for name in answer.recv()]
    for process, _ in processes:
        process.join()
    assert sorted(got) == sorted(names)


@pytest.mark.parametrize(
    ("answer", "state", "is_had"),
    [
        (Applied("mb-1"), ProposalState.CONSUMED, False),
        (NotApplied(), ProposalState.CONSUMING, True),
        (Unknown("the ad server does not answer"), ProposalState.CONSUMING, False),
    ],
)
async def test_killed_with_a_reservation(
    address: Address, storage: StorageBackend, answer: Reconciled, state: ProposalState, is_had: bool
) -> None:
    """Who comes after `reserved_for` asks whether it was bought; nobody buys what may have been."""
    asked: list[Any] = []

    async def reconcile(*who: str) -> Reconciled:
        asked.append(who)
        return answer

    now = datetime.now(UTC)
    proposals = await committed(storage, "p-1", reconcile=reconcile, reserved_for=60, clock=lambda: now)
    process, _ = started(address, ["p-1"], dies=True)
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL
    assert (await reserve(proposals, "p-1"), asked) == (False, [])
    now = datetime.now(UTC) + timedelta(seconds=61)
    tries = await asyncio.gather(*(reserve(proposals, "p-1") for _ in range(8)))
    assert sum(tries) == is_had
    assert asked[0] == ("acme", "p-1")
    record = await proposals.get("p-1", **ACME)
    assert record is not None
    assert record.state == state
    bought = await proposals.get_by_media_buy_id("mb-1", **ACME)
    assert (bought == record) == (state == ProposalState.CONSUMED)


async def test_who_was_taken_for_dead_comes_too_late(storage: StorageBackend) -> None:
    async def reconcile(*_: str) -> Reconciled:
        return NotApplied()

    slow = await committed(storage, "p-1")
    other = StoredProposals(storage, reconcile=reconcile, reserved_for=0)
    assert await reserve(slow, "p-1")
    assert await reserve(other, "p-1")
    with pytest.raises(AdcpError, match="comes too late"):
        await slow.finalize_consumption("p-1", media_buy_id="mb-slow", **ACME)
    await slow.release_consumption("p-1", **ACME)
    await other.finalize_consumption("p-1", media_buy_id="mb-other", **ACME)
    assert await slow.get_by_media_buy_id("mb-slow", **ACME) is None
    assert (await slow.get_by_media_buy_id("mb-other", **ACME)).proposal_id == "p-1"  # type: ignore[union-attr]


async def test_accounts_and_ids_are_apart(storage: StorageBackend) -> None:
    proposals: ProposalStore = StoredProposals(storage)
    pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("A", "b:c"), ("é", "c")]
    for account, name in pairs:
        await put(proposals, account, name)
    for account, name in pairs:
        record = await proposals.get(name, expected_account_id=account)  # type: ignore[misc]
        assert record == ProposalRecord(name, account, ProposalState.DRAFT, {}, {"of": [account, name]})
        assert await proposals.get(name, expected_account_id="somebody") is None  # type: ignore[misc]
        await proposals.discard(name, expected_account_id="somebody")  # type: ignore[misc]
    assert await storage.count("adcp_proposal:*") == len(pairs)


async def put(proposals: Any, account: str, name: str) -> None:
    await proposals.put_draft(
        proposal_id=name, account_id=account, recipes={}, proposal_payload={"of": [account, name]}
    )


async def test_how_long_they_are_kept(storage: StorageBackend) -> None:
    """A draft from its first version on, a committed one beyond its expiry; a bought one stays."""
    now = datetime(2100, 1, 1, tzinfo=UTC) - timedelta(days=1)
    proposals = StoredProposals(storage, clock=lambda: now)

    async def left(change: Callable[[], Any]) -> float | None:
        await change()
        seconds = await storage.ttl("adcp_proposal:acme:p-1")
        return None if seconds is None else round(seconds / 3_600)

    assert await left(lambda: put(proposals, "acme", "p-1")) == 24
    now += timedelta(hours=20)
    assert await left(lambda: put(proposals, "acme", "p-1")) == 4
    said: Any = {"expires_at": LATER, "proposal_payload": {}, **ACME}
    assert await left(lambda: proposals.commit("p-1", **said)) == 4 + 7 * 24
    assert await left(lambda: proposals.try_reserve_consumption("p-1", **ACME)) is None
    assert await left(lambda: proposals.release_consumption("p-1", **ACME)) == 4 + 7 * 24
    assert await left(lambda: proposals.mark_consumed("p-1", media_buy_id="mb-1", **ACME)) is None
