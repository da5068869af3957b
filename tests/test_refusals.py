"""What is refused is told: which rule, what was given, where it belongs. Found wanting by the mutation run."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ad_seller.storage import ConfigurationError, InvalidArgumentError, InvalidValueError
from ad_seller.storage.atomic.state import deadlines_of
from ad_seller.storage.errors import InvalidCursorError, InvalidKeyError, InvalidTTLError, StorageError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records.codec import canonical, decode, encode
from ad_seller.storage.records.expiry import MAX_TTL_MS, check_ttl
from ad_seller.storage.records.keys import MAX_KEY_BYTES, check_key, decode_cursor, encode_cursor
from ad_seller.storage.redis_backend import RedisBackend
from tests.atomic.support import DictBackend

LONG = "k" * (MAX_KEY_BYTES + 1)


class Unwilling(dict[str, Any]):
    """Raises when it is looked at."""

    def items(self) -> Any:
        raise RuntimeError("not today")

    def values(self) -> Any:
        raise RuntimeError("not today")


#: A call that is refused, what its message says, and the key that the error names.
REFUSALS: dict[str, tuple[Callable[[], Any], list[str], str | None]] = {
    "empty key": (lambda: check_key(""), ["A key must not be empty"], None),
    "NUL in a key": (lambda: check_key("a\0b"), ["A key must not contain NUL", r"a\x00b"], "a\0b"),
    "long key": (lambda: check_key(LONG), ["at most 2048 bytes in UTF-8", "kkkk"], LONG),
    "long key, not ASCII": (lambda: check_key("\u00e9" * 1025), ["at most 2048", "\u00e9"], "\u00e9" * 1025),
    "surrogate in a key": (lambda: check_key("a\ud800"), ["must not contain lone surrogates", "ud800"], None),
    "key of another type": (lambda: check_key(17), ["A key must be a str, not int: 17"], None),
    "no cursor": (lambda: decode_cursor("?!"), ["Not a cursor of a scan: '?!'", "None to start"], None),
    "cursor of another type": (lambda: decode_cursor(17), ["Not a cursor of a scan: 17"], None),
    "TTL of another type": (lambda: check_ttl("60", key="k"), ["got str '60'", "timedelta", "None means"], "k"),
    "zero TTL": (lambda: check_ttl(0, key="k"), ["positive, finite number of seconds", "got int 0"], "k"),
    "NaN as TTL": (lambda: check_ttl(math.nan, key="k"), ["got float nan"], "k"),
    "far too large a TTL": (lambda: check_ttl(10**400, key="k"), ["at most 4503599627370)", "got int"], "k"),
    "large value": (lambda: encode("x" * 98, key="k", max_bytes=99), ["'k' takes 100 bytes", "limit is 99"], "k"),
    "hostile value": (lambda: encode(Unwilling(a=1), key="k"), ["'k'", "RuntimeError", "not today"], "k"),
    "hostile value to compare": (lambda: canonical(Unwilling(a=1)), ["RuntimeError", "not today"], None),
    "NaN in a text": (lambda: decode("[NaN]", key="k"), ["NaN is not JSON", "'k'"], "k"),
    "float out of range in a text": (lambda: decode("[1e999]", key="k"), ["1e999 is out of range"], "k"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_message_and_key(name: str) -> None:
    call, pieces, key = REFUSALS[name]
    with pytest.raises(StorageError) as caught:
        call()
    for piece in pieces:
        assert piece in str(caught.value)
    assert caught.value.key == key


def test_message_for_an_empty_key_is_nothing_but_the_rule() -> None:
    with pytest.raises(InvalidKeyError) as caught:
        check_key("")
    assert str(caught.value) == "A key must not be empty"


def test_cause_of_a_refused_cursor_says_what_came() -> None:
    with pytest.raises(InvalidCursorError) as caught:
        decode_cursor(17)
    assert str(caught.value.__cause__) == "a cursor is a str, not int"


def test_key_that_raises_is_shown_with_its_cause() -> None:
    class Liar:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise RuntimeError("no class today")

        def __repr__(self) -> str:
            return "<liar>"

    with pytest.raises(InvalidKeyError, match="A key must be a str: <liar>") as caught:
        check_key(Liar())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_cursor_with_anything_else_in_it_is_refused() -> None:
    cursor = encode_cursor("deal:1")
    assert decode_cursor(cursor) == "deal:1"
    for damaged in (f"{cursor[:2]}!{cursor[2:]}", f" {cursor}", f"{cursor}\n"):
        assert base64.urlsafe_b64decode(damaged) == b"deal:1", "a reader that is not strict takes it"
        with pytest.raises(InvalidCursorError):
            decode_cursor(damaged)


def test_largest_ttl_is_exact() -> None:
    assert check_ttl(MAX_TTL_MS // 1000) == MAX_TTL_MS // 1000 * 1000
    assert check_ttl(timedelta(milliseconds=MAX_TTL_MS)) == MAX_TTL_MS
    with pytest.raises(InvalidTTLError):
        check_ttl(timedelta(milliseconds=MAX_TTL_MS + 2))


@pytest.mark.parametrize("replicas", [-1, True, 1.0, "1", None])
def test_wait_replicas_is_a_number_of_replicas(replicas: Any) -> None:
    with pytest.raises(ConfigurationError, match="wait_replicas is an int, 0 or more"):
        RedisBackend("redis://127.0.0.1", wait_replicas=replicas)


async def test_a_lifecycle_is_one() -> None:
    async with MemoryBackend() as storage:
        await storage.set_order("1", {"status": "draft"})
        with pytest.raises(InvalidArgumentError, match="lifecycle is a Lifecycle, not") as caught:
            await storage.transition_order("1", "submitted", actor="a", lifecycle={"draft": ["submitted"]})  # type: ignore[arg-type]
        assert caught.value.key == "order:1"
        assert await storage.get_order("1") == {"status": "draft"}


@pytest.mark.parametrize("found", [5, ["a1"], {"id": "a1"}, False])
async def test_an_index_of_agents_that_holds_something_else(found: Any) -> None:
    async with MemoryBackend() as storage:
        await storage.set("agent_url_index:https://a", found)
        with pytest.raises(InvalidValueError, match="not an agent id; repair it") as caught:
            await storage.get_agent_id_by_url("https://a")
        assert caught.value.key == "agent_url_index:https://a"


def test_a_value_nested_deeper_than_json_can_be_read() -> None:
    shared: list[Any] = []
    for _ in range(150):
        shared = [shared]
    deep: Any = shared
    for _ in range(100):
        deep = [deep]
    with pytest.raises(StorageError, match="deep"):
        encode([shared, deep], key="k")


async def test_deadlines_that_have_passed_are_forgotten() -> None:
    storage = DictBackend()
    for number in range(1_100):
        await storage.set(f"gone:{number}", number, ttl=0.001)
    await storage.set("kept", 1)
    for number in range(1_100):
        await storage.set(f"more:{number}", number, ttl=60)
    assert len(deadlines_of(storage).by_key) < 2_000
    assert "kept" in deadlines_of(storage).by_key
