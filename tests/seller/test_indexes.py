"""Indexes do not outlive what they point to, and one URL is one agent however it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ad_seller.storage import AGENT_URL_INDEX_PREFIX, InvalidValueError, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.seller.urls import one_form
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.atomic.support import DictBackend

FORMS = [
    "https://buyer.example",
    "https://buyer.example/",
    "HTTPS://Buyer.Example/",
    " https://buyer.example:443\n",
]


@pytest.fixture(params=["memory", "sqlite", "seven methods"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StorageBackend]:
    made: dict[str, StorageBackend] = {
        "memory": MemoryBackend(),
        "sqlite": SQLiteBackend(f"sqlite:///{tmp_path}/x.db"),
        "seven methods": DictBackend(),
    }
    async with made[request.param] as backend:
        yield backend


class TestBuyerSessions:
    async def test_are_the_stored_sessions_in_the_order_of_adding(self, store: StorageBackend) -> None:
        for session_id in ("s3", "s1", "s2"):
            await store.save_buyer_session(session_id, {"id": session_id}, "gold")
        await store.set_session("s1", {"id": "s1", "n": 2})
        assert await store.get_buyer_sessions("gold") == [{"id": "s3"}, {"id": "s1", "n": 2}, {"id": "s2"}]
        assert await store.get_buyer_session_ids("gold") == ["s3", "s1", "s2"]
        assert await store.get_buyer_sessions("nobody") == []

    async def test_what_is_gone_is_left_out(self, store: StorageBackend) -> None:
        for session_id in ("s1", "s2", "s3"):
            await store.save_buyer_session(session_id, {"id": session_id}, "gold")
        await store.delete_session("s2")
        assert await store.get_buyer_sessions("gold") == [{"id": "s1"}, {"id": "s3"}]

    async def test_a_transaction_sees_its_own(self, store: StorageBackend) -> None:
        await store.save_buyer_session("s1", {"id": "s1"}, "gold")
        async with store.transaction() as tx:
            await tx.set_session("s2", {"id": "s2"})
            await tx.add_session_to_buyer_index("s2", "gold")
            await tx.delete_session("s1")
            assert await tx.get_buyer_sessions("gold") == [{"id": "s2"}]


class TestPruning:
    @pytest.mark.parametrize("together", [True, False], ids=["saved together", "stored, then added"])
    async def test_expired_sessions_leave_with_the_next_one(self, store: StorageBackend, together: bool) -> None:
        for number in range(30):
            await store.save_buyer_session(f"old-{number}", {}, "gold", ttl=0.05)
        await store.save_buyer_session("kept", {}, "gold")
        await asyncio.sleep(0.1)
        if together:
            await store.save_buyer_session("new", {}, "gold")
        else:
            await store.set_session("new", {})
            await store.add_session_to_buyer_index("new", "gold")
        assert await store.get_buyer_session_ids("gold") == ["kept", "new"]

    async def test_ids_stay_while_their_sessions_may_come_later(self, store: StorageBackend) -> None:
        """Whoever adds first and stores afterwards loses no id, whatever others add meanwhile."""
        await asyncio.gather(*(store.add_session_to_buyer_index(f"s{n}", "gold") for n in range(50)))
        assert await store.get_buyer_session_ids("gold") == [f"s{n}" for n in range(50)]

    async def test_a_session_that_comes_back_meanwhile_stays(self, store: StorageBackend) -> None:
        """Sessions end and begin anew under the same ids while others are added."""
        ids = [f"s{n}" for n in range(10)]
        for one in ids:
            await store.save_buyer_session(one, {}, "gold")

        async def begin_anew(one: str) -> None:
            await store.delete_session(one)
            await asyncio.sleep(0)
            await store.save_buyer_session(one, {"again": True}, "gold")

        others = [store.save_buyer_session(f"other{n}", {}, "gold") for n in range(10)]
        await asyncio.gather(*map(begin_anew, ids), *others)
        assert sorted(await store.get_buyer_session_ids("gold")) == sorted(
            [*ids, *(f"other{n}" for n in range(10))]
        )
        assert len(await store.get_buyer_sessions("gold")) == 20

    async def test_a_session_that_changes_meanwhile_is_no_conflict(self, store: StorageBackend) -> None:
        await store.save_buyer_session("s1", {"n": 0}, "gold")
        async with store.transaction() as tx:
            await tx.set_session("s2", {})
            await tx.add_session_to_buyer_index("s2", "gold")
            await store.set_session("s1", {"n": 1})
        assert await store.get_buyer_session_ids("gold") == ["s1", "s2"]


class TestAgentUrls:
    @pytest.mark.parametrize("first", FORMS, ids=repr)
    async def test_every_form_is_one_agent(self, store: StorageBackend, first: str) -> None:
        assert await store.register_agent("a", {"id": "a"}, first) == "a"
        for number, form in enumerate(FORMS):
            assert await store.get_agent_id_by_url(form) == "a"
            assert await store.register_agent(f"b{number}", {}, form) == "a"
        assert await store.list_agents() == [{"id": "a"}]

    @pytest.mark.parametrize("written", FORMS[:2], ids=repr)
    async def test_what_an_older_agent_wrote_is_found(self, store: StorageBackend, written: str) -> None:
        await store.set_agent("old", {"id": "old"})
        await store.set(AGENT_URL_INDEX_PREFIX + written, "old")
        for form in FORMS:
            assert await store.get_agent_id_by_url(form) == "old"
            assert await store.register_agent("new", {}, form) == "old"

    async def test_an_older_agent_finds_it_after_a_roll_back(self, store: StorageBackend) -> None:
        await store.register_agent("a", {}, "https://buyer.example/")
        assert await store.get(f"{AGENT_URL_INDEX_PREFIX}https://buyer.example/") == "a"

    async def test_a_deleted_agent_is_not_found(self, store: StorageBackend) -> None:
        await store.register_agent("a", {}, "https://x")
        await store.delete_agent("a")
        assert await store.get_agent_id_by_url("https://x") is None
        assert await store.register_agent("b", {}, "https://x") == "b"
        assert await store.get_agent_id_by_url("https://x") == "b"

    async def test_unregistering_takes_every_url_along(self, store: StorageBackend) -> None:
        await store.register_agent("a", {}, "https://x/")
        await store.register_agent("a", {}, "https://y")
        await store.register_agent("b", {}, "https://z")
        await store.set(f"{AGENT_URL_INDEX_PREFIX}https://damaged", ["a"])
        assert await store.unregister_agent("a") is True
        assert await store.unregister_agent("a") is False
        assert await store.keys(f"{AGENT_URL_INDEX_PREFIX}*") == [
            f"{AGENT_URL_INDEX_PREFIX}https://damaged",
            f"{AGENT_URL_INDEX_PREFIX}https://z",
        ]
        with pytest.raises(InvalidValueError, match="not an agent id"):
            await store.get_agent_id_by_url("https://damaged")

    @pytest.mark.parametrize(
        ("url", "form"),
        [
            ("https://X.example/Path/", "https://x.example/Path"),
            ("https://User@X:8443/a?b=C/", "https://User@x:8443/a?b=C/"),
            ("http://[::1]:80/", "http://[::1]"),
            ("https://x:port/", "https://x:port/"),
            ("agent-7", "agent-7"),
            ("urn:agent:7", "urn:agent:7"),
            ("https://[bad/", "https://[bad/"),
        ],
    )
    def test_one_form(self, url: str, form: str) -> None:
        assert one_form(url) == form
        assert one_form(form) == form
