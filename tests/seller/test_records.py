"""Records are dicts: what is none is refused before any I/O, and a change that returns nothing destroys nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ad_seller.storage import DELETE, LEAVE, PREFIXES, InvalidValueError, MissingKeyError, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from tests.atomic.support import DictBackend

BAD = [None, "text", 5, [1], True]
every_kind = pytest.mark.parametrize("kind", PREFIXES)


@pytest.fixture(params=[MemoryBackend, DictBackend], ids=lambda make: make.__name__)
def store(request: pytest.FixtureRequest) -> StorageBackend:
    made: StorageBackend = request.param()
    return made


@every_kind
@pytest.mark.parametrize("bad", BAD, ids=repr)
async def test_only_dicts_are_stored(store: StorageBackend, kind: str, bad: Any) -> None:
    with pytest.raises(InvalidValueError, match=f"The {kind} must be a dict, not") as caught:
        await getattr(store, f"set_{kind}")("1", bad)  # not even connected: nothing is asked of the store
    assert caught.value.key == f"{PREFIXES[kind]}1"
    with pytest.raises(InvalidValueError, match=f"The {kind} must be a dict, not" if bad is not None else "start"):
        await getattr(store, f"update_{kind}")("1", dict, start=bad if bad is not None else "start")
    async with store:
        await getattr(store, f"set_{kind}")("1", {"n": 1})
        with pytest.raises(InvalidValueError):
            await getattr(store, f"update_{kind}")("1", lambda record: bad)
        async with store.transaction() as tx:
            with pytest.raises(InvalidValueError):
                await getattr(tx, f"set_{kind}")("1", bad)
            with pytest.raises(InvalidValueError):
                await getattr(tx, f"update_{kind}")("1", lambda record: bad)
        assert await getattr(store, f"get_{kind}")("1") == {"n": 1}


@every_kind
async def test_a_missing_record_is_named(store: StorageBackend, kind: str) -> None:
    async with store:
        update = getattr(store, f"update_{kind}")
        with pytest.raises(MissingKeyError, match=f"There is no {kind} under '{PREFIXES[kind]}1'") as caught:
            await update("1", lambda record: record | {"n": 1})
        assert caught.value.key == f"{PREFIXES[kind]}1"
        start: dict[str, Any] = {"list": []}
        assert await update("1", lambda record: record | {"n": 1}, start=start) == {"list": [], "n": 1}
        assert await update("2", lambda record: LEAVE, start=start) is None
        assert await update("1", lambda record: DELETE) is None
        assert await store.keys() == []


async def test_the_start_value_stays_the_callers(store: StorageBackend) -> None:
    start: dict[str, Any] = {"list": []}

    def append(record: dict[str, Any]) -> dict[str, Any]:
        record["list"].append(1)
        return record

    async with store:
        await store.update_deal("1", append, start=start)
        assert start == {"list": []}


async def test_a_change_in_place_that_returns_nothing(store: StorageBackend) -> None:
    async with store:
        await store.set_order("1", {"status": "draft"})
        with pytest.raises(InvalidValueError, match="changed in place"):
            await store.update_order("1", lambda order: order.update(status="approved"))  # type: ignore[arg-type, return-value]
        assert await store.list_orders() == [{"status": "draft"}]


async def test_what_is_no_record_is_named(store: StorageBackend) -> None:
    async with store:
        await store.set("order:1", ["draft"])
        with pytest.raises(
            InvalidValueError, match="'order:1' holds list, not a record; replace it with set_order"
        ):
            await store.update_order("1", lambda order: order | {"n": 1})
