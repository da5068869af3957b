# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, sections 1 and 2: the seven operations, and which keys they take."""

from __future__ import annotations

import inspect

import pytest

from ...base import StorageBackend
from ...errors import InvalidKeyError
from ...records.globs import escape
from ...seller.kinds import PREFIXES
from ..levels import Level, Section, belongs
from .calls import BY_KEY
from .harness import Harness
from .rows import rows
from .samples import BAD_KEYS, GOOD_KEYS, HOSTILE_KEYS, fitted


class _Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


@belongs(Level.CORE, Section.KEYS)
class KeyConformance(Harness):
    """The seven operations on one entry, whatever its key."""

    @belongs(Level.CORE, Section.INTERFACE)
    def test_is_a_storage_backend_without_extras(self, new_backend: type[StorageBackend]) -> None:
        assert isinstance(new_backend(), StorageBackend)
        for name in ("publish", "incr", "get_stats", "cleanup_expired"):
            assert not hasattr(StorageBackend, name), "existing agents test for it with hasattr"

    @belongs(Level.CORE, Section.INTERFACE)
    @rows(
        ("method", "names"),
        [
            ("connect", []),
            ("disconnect", []),
            ("get", ["key"]),
            ("set", ["key", "value", "ttl"]),
            ("delete", ["key"]),
            ("exists", ["key"]),
            ("keys", ["pattern"]),
        ],
    )
    def test_method_takes_the_given_arguments(
        self, new_backend: type[StorageBackend], method: str, names: list[str]
    ) -> None:
        function = getattr(new_backend(), method)
        assert inspect.iscoroutinefunction(function)
        assert list(inspect.signature(function).parameters)[: len(names)] == names

    @belongs(Level.CORE, Section.INTERFACE)
    async def test_arguments_can_be_named(self, backend: StorageBackend) -> None:
        assert await backend.set(key="a", value=1, ttl=60) is None  # type: ignore[func-returns-value]
        assert await backend.get(key="a") == 1
        assert await backend.exists(key="a") is True
        assert await backend.keys(pattern="*") == ["a"]
        assert await backend.delete(key="a") is True

    @belongs(Level.CORE, Section.INTERFACE)
    async def test_missing_entry(self, backend: StorageBackend) -> None:
        assert await backend.get("missing") is None
        assert await backend.exists("missing") is False
        assert await backend.delete("missing") is False
        assert await backend.keys() == []

    @belongs(Level.CORE, Section.INTERFACE)
    async def test_an_entry_from_set_to_delete(self, backend: StorageBackend) -> None:
        await backend.set("a", {"n": 1})
        assert await backend.exists("a") is True
        await backend.set("a", {"n": 2})
        assert await backend.get("a") == {"n": 2}
        assert await backend.keys() == ["a"]
        assert await backend.delete("a") is True
        assert await backend.delete("a") is False
        assert await backend.get("a") is None
        assert await backend.exists("a") is False
        assert await backend.keys() == []

    @rows("name", GOOD_KEYS)
    async def test_key_is_literal(self, backend: StorageBackend, name: str) -> None:
        key = fitted(GOOD_KEYS[name], backend)
        good = (fitted(other, backend) for other in (*GOOD_KEYS.values(), "a", "abc", "axbxcd"))
        others = {other: "other" for other in good if other != key}
        await backend.set_many(others)
        await backend.set(key, {"name": name})
        assert await backend.get(key) == {"name": name}
        assert await backend.exists(key)
        assert await backend.keys(escape(key)) == [key]
        assert (await backend.scan(escape(key))).items == [(key, {"name": name})]
        assert await backend.keys() == sorted([*others, key])
        assert await backend.delete(key)
        assert not await backend.exists(key)
        assert await backend.get_many([key, *others]) == others

    @rows("name", BAD_KEYS)
    async def test_bad_key_is_refused_by_every_operation(self, backend: StorageBackend, name: str) -> None:
        await backend.set_many({"1": "old", "None": "old", "key": "old"})
        for operation, call in BY_KEY.items():
            with pytest.raises(InvalidKeyError) as caught:
                await call(backend, BAD_KEYS[name])
            assert isinstance(caught.value, ValueError), operation
            assert isinstance(caught.value, TypeError), operation
            assert len(str(caught.value)) < 500, "a message that can be read"
        assert await backend.get_many(["1", "None", "key", "other"]) == dict.fromkeys(["1", "None", "key"], "old")

    @rows("name", HOSTILE_KEYS)
    async def test_hostile_key_is_refused(self, backend: StorageBackend, name: str) -> None:
        make = HOSTILE_KEYS[name]
        for call in BY_KEY.values():
            with pytest.raises(InvalidKeyError):
                await call(backend, make())

    async def test_subclass_of_str_is_the_key_that_it_equals(self, backend: StorageBackend) -> None:
        await backend.set(_Name("deal:1"), 1)
        assert await backend.get("deal:1") == 1
        [key] = await backend.keys()
        assert type(key) is str
        assert list(await backend.get_many([_Name("deal:1")])) == ["deal:1"]
        assert await backend.delete(_Name("deal:1"))

    @belongs(Level.ENTITIES, Section.KEYS)
    @rows("entity", PREFIXES)
    @rows("name", ["empty", "None", "int", "NUL", "lone high surrogate", "too long", "bytes"])
    async def test_bad_id_of_a_record_is_refused(self, backend: StorageBackend, entity: str, name: str) -> None:
        bad = BAD_KEYS[name]
        for verb, more in (("get", ()), ("set", ({},)), ("delete", ()), ("update", (dict,))):
            with pytest.raises(InvalidKeyError):
                await getattr(backend, f"{verb}_{entity}")(bad, *more)
        assert await backend.keys() == []

    @belongs(Level.ENTITIES, Section.KEYS)
    async def test_prefix_and_id_share_the_length_of_a_key(self, backend: StorageBackend) -> None:
        longest = "x" * (backend.capabilities.max_key_bytes - len(PREFIXES["deal"]))
        await backend.set_deal(longest, {"n": 1})
        assert await backend.list_deals() == [{"n": 1}]
        with pytest.raises(InvalidKeyError):
            await backend.set_deal(longest + "x", {"n": 1})
