"""A check of many examples: each on an empty store, and every one that fails is named."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.testing.conformance.rows import rows


@rows("number", [1, 2, 3, 4])
async def set_and_look(backend: StorageBackend, number: int) -> None:
    assert await backend.keys() == [], "left by an earlier example"
    await backend.set(f"key:{number}", number)
    assert number % 2, "is even"


@rows(("left", "right"), [("a", "a"), ("b", "c"), ("d", None)])
def equal(left: str, right: str | None) -> None:
    if right is None:
        pytest.skip("does not declare it")
    assert left == right


async def test_every_example_that_fails_is_named_and_the_store_is_empty_for_each() -> None:
    async with MemoryBackend() as backend:
        with pytest.raises(AssertionError, match=r"^2 of 4 rows: 2, 4: AssertionError: is even") as caught:
            await set_and_look(backend=backend)  # type: ignore[call-arg]
    group = caught.value.__cause__
    assert isinstance(group, BaseExceptionGroup)
    assert len(group.exceptions) == 2


async def test_what_raises_does_not_keep_the_others_from_running() -> None:
    seen: list[str] = []

    @rows("name", {"first": 1, "": 2, "last": 3})
    async def check(name: str) -> None:
        seen.append(name)
        if name != "last":
            with pytest.raises(KeyError):
                pass

    with pytest.raises(AssertionError, match=r"^2 of 3 rows: first, '': Failed: DID NOT RAISE"):
        await check()  # type: ignore[call-arg]
    assert seen == ["first", "", "last"]


def test_a_failure_counts_more_than_a_skip_and_a_skip_more_than_what_passed() -> None:
    with pytest.raises(AssertionError, match=r"^1 of 3 rows: \('b', 'c'\)"):
        equal()  # type: ignore[call-arg]

    @rows("name", ["a", "b"])
    def skips(name: str) -> None:
        if name == "b":
            pytest.skip("does not declare it")

    with pytest.raises(pytest.skip.Exception, match="does not declare it"):
        skips()  # type: ignore[call-arg]


def test_pytest_is_asked_for_the_other_arguments_only() -> None:
    assert list(inspect.signature(set_and_look).parameters) == ["backend"]

    @rows("one", [1])
    @rows("two", [2, 3])
    def nested(fixture: Any, one: int, two: int) -> None:
        assert (one, two) != (1, 3)

    assert list(inspect.signature(nested).parameters) == ["fixture"]
    with pytest.raises(AssertionError, match="1 of 1 rows: 1: AssertionError: 1 of 2 rows: 3"):
        nested(fixture=None)  # type: ignore[call-arg]
