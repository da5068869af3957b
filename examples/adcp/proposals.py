"""The proposal store of the public AdCP library (`adcp` on PyPI), kept in a storage of this package.

Of many buyers in many processes one reserves a proposal; whoever finds the reservation of a process that died asks
what became of it. Needs `pip install "adcp>=8,<10"`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from adcp.decisioning import AdcpError, ProposalRecord, ProposalState, Recipe

from ad_seller.storage import Applied, NotApplied, Reconciled, StorageBackend, Transaction, new_id, open_url

Row = dict[str, Any]
Reconcile = Callable[[str, str], Awaitable[Reconciled]]


class StoredProposals:
    """A `ProposalStore` of SQLite, Redis, PostgreSQL, or memory for tests.

    Attributes:
        decode_recipe: the recipe of a record; needed where a seller has subclasses of `Recipe`.
        reconcile: tells, for an account and a proposal whose reservation is older than `reserved_for`, if it was
            bought: `Applied(media_buy_id)`, `NotApplied()`, or `Unknown()`. Without it such a reservation stays.
        reserved_for: seconds after which the process that reserved is taken for dead.
        draft_ttl: how long drafts are kept, from the first one of a proposal on.
        grace: how long committed proposals are kept after they have expired; bought ones stay.
    """

    is_durable: ClassVar[bool] = True

    def __init__(
        self,
        storage: StorageBackend,
        *,
        decode_recipe: Callable[[Row], Recipe] = Recipe.model_validate,
        reconcile: Reconcile | None = None,
        reserved_for: float = 60.0,
        draft_ttl: timedelta = timedelta(hours=24),
        grace: timedelta = timedelta(days=7),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.storage = storage
        self.decode_recipe = decode_recipe
        self.reconcile = reconcile
        self.reserved_for = timedelta(seconds=reserved_for)
        self.draft_ttl = draft_ttl
        self.grace = grace
        self._clock = clock
        self._reserved: dict[str, str] = {}  # by this object: where, and the id of the reservation

    async def put_draft(
        self,
        *,
        proposal_id: str,
        account_id: str,
        recipes: Mapping[str, Recipe],
        proposal_payload: Mapping[str, Any],
    ) -> None:
        def draft(row: Row | None) -> Row:
            if row is not None and row["state"] != "draft":
                raise _bug(f"{proposal_id!r} is {row['state']}, and cannot be a draft again")
            return {
                "state": "draft",
                "created": self._clock().isoformat() if row is None else row["created"],
                "recipes": {product: recipe.model_dump(mode="json") for product, recipe in recipes.items()},
                "payload": dict(proposal_payload),
                "expires_at": None,
                "media_buy_id": None,
            }

        await self._change(account_id, proposal_id, draft)

    async def get(self, proposal_id: str, *, expected_account_id: str) -> ProposalRecord | None:
        row = await self.storage.get(_key(expected_account_id, proposal_id))
        return None if row is None else self._record(expected_account_id, proposal_id, row)

    async def commit(
        self,
        proposal_id: str,
        *,
        expires_at: datetime,
        proposal_payload: Mapping[str, Any],
        expected_account_id: str,
    ) -> None:
        said = {"expires_at": expires_at.isoformat(), "payload": dict(proposal_payload)}

        def promote(row: Row | None) -> Row:
            found = _known(row, proposal_id)
            if found["state"] == "committed" and found | said == found:
                return found
            if found["state"] != "draft":
                raise _bug(f"{proposal_id!r} is {found['state']}, and cannot be committed (with other values)")
            return found | said | {"state": "committed"}

        await self._change(expected_account_id, proposal_id, promote)

    async def try_reserve_consumption(self, proposal_id: str, *, expected_account_id: str) -> ProposalRecord:
        reservation = new_id("rsv")

        def reserve(row: Row | None) -> Row:
            if row is None:
                raise _refused("PROPOSAL_NOT_FOUND", f"There is no proposal {proposal_id!r}")
            if row["state"] != "committed":
                raise _refused("PROPOSAL_NOT_COMMITTED", f"{proposal_id!r} is {row['state']}")
            return row | {"state": "consuming", "reservation": reservation, "since": self._clock().isoformat()}

        await self._settle(expected_account_id, proposal_id)
        row = await self._change(expected_account_id, proposal_id, reserve)
        self._reserved[_key(expected_account_id, proposal_id)] = reservation
        return self._record(expected_account_id, proposal_id, row)

    async def _settle(self, account_id: str, proposal_id: str) -> None:
        """Find out about the reservation of a process that died."""
        row = await self.storage.get(_key(account_id, proposal_id))
        if self.reconcile is None or row is None or row["state"] != "consuming":
            return
        if self._clock() - datetime.fromisoformat(row["since"]) < self.reserved_for:
            return
        match await self.reconcile(account_id, proposal_id):
            case Applied(media_buy_id):
                settled = row | {"state": "consumed", "media_buy_id": media_buy_id}
            case NotApplied():
                settled = row | {"state": "committed"}
            case _:
                return
        await self._change(account_id, proposal_id, lambda now: settled if now == row else now or {})

    async def finalize_consumption(self, proposal_id: str, *, media_buy_id: str, expected_account_id: str) -> None:
        reservation = self._reserved.get(_key(expected_account_id, proposal_id))

        def finalize(row: Row | None) -> Row:
            found = _known(row, proposal_id)
            if reservation not in (None, found.get("reservation")):
                raise _bug(f"{proposal_id!r} was given to another reservation; {media_buy_id!r} comes too late")
            return _consumed(found, proposal_id, media_buy_id, "consuming")

        await self._change(expected_account_id, proposal_id, finalize)
        self._reserved.pop(_key(expected_account_id, proposal_id), None)

    async def release_consumption(self, proposal_id: str, *, expected_account_id: str) -> None:
        reservation = self._reserved.get(_key(expected_account_id, proposal_id))

        def release(row: Row | None) -> Row | None:
            if row is None or row["state"] == "committed" or reservation not in (None, row.get("reservation")):
                return row
            if row["state"] != "consuming":
                raise _bug(f"{proposal_id!r} is {row['state']}, and cannot be released")
            return row | {"state": "committed"}

        await self._change(expected_account_id, proposal_id, release)
        self._reserved.pop(_key(expected_account_id, proposal_id), None)

    async def mark_consumed(self, proposal_id: str, *, media_buy_id: str, expected_account_id: str) -> None:
        def consume(row: Row | None) -> Row:
            return _consumed(_known(row, proposal_id), proposal_id, media_buy_id, "committed")

        await self._change(expected_account_id, proposal_id, consume)

    async def discard(self, proposal_id: str, *, expected_account_id: str) -> None:
        async def work(tx: Transaction) -> None:
            row = await tx.get(_key(expected_account_id, proposal_id))
            if row is not None:
                await tx.delete(_key(expected_account_id, proposal_id))
                if row["media_buy_id"] is not None:
                    await tx.delete(_by_buy(expected_account_id, row["media_buy_id"]))

        await self.storage.transact(work)

    async def get_by_media_buy_id(self, media_buy_id: str, *, expected_account_id: str) -> ProposalRecord | None:
        proposal_id = await self.storage.get(_by_buy(expected_account_id, media_buy_id))
        return None if proposal_id is None else await self.get(proposal_id, expected_account_id=expected_account_id)

    async def _change(self, account_id: str, proposal_id: str, change: Callable[[Row | None], Row | None]) -> Row:
        """Write what `change` makes of the row, and with it the way from the media buy to it."""

        async def work(tx: Transaction) -> Row:
            row = await tx.get(_key(account_id, proposal_id))
            changed = change(row)
            if changed is not None and changed is not row:
                await tx.set(_key(account_id, proposal_id), changed, ttl=self._ttl(changed))
                if changed["media_buy_id"] is not None:
                    await tx.set(_by_buy(account_id, changed["media_buy_id"]), proposal_id)
            return changed or {}

        return await self.storage.transact(work)

    def _ttl(self, row: Row) -> float | None:
        if row["state"] == "draft":
            end = datetime.fromisoformat(row["created"]) + self.draft_ttl
        elif row["state"] == "committed":
            end = datetime.fromisoformat(row["expires_at"]) + self.grace
        else:
            return None
        return max((end - self._clock()).total_seconds(), 0.001)

    def _record(self, account_id: str, proposal_id: str, row: Row) -> ProposalRecord:
        expires_at = row["expires_at"]
        return ProposalRecord(
            proposal_id=proposal_id,
            account_id=account_id,
            state=ProposalState(row["state"]),
            recipes={product: self.decode_recipe(recipe) for product, recipe in row["recipes"].items()},
            proposal_payload=row["payload"],
            expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
            media_buy_id=row["media_buy_id"],
        )


def _known(row: Row | None, proposal_id: str) -> Row:
    if row is None:
        raise _bug(f"There is no proposal {proposal_id!r} of this account")
    return row


def _consumed(row: Row, proposal_id: str, media_buy_id: str, before: str) -> Row:
    if row["state"] == "consumed" and row["media_buy_id"] == media_buy_id:
        return row
    if row["state"] != before:
        raise _bug(f"{proposal_id!r} is {row['state']} ({row['media_buy_id']}), not {before}")
    return row | {"state": "consumed", "media_buy_id": media_buy_id}


def _key(account_id: str, proposal_id: str) -> str:
    """Return where a proposal stands; no other pair stands there, whatever characters they hold."""
    return f"adcp_proposal:{quote(account_id, safe='')}:{quote(proposal_id, safe='')}"


def _by_buy(account_id: str, media_buy_id: str) -> str:
    return f"adcp_proposal_of:{quote(account_id, safe='')}:{quote(media_buy_id, safe='')}"


def _bug(message: str) -> AdcpError:
    return AdcpError("INTERNAL_ERROR", message=message, recovery="terminal")


def _refused(code: str, message: str) -> AdcpError:
    return AdcpError(code, message=message, recovery="correctable", field="proposal_id")


async def main() -> None:
    async with open_url("memory://") as storage:
        proposals = StoredProposals(storage)
        mine: Row = {"expected_account_id": "acme"}
        await proposals.put_draft(proposal_id="p-1", account_id="acme", recipes={}, proposal_payload={})
        later = datetime.now(UTC) + timedelta(hours=1)
        await proposals.commit("p-1", expires_at=later, proposal_payload={"cpm": 12}, **mine)
        tries = (proposals.try_reserve_consumption("p-1", **mine) for _ in range(8))
        answers = await asyncio.gather(*tries, return_exceptions=True)
        print("8 buyers at once, reserved:", sum(isinstance(answer, ProposalRecord) for answer in answers))
        await proposals.finalize_consumption("p-1", media_buy_id="mb-1", **mine)
        bought = await proposals.get_by_media_buy_id("mb-1", **mine)
        print("mb-1 came from", bought and bought.proposal_id, "which is", bought and bought.state.value)


if __name__ == "__main__":
    asyncio.run(main())
