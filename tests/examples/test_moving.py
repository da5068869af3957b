"""The dozen places of docs/moving-in.md: eight at once, before and after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ad_seller.storage import StorageBackend, open_url
from examples import moving_after, moving_before

N = 8


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[StorageBackend]:
    async with open_url(f"sqlite:///{tmp_path}/places.db") as store:
        await store.set_quote("q", {"quote_id": "q", "status": "available"})
        await store.set_session("s", {"messages": []})
        await store.set_order("o", {"status": "submitted", "audit_log": {"transitions": []}, "budget": 0})
        await store.set_many(
            {f"change_request:{n}": {"status": "approved", "order_id": "o", "more": 1} for n in range(N)}
        )
        await store.set("api_key:k", {"revoked": False, "use_count": 0})
        await store.set_many({f"approval:{n}": {"status": "pending"} for n in range(N)})
        await store.set("approval_index:pending", [str(n) for n in range(N)])
        await store.set_product("p", {"cpm": 0})
        yield store


async def fetch(since: str) -> str:
    """Return the next mark of the ad server."""
    await asyncio.sleep(0.002)
    return since + "x"


#: For each place, the call number `n`, and what must be true afterwards.
Call = Callable[[ModuleType, StorageBackend, int], Awaitable[Any]]
Check = Callable[[StorageBackend, list[Any]], Awaitable[bool]]


def granted(answers: list[Any]) -> list[Any]:
    return [answer for answer in answers if not isinstance(answer, Exception)]


async def one_deal(storage: StorageBackend, answers: list[Any]) -> bool:
    return len(granted(answers)) == 1 == await storage.count("deal:*")


async def all_rounds(storage: StorageBackend, answers: list[Any]) -> bool:
    history = await storage.get_negotiation("q") or {}
    return [each["round"] for each in history["rounds"]] == list(range(1, N + 1))


async def all_messages(storage: StorageBackend, answers: list[Any]) -> bool:
    return sorted((await storage.get_session("s") or {})["messages"]) == [str(n) for n in range(N)]


async def one_move(storage: StorageBackend, answers: list[Any]) -> bool:
    order = await storage.get_order("o") or {}
    return len(granted(answers)) == len(await storage.history("o")) == 1 and order["status"] == "approved"


async def all_changes(storage: StorageBackend, answers: list[Any]) -> bool:
    return bool((await storage.get_order("o") or {})["budget"] == N)


async def all_uses(storage: StorageBackend, answers: list[Any]) -> bool:
    return bool((await storage.get("api_key:k") or {})["use_count"] == N)


async def one_agent(storage: StorageBackend, answers: list[Any]) -> bool:
    return len(set(answers)) == 1 == await storage.count("agent:*")


async def all_events(storage: StorageBackend, answers: list[Any]) -> bool:
    return len(await storage.get("event_index:type:x") or []) == N == await storage.count("event:*")


async def none_pending(storage: StorageBackend, answers: list[Any]) -> bool:
    return await storage.get("approval_index:pending") == []


async def all_overrides(storage: StorageBackend, answers: list[Any]) -> bool:
    return bool((await storage.get_product("p") or {})["cpm"] == N)


async def all_runs(storage: StorageBackend, answers: list[Any]) -> bool:
    mark = await storage.get("sync_watermark:inventory")
    return bool(mark == {"since": "x" * N, "runs": N})


async def all_rates(storage: StorageBackend, answers: list[Any]) -> bool:
    return len((await storage.get("rate_card:current") or {})["entries"]) == N


PLACES: dict[str, tuple[Call, Check]] = {
    "book": (lambda agent, store, n: agent.book(store, f"b{n}", "1", "q"), one_deal),
    "counter": (lambda agent, store, n: agent.counter(store, "q", float(n)), all_rounds),
    "say": (lambda agent, store, n: agent.say(store, "s", str(n)), all_messages),
    "move_order": (lambda agent, store, n: agent.move_order(store, "o", "approved", "a"), one_move),
    "apply_change": (lambda agent, store, n: agent.apply_change(store, str(n)), all_changes),
    "use_key": (lambda agent, store, n: agent.use_key(store, "k"), all_uses),
    "register": (lambda agent, store, n: agent.register(store, "https://a.example", f"a{n}"), one_agent),
    "publish": (lambda agent, store, n: agent.publish(store, "x"), all_events),
    "approve": (lambda agent, store, n: agent.approve(store, str(n), "me"), none_pending),
    "override": (lambda agent, store, n: agent.override(store, "p", 1.0), all_overrides),
    "synchronise": (lambda agent, store, n: agent.synchronise(store, fetch), all_runs),
    "set_rate": (lambda agent, store, n: agent.set_rate(store, f"p{n}", 1.0), all_rates),
}


@contextmanager
def all_read_before_one_writes(storage: StorageBackend) -> Iterator[None]:
    """Hold each answer until all eight have theirs, which happens by chance otherwise."""
    read, all_read = storage.get, asyncio.Barrier(N)

    async def get(key: str) -> Any:
        answer = await read(key)
        await all_read.wait()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "get", get)
        yield


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("agent", "right"), [(moving_before, False), (moving_after, True)], ids=["before", "after"]
)
async def test_eight_at_once(storage: StorageBackend, agent: ModuleType, place: str, *, right: bool) -> None:
    call, check = PLACES[place]
    with nullcontext() if right else all_read_before_one_writes(storage):
        answers = await asyncio.gather(*(call(agent, storage, n) for n in range(N)), return_exceptions=True)
    assert await check(storage, answers) is right


async def test_a_repeat_of_what_the_older_code_has_served_gets_its_answer(storage: StorageBackend) -> None:
    deal = await moving_before.book(storage, "b", "eu:1", "q")
    assert await moving_after.book(storage, "b", "eu:1", "q") == deal
