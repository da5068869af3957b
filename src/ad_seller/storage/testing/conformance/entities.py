# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 1: the helpers for each kind of record, and the indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import (
    InvalidArgumentError,
    InvalidValueError,
    MissingKeyError,
    StorageError,
    StorageTimeoutError,
)
from ...seller.kinds import AGENT_URL_INDEX_PREFIX, PREFIXES, SESSION_INDEX_PREFIX, QuoteFilters
from ..levels import Level, Section, belongs
from .harness import Harness, need_sharing
from .jobs import NewBackend, add_sessions_together, run_together
from .rows import rows

#: Stored in place of a record by mistake; each is listed like any other.
FALSY = [{}, [], 0, "", False, 0.0]
HOSTILE = [
    *FALSY,
    None,
    "text",
    7,
    ["status", "open"],
    {"status": None},
    {"product": "x"},
    {"product": ["product_id"]},
]
INDEX_KEYS = [
    f"{SESSION_INDEX_PREFIX}gold",
    f"{AGENT_URL_INDEX_PREFIX}https://buyer.example",
    "agent_index:a",
    "session_index:s",
]

Helper = Callable[..., Awaitable[Any]]


def helpers(backend: StorageBackend, entity: str) -> tuple[Helper, Helper, Helper, Helper, Helper]:
    """Return get, set, delete, update and list of one kind of record."""
    get, put, delete, update = (getattr(backend, f"{verb}_{entity}") for verb in ("get", "set", "delete", "update"))
    return get, put, delete, update, getattr(backend, f"list_{entity}s")


