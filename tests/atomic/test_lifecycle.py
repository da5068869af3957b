"""Orders and change requests: allowed steps, races between steps, guards, the audit trail."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from ad_seller.storage import (
    CHANGE_REQUEST_LIFECYCLE,
    ORDER_LIFECYCLE,
    ConflictError,
    InvalidArgumentError,
    InvalidTransitionError,
    InvalidValueError,
    Lifecycle,
    MissingKeyError,
    StorageBackend,
)
from ad_seller.storage.testing.conformance.rows import rows

from .conftest import Engine
from .support import Address, at_once

ROUNDS = 10
ORDER_STEPS = [
    "draft>submitted",
    "draft>cancelled",
    "submitted>pending_approval",
    "submitted>approved",
    "submitted>cancelled",
    "submitted>failed",
    "pending_approval>approved",
    "pending_approval>rejected",
    "pending_approval>cancelled",
    "approved>in_progress",
    "approved>cancelled",
    "rejected>draft",
    "in_progress>syncing",
    "in_progress>failed",
    "in_progress>cancelled",
    "syncing>booked",
    "syncing>failed",
    "booked>completed",
    "booked>unbooked",
    "failed>draft",
    "unbooked>draft",
]
CHANGE_REQUEST_STEPS = [
    "pending>validating",
    "validating>failed",
    "validating>pending_approval",
    "validating>approved",
    "pending_approval>approved",
    "pending_approval>rejected",
    "approved>applied",
]
ROW = ("transition_id", "from_status", "to_status", "timestamp", "actor", "reason", "metadata")
BAD_LOGS: list[Any] = ["", [], {"transitions": {}}, {"transitions": None}]


def steps_of(lifecycle: Lifecycle) -> list[str]:
    return sorted(f"{status}>{to}" for status in lifecycle.statuses for to in lifecycle.allowed(status))


class TestData:
    def test_is_what_the_sellers_use(self) -> None:
        assert steps_of(ORDER_LIFECYCLE) == sorted(ORDER_STEPS)
        assert len(ORDER_LIFECYCLE.statuses) == 12
        assert steps_of(CHANGE_REQUEST_LIFECYCLE) == sorted(CHANGE_REQUEST_STEPS)
        assert len(CHANGE_REQUEST_LIFECYCLE.statuses) == 7


class TestRaces:
    @rows("round_number", range(ROUNDS))
    async def test_with_expect_one_of_three_wins(self, backend: StorageBackend, round_number: int) -> None:
        await backend.set_order("o", {"status": "pending_approval"})
        won, lost = await at_once(
            *(
                backend.transition_order("o", to, actor=to, expect="pending_approval")
                for to in ("approved", "rejected", "cancelled")
            )
        )
        assert (len(won), len(lost)) == (1, 2)
        assert all(isinstance(error, InvalidTransitionError | ConflictError) for error in lost)
        [row] = await backend.history("o")
        assert row["to_status"] == won[0]["status"] == (await backend.get_order("o") or {})["status"]

    async def test_without_expect_what_is_legal_happens(self, backend: StorageBackend) -> None:
        await backend.set_order("o", {"status": "pending_approval"})
        won, lost = await at_once(
            backend.transition_order("o", "approved", actor="a"),
            backend.transition_order("o", "cancelled", actor="b"),
        )
        assert (len(won), lost) == (2, [])
        assert [(row["from_status"], row["to_status"]) for row in await backend.history("o")] == [
            ("pending_approval", "approved"),
            ("approved", "cancelled"),
        ]

    async def test_between_instances_too(self, engine: Engine, address: Address) -> None:
        async with address.open() as first, address.open() as second, address.open() as third:
            for number in range(20):
                await first.set_order(f"o{number}", {"status": "pending_approval"})
                won, lost = await at_once(
                    *(
                        storage.transition_order(f"o{number}", to, actor=to, expect="pending_approval")
                        for storage, to in ((first, "approved"), (second, "rejected"), (third, "cancelled"))
                    )
                )
                assert (len(won), len(lost)) == (1, 2)
                assert len(await first.history(f"o{number}")) == 1


class TestStep:
    async def test_appends_the_entry_that_orders_have(self, backend: StorageBackend) -> None:
        recorded = {"order_id": "o", "status": "draft", "audit_log": {"order_id": "o", "transitions": []}, "x": 1.0}
        await backend.set("order:o", recorded, ttl=100)
        order = await backend.transition_order("o", "submitted", actor="me", reason="why", metadata={"n": 1})
        assert order == await backend.get_order("o")
        assert {**order, "audit_log": None, "status": None} == {**recorded, "audit_log": None, "status": None}
        assert order["audit_log"]["order_id"] == "o"
        [row] = order["audit_log"]["transitions"]
        assert list(row) == [*ROW]
        assert datetime.fromisoformat(row["timestamp"]).tzinfo is None
        assert (row["from_status"], row["to_status"], row["actor"]) == ("draft", "submitted", "me")
        assert (row["reason"], row["metadata"]) == ("why", {"n": 1})
        assert (await backend.ttl("order:o") or 0) > 90

    async def test_a_whole_life(self, backend: StorageBackend) -> None:
        path = [
            "draft",
            "submitted",
            "pending_approval",
            "approved",
            "in_progress",
            "syncing",
            "booked",
            "completed",
        ]
        await backend.set_order("o", {"status": "draft"})
        for status in path[1:]:
            await backend.transition_order("o", status, actor="me")
        assert [(row["from_status"], row["to_status"]) for row in await backend.history("o")] == list(
            pairwise(path)
        )
        assert len({row["transition_id"] for row in await backend.history("o")}) == 7

    async def test_a_change_request(self, backend: StorageBackend) -> None:
        await backend.set_change_request("c", {"status": "pending"})
        await backend.transition_change_request("c", "validating", actor="me")
        with pytest.raises(InvalidTransitionError):
            await backend.transition_change_request("c", "applied", actor="me")
        assert [row["to_status"] for row in await backend.change_request_history("c")] == ["validating"]

    async def test_what_is_not_allowed_says_what_is(self, backend: StorageBackend) -> None:
        await backend.set_order("o", {"status": "draft"})
        with pytest.raises(InvalidTransitionError, match="submitted, cancelled") as raised:
            await backend.transition_order("o", "booked", actor="me")
        assert (raised.value.current, raised.value.allowed) == ("draft", ("submitted", "cancelled"))
        assert raised.value.key == "order:o"
        with pytest.raises(InvalidTransitionError, match="no longer 'submitted'"):
            await backend.transition_order("o", "cancelled", actor="me", expect="submitted")
        assert await backend.get_order("o") == {"status": "draft"}


class TestExtended:
    async def test_more_transitions_and_guards(self, backend: StorageBackend) -> None:
        def paid(order: dict[str, Any], to: str) -> str | None:
            return None if to != "archived" or order.get("paid") else "it is not paid"

        lifecycle = ORDER_LIFECYCLE.extended({"completed": ["archived"], "archived": []}, guards=[paid])
        await backend.set_order("o", {"status": "completed"})
        with pytest.raises(InvalidArgumentError):
            await backend.transition_order("o", "archived", actor="me")
        with pytest.raises(InvalidTransitionError, match="it is not paid"):
            await backend.transition_order("o", "archived", actor="me", lifecycle=lifecycle)
        await backend.update_order("o", lambda order: order | {"paid": True})
        order = await backend.transition_order("o", "archived", actor="me", lifecycle=lifecycle)
        assert order["status"] == "archived"
        assert "archived" not in ORDER_LIFECYCLE.statuses

    def test_a_lone_status_is_not_taken_apart(self) -> None:
        with pytest.raises(InvalidArgumentError):
            ORDER_LIFECYCLE.extended({"draft": "archived"})


class TestBadInput:
    @rows("status", ["unknown", "", "Draft", None, 1, ["draft"]])
    async def test_an_unknown_status(self, backend: StorageBackend, status: Any) -> None:
        await backend.set_order("o", {"status": "draft"})
        with pytest.raises(InvalidArgumentError, match="pending_approval"):
            await backend.transition_order("o", status, actor="me")
        if status is not None:
            with pytest.raises(InvalidArgumentError, match="pending_approval"):
                await backend.transition_order("o", "submitted", actor="me", expect=status)
        assert await backend.get_order("o") == {"status": "draft"}

    @rows(
        "record",
        [
            "x",
            [],
            7,
            {},
            {"status": None},
            {"status": 1},
            {"status": ["draft"]},
            *({"status": "draft", "audit_log": log} for log in BAD_LOGS),
        ],
    )
    async def test_a_record_of_another_shape(self, backend: StorageBackend, record: Any) -> None:
        await backend.set("order:o", record)
        with pytest.raises(InvalidValueError, match="order:o"):
            await backend.transition_order("o", "submitted", actor="me")
        assert await backend.get("order:o") == record

    async def test_a_status_that_no_lifecycle_knows(self, backend: StorageBackend) -> None:
        await backend.set_order("o", {"status": "on_hold"})
        with pytest.raises(InvalidTransitionError, match="on_hold"):
            await backend.transition_order("o", "submitted", actor="me")

    async def test_a_missing_order(self, backend: StorageBackend) -> None:
        for call in (backend.transition_order("o", "submitted", actor="me"), backend.history("o")):
            with pytest.raises(MissingKeyError, match="order:o"):
                await call
        assert await backend.keys() == []

    @rows("bad", [{"actor": ""}, {"actor": None}, {"reason": None}, {"metadata": []}, {"metadata": {"x": {1}}}])
    async def test_arguments(self, backend: StorageBackend, bad: dict[str, Any]) -> None:
        await backend.set_order("o", {"status": "draft"})
        with pytest.raises(InvalidArgumentError):
            await backend.transition_order("o", "submitted", **{"actor": "me", **bad})
        assert await backend.get_order("o") == {"status": "draft"}

    async def test_a_guard_that_raises_leaves_nothing(self, backend: StorageBackend) -> None:
        await backend.set_order("o", {"status": "draft"})
        lifecycle = ORDER_LIFECYCLE.extended(guards=[lambda order, _: order["missing"]])
        with pytest.raises(KeyError):
            await backend.transition_order("o", "submitted", actor="me", lifecycle=lifecycle)
        async with asyncio.timeout(20):
            await backend.transition_order("o", "submitted", actor="me")
