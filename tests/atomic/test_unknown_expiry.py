"""A backend of seven methods that starts anew: what it cannot keep is refused, and everything else goes on."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import KEEP, PREFIXES, StorageBackend, Transaction, UnsupportedError
from ad_seller.storage.seller.kinds import LASTING
from examples.custom_backend import DirectoryBackend


class Seven(DirectoryBackend):
    """Durable, and without a `ttl` of its own: it knows only what this instance has written."""

    ttl = StorageBackend.ttl


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"directory:///{tmp_path}/store"


def used(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"status": "used"}


async def both(tx: Transaction) -> None:
    await tx.set_order("o", {"status": "sent"})
    await tx.set("quote:q", {"status": "used"}, ttl=KEEP)


REFUSED: dict[str, tuple[str, Callable[[StorageBackend], Awaitable[object]]]] = {
    "update_quote": ("quote:q", lambda storage: storage.update_quote("q", used)),
    "update_session": ("session:s", lambda storage: storage.update_session("s", used)),
    "update": ("hits", lambda storage: storage.update("hits", lambda hits: hits + 1)),
    "increment": ("hits", lambda storage: storage.increment("hits", ttl=60)),
    "compare_and_set": ("hits", lambda storage: storage.compare_and_set("hits", 1, 2)),
    "transact": ("quote:q", lambda storage: storage.transact(both)),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_expiry_that_cannot_be_kept_is_not_lost_in_silence(name: str, url: str) -> None:
    before = {"quote:q": {"status": "available"}, "session:s": {"status": "open"}, "hits": 1}
    async with Seven(url) as storage:
        await storage.set_many(before, ttl=60)
        await storage.set_order("o", {"status": "draft"})
    async with Seven(url) as storage:
        key, call = REFUSED[name]
        with pytest.raises(UnsupportedError, match=r"Give ttl=.*persist\(\).*implement ttl") as caught:
            await call(storage)
        assert caught.value.key == key
        assert await storage.get_many(before) == before
        assert await storage.get_order("o") == {"status": "draft"}
        await storage.expire(key, 50)  # told: from here on it is known
        await call(storage)
        assert 40 < (await storage.ttl(key) or 0) <= 50


async def test_told_by_the_call(url: str) -> None:
    async with Seven(url) as storage:
        await storage.set_quote("q", {"status": "available"})
        await storage.set("hits", 1)
    async with Seven(url) as storage:
        await storage.update_quote("q", used, ttl=60)
        assert 50 < (await storage.ttl("quote:q") or 0) <= 60
        await storage.persist("hits")
        assert await storage.increment("hits") == 2
        assert await storage.ttl("hits") is None


async def test_records_that_no_helper_lets_expire_go_on_as_before(url: str) -> None:
    async with Seven(url) as storage:
        await storage.set_order("o", {"status": "draft"})
        await storage.set_deal("d", {"n": 1})
        await storage.register_agent("a", {"n": 1}, "https://a.example")
        await storage.set_session("s", {"n": 1})
        await storage.add_session_to_buyer_index("s", "acme")
    async with Seven(url) as storage:
        await storage.transition_order("o", "submitted", actor="test")
        await storage.update_deal("d", used)
        assert await storage.compare_and_set("agent:a", {"n": 1}, {"n": 2})
        await storage.add_session_to_buyer_index("t", "acme")
        assert await storage.get_buyer_session_ids("acme") == ["s", "t"]
        assert await storage.ttl("deal:d") is None
        assert await storage.run_once("deals", "key", {}, book) == "o"


async def book(tx: Transaction) -> str:
    await tx.update_order("o", used)
    return "o"


def test_the_kinds_that_last_are_those_whose_helpers_take_no_time_to_live() -> None:
    for kind, prefix in PREFIXES.items():
        takes_ttl = "ttl" in inspect.signature(getattr(StorageBackend, f"set_{kind}")).parameters
        assert takes_ttl != (prefix in LASTING), kind