@belongs(Level.ENTITIES, Section.INTERFACE)
class EntityConformance(Harness):
    """Records by id, their listings and filters."""

    @rows("entity", PREFIXES)
    async def test_record_from_set_to_delete(self, backend: StorageBackend, entity: str) -> None:
        get, put, delete, update, listing = helpers(backend, entity)
        assert await get("id-1") is None
        assert await listing() == []
        assert await delete("id-1") is False
        assert await put("id-2", {"n": 2}) is None
        await put("id-1", {"n": 1})
        assert await get("id-1") == {"n": 1}
        assert await backend.keys() == [f"{PREFIXES[entity]}id-1", f"{PREFIXES[entity]}id-2"]
        assert await listing() == [{"n": 1}, {"n": 2}]
        assert await update("id-1", lambda current: {**current, "m": 3}) == {"n": 1, "m": 3}
        with pytest.raises(MissingKeyError):
            await update("id-3", lambda current: current)
        assert await update("id-3", lambda current: {"was": current}, start={"n": 0}) == {"was": {"n": 0}}
        assert await listing() == [{"n": 1, "m": 3}, {"n": 2}, {"was": {"n": 0}}]
        assert await delete("id-1") is True
        assert await get("id-1") is None
        assert await listing() == [{"n": 2}, {"was": {"n": 0}}]

    @rows("entity", PREFIXES)
    @rows("bad", [None, "text", 5, [1], True])
    async def test_a_record_is_a_dict(self, backend: StorageBackend, entity: str, bad: Any) -> None:
        get, put, _, update, _ = helpers(backend, entity)
        await put("1", {"n": 1})
        for call in (put("1", bad), put("2", bad), update("1", lambda current: bad), update("2", dict, start=bad)):
            with pytest.raises(InvalidValueError if bad is not None else (InvalidValueError, MissingKeyError)):
                await call
        assert await backend.keys() == [f"{PREFIXES[entity]}1"]
        assert await get("1") == {"n": 1}

    async def test_a_change_in_place_that_returns_nothing_is_refused(self, backend: StorageBackend) -> None:
        await backend.set_order("1", {"status": "draft"})
        with pytest.raises(InvalidValueError):
            await backend.update_order("1", lambda order: order.update(status="approved"))  # type: ignore[arg-type, return-value]
        assert await backend.get_order("1") == {"status": "draft"}

    @belongs(Level.ENTITIES, Section.LISTINGS)
    @rows("entity", PREFIXES)
    async def test_listing_has_this_kind_only(self, backend: StorageBackend, entity: str) -> None:
        for other, prefix in PREFIXES.items():
            await backend.set(f"{prefix}1", {"kind": other})
            await backend.set(prefix.removesuffix(":"), {"kind": "no record"})
            await backend.set(f"x{prefix}1", {"kind": "no record"})
            await backend.set(f"{prefix.upper()}1", {"kind": "no record"})
        await backend.set_many({key: ["1"] for key in INDEX_KEYS})
        assert await helpers(backend, entity)[4]() == [{"kind": entity}]

    @belongs(Level.ENTITIES, Section.KEYS)
    @rows("record_id", ["a:b", "*", "[a]", "a\\", "%", "https://x.example/?a=b", "\u00e9", " "])
    async def test_id_is_literal(self, backend: StorageBackend, record_id: str) -> None:
        await backend.set_agent(record_id, {"id": record_id})
        await backend.set_agent("a", {"id": "a"})
        assert await backend.get_agent(record_id) == {"id": record_id}
        assert await backend.keys() == sorted(["agent:a", f"agent:{record_id}"])
        assert await backend.delete_agent(record_id)
        assert await backend.list_agents() == [{"id": "a"}]

    @belongs(Level.ENTITIES, Section.LISTINGS)
    @rows("entity", PREFIXES)
    async def test_falsy_records_are_listed(self, backend: StorageBackend, entity: str) -> None:
        for number, value in enumerate(FALSY):
            await backend.set(f"{PREFIXES[entity]}{number}", value)
        listed = await helpers(backend, entity)[4]()
        assert [(type(value), value) for value in listed] == [(type(value), value) for value in FALSY]

    async def test_set_replaces_the_whole_record(self, backend: StorageBackend) -> None:
        await backend.set_deal("1", {"a": 1, "b": 2})
        await backend.set_deal("1", {"b": 3})
        assert await backend.get_deal("1") == {"b": 3}

    # --- filters ---------------------------------------------------------------------------------------

    @belongs(Level.ENTITIES, Section.LISTINGS)
    async def test_quotes_by_status_buyer_and_product(self, backend: StorageBackend) -> None:
        for number in range(8):
            status, buyer, product = (("ab", "cd", "ef")[bit][number >> bit & 1] for bit in range(3))
            await backend.set_quote(
                str(number), {"n": number, "status": status, "buyer_id": buyer, "product": {"product_id": product}}
            )

        async def found(filters: QuoteFilters | None) -> list[int]:
            return [quote["n"] for quote in await backend.list_quotes(filters)]

        assert await found(None) == await found({}) == list(range(8))
        assert await found({"status": "b"}) == [1, 3, 5, 7]
        assert await found({"buyer_id": "d"}) == [2, 3, 6, 7]
        assert await found({"product_id": "f"}) == [4, 5, 6, 7]
        assert await found({"status": "b", "buyer_id": "d", "product_id": "f"}) == [7]
        assert await found({"status": "b", "buyer_id": None}) == [1, 3, 5, 7]
        assert await found({"status": "B"}) == await found({"product_id": "e,f"}) == []
        assert len(await backend.list_quotes(filters={"status": "a"})) == 4

    @belongs(Level.ENTITIES, Section.LISTINGS)
    async def test_orders_and_change_requests_by_their_fields(self, backend: StorageBackend) -> None:
        for number, (order, status) in enumerate([("o1", "open"), ("o1", "done"), ("o2", "open")]):
            await backend.set_order(str(number), {"n": number, "status": status})
            await backend.set_change_request(str(number), {"n": number, "order_id": order, "status": status})
        assert [order["n"] for order in await backend.list_orders({"status": "open"})] == [0, 2]
        assert [one["n"] for one in await backend.list_change_requests({"order_id": "o1"})] == [0, 1]
        assert [one["n"] for one in await backend.list_change_requests({"order_id": "o1", "status": "done"})] == [1]

    @belongs(Level.ENTITIES, Section.LISTINGS)
    @rows(
        ("entity", "fields"),
        [
            ("quote", ["status", "buyer_id", "product_id"]),
            ("order", ["status"]),
            ("change_request", ["order_id", "status"]),
        ],
    )
    async def test_hostile_records_do_not_match(
        self, backend: StorageBackend, entity: str, fields: list[str]
    ) -> None:
        for number, value in enumerate([*HOSTILE, {"product": {"product_id": None}}, {"product": {}}]):
            await backend.set(f"{PREFIXES[entity]}{number:02}", value)
        good = {"status": "x", "buyer_id": "x", "order_id": "x", "product": {"product_id": "x"}}
        await backend.set(f"{PREFIXES[entity]}99", good)
        listing = helpers(backend, entity)[4]
        for field in fields:
            assert await listing({field: "x"}) == [good]
            other_values: list[Any] = ["", 0, False, [], {}, "None", "y"]
            for wanted in other_values:
                assert await listing({field: wanted}) == []
        assert len(await listing()) == len(HOSTILE) + 3

    @belongs(Level.ENTITIES, Section.LISTINGS)
    @rows("filters", [{"colour": "red"}, {1: 2}, "status", ["status"], 5])
    async def test_filter_that_is_not_there_is_refused(self, backend: StorageBackend, filters: Any) -> None:
        for listing in (backend.list_quotes, backend.list_orders, backend.list_change_requests):
            with pytest.raises(InvalidArgumentError):
                await listing(filters)

    # --- indexes ---------------------------------------------------------------------------------------

    @belongs(Level.ENTITIES, Section.KEYS)
    async def test_index_keys_are_no_records(self, backend: StorageBackend) -> None:
        await backend.set_agent("a", {"n": 1})
        await backend.set_session("s", {"n": 2})
        await backend.add_session_to_buyer_index("s", "gold")
        await backend.set_many(dict.fromkeys(INDEX_KEYS[1:], "a"))
        assert await backend.keys("agent:*") == ["agent:a"]
        assert await backend.keys("session:*") == ["session:s"]
        assert await backend.list_agents() == [{"n": 1}]
        assert await backend.list_sessions() == [{"n": 2}]
        assert await backend.get(INDEX_KEYS[0]) == ["s"]

    async def test_buyer_index_keeps_the_order_and_each_id_once(self, backend: StorageBackend) -> None:
        assert await backend.get_buyer_session_ids("gold") == []
        for session_id in ("s2", "s1", "s3", "s1", "s2"):
            await backend.add_session_to_buyer_index(session_id, "gold")
        await backend.add_session_to_buyer_index("other", "silver")
        assert await backend.get_buyer_session_ids("gold") == ["s2", "s1", "s3"]
        await backend.remove_session_from_buyer_index("s1", "gold")
        await backend.remove_session_from_buyer_index("missing", "gold")
        await backend.remove_session_from_buyer_index("s2", "no such buyer")
        assert await backend.get_buyer_session_ids("gold") == ["s2", "s3"]
        await backend.add_session_to_buyer_index("s1", "gold")
        assert await backend.get_buyer_session_ids("gold") == ["s2", "s3", "s1"]
        for session_id in ("s2", "s3", "s1"):
            await backend.remove_session_from_buyer_index(session_id, "gold")
        assert await backend.get_buyer_session_ids("gold") == []
        assert await backend.get_buyer_session_ids("silver") == ["other"]
        assert await backend.get_buyer_session_ids("no such buyer") == []

    async def test_buyer_index_is_a_list_under_its_key(self, backend: StorageBackend) -> None:
        key = f"{SESSION_INDEX_PREFIX}*[a]?"
        await backend.set(key, ["s1"])
        await backend.add_session_to_buyer_index(session_id="s2", buyer_pricing_key="*[a]?")
        assert await backend.get(key) == ["s1", "s2"]
        assert await backend.get_buyer_session_ids(buyer_pricing_key="*[a]?") == ["s1", "s2"]
        await backend.remove_session_from_buyer_index(session_id="s1", buyer_pricing_key="*[a]?")
        assert await backend.get(key) == ["s2"]

    @rows("damaged", [{"s1": 1}, "s1", 5])
    async def test_damaged_index_is_reported_and_left_alone(self, backend: StorageBackend, damaged: Any) -> None:
        await backend.set(f"{SESSION_INDEX_PREFIX}gold", damaged)
        for call in (
            backend.get_buyer_session_ids("gold"),
            backend.add_session_to_buyer_index("s2", "gold"),
            backend.remove_session_from_buyer_index("s1", "gold"),
        ):
            with pytest.raises(StorageError):
                await call
        assert await backend.get(f"{SESSION_INDEX_PREFIX}gold") == damaged

    async def test_bad_id_never_reaches_the_index(self, backend: StorageBackend) -> None:
        for bad in ("", None, 5, b"s", "\ud800"):
            with pytest.raises((InvalidArgumentError, InvalidValueError)):
                await backend.add_session_to_buyer_index(bad, "gold")  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError):
                await backend.add_session_to_buyer_index("s", bad)  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError):
                await backend.get_buyer_session_ids(bad)  # type: ignore[arg-type]
        assert await backend.keys() == []

    @belongs(Level.ATOMIC, Section.CHANGES)
    async def test_no_concurrent_add_is_lost(self, backend: StorageBackend) -> None:
        ids = [f"s{n}" for n in range(500)]
        again: list[str] = []

        async def add(session_id: str) -> None:
            try:
                await backend.add_session_to_buyer_index(session_id, "gold")
            except StorageTimeoutError:  # the machine is overloaded; nothing was written
                again.append(session_id)

        await asyncio.gather(*map(add, ids))
        for session_id in again:
            await backend.add_session_to_buyer_index(session_id, "gold")
        assert await backend.get_buyer_session_ids("gold") == [one for one in ids if one not in again] + again

    @belongs(Level.ATOMIC, Section.CHANGES)
    async def test_no_concurrent_add_or_remove_is_lost(self, backend: StorageBackend) -> None:
        ids = [f"s{n}" for n in range(100)]

        async def come_and_go(number: int) -> None:
            await backend.add_session_to_buyer_index(ids[number], "gold")
            await backend.add_session_to_buyer_index(ids[number], "silver")
            if number % 2:
                await backend.remove_session_from_buyer_index(ids[number], "gold")
            else:
                await backend.remove_session_from_buyer_index(ids[number], "silver")
                await backend.add_session_to_buyer_index(ids[number], "gold")

        await asyncio.gather(*map(come_and_go, range(100)))
        assert sorted(await backend.get_buyer_session_ids("gold")) == sorted(ids[::2])
        assert sorted(await backend.get_buyer_session_ids("silver")) == sorted(ids[1::2])

    @belongs(Level.PROCESSES, Section.CHANGES)
    async def test_no_add_of_another_process_is_lost(
        self, backend: StorageBackend, new_backend: NewBackend
    ) -> None:
        need_sharing(backend)
        groups = [[f"{process}.{n}" for n in range(100)] for process in range(4)]
        await run_together(new_backend, add_sessions_together, *[("gold", group) for group in groups])
        index = await backend.get_buyer_session_ids("gold")
        assert sorted(index) == sorted(one for group in groups for one in group)
