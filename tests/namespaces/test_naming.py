"""What a namespace may be called, what its keys are called in the store, and how errors name them."""

from __future__ import annotations

import pickle
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    ConfigurationError,
    CorruptValueError,
    InvalidKeyError,
    InvalidPatternError,
    InvalidValueError,
    NamespacedBackend,
    NotConnectedError,
    StorageBackend,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.namespaces import local_key, namespace_prefix
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.sqlite.support import execute

NAMES = ["a", "A", "a:b", "a/b", "a%3Ab", "a b", "*", "a*", "[ab]", "?", "\\", "{a}", "ns", "ns:a", "é", "..", "'"]


@pytest.mark.parametrize(
    "name",
    ["", " ", "\t", "a\n", "a\0", "\x7f", "\ud800", "x" * 257, "é" * 43, None, 1, b"a", "a\u202eb"],
    ids=repr,
)
def test_a_bad_name_is_refused_before_anything_is_opened(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamespacedBackend(MemoryBackend(), name)
    assert len(str(caught.value)) < 300


def test_a_namespace_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        NamespacedBackend("sqlite:///x.db", "a")  # type: ignore[arg-type]


def test_of_two_prefixes_neither_begins_with_the_other() -> None:
    prefixes = [namespace_prefix(name) for name in [*NAMES, "x" * 256, "é" * 42]]
    for one, other in permutations(prefixes, 2):
        assert not one.startswith(other)
    for prefix in prefixes:
        assert prefix.count(":") == 2
        assert not set(prefix) & set("*?[]\\{}'\" ")
        assert local_key(f"{prefix}order:1") == "order:1"


@pytest.mark.parametrize("key", ["order:1", "ns:", "ns:a", "nsx:a:b", ""])
def test_a_key_outside_of_namespaces_is_itself(key: str) -> None:
    assert local_key(key) == key


def test_the_key_of_a_namespace_in_a_namespace() -> None:
    assert local_key("ns:a:ns:b:order:1") == "order:1"


async def test_text_that_looks_like_many_namespaces_is_listed_as_any_other() -> None:
    """A pattern may hold a thousand, and a key half of that, whatever the caller's stack holds already."""
    key, pattern = "ns::" * 509 + "session:1", "ns::" * 1_000 + "*"
    assert local_key("ns::" * 2_000 + "x") == "x"
    async with HybridBackend(MemoryBackend(), MemoryBackend()) as backend:
        assert await backend.keys(pattern) == []
        await backend.set(key, 1)
        assert await backend.keys("ns::*") == await backend.redis.keys() == [key]


async def test_errors_name_keys_as_the_caller_knows_them(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with NamespacedBackend(SQLiteBackend(str(path)), "a b") as storage:
        await storage.set("order:1", {})
        execute(path, "UPDATE kv_store SET value = '{' WHERE key = 'ns:a%20b:order:1'")
        corrupt: list[CorruptValueError] = []
        with pytest.raises(CorruptValueError) as read:
            await storage.get("order:1")
        with pytest.raises(CorruptValueError) as listed:
            await storage.list_orders()
        await storage.get_many(["order:1"], on_corrupt=corrupt.append)
        with pytest.raises(InvalidValueError) as written:
            await storage.set("order:1", {"a": {1}})
        await storage.scan(on_corrupt=corrupt.append)
    for error in (read.value, listed.value, written.value, *corrupt):
        assert error.key == "order:1"
        assert error is written.value or "'order:1'" in str(error)
        assert "ns:" not in str(error)
    assert isinstance(read.value.__cause__, ValueError)
    assert len(corrupt) == 2


async def test_name_and_key_share_the_length_of_a_key() -> None:
    storage = NamespacedBackend(MemoryBackend(), "publisher")
    most = storage.capabilities.max_key_bytes
    assert most == 2048 - len("ns:publisher:")
    async with storage:
        await storage.set("é" * (most // 2), 1)
        with pytest.raises(InvalidKeyError, match=f"at most {most} bytes") as caught:
            await storage.set("é" * (most // 2) + "aa", 1)
        assert caught.value.key == "é" * (most // 2) + "aa"
        with pytest.raises(InvalidPatternError):
            await storage.keys("a" * 4090)


async def test_copies_are_not_connected() -> None:
    async with NamespacedBackend(MemoryBackend(), "a") as storage:
        for other in (deepcopy(storage), pickle.loads(pickle.dumps(storage))):
            assert repr(other) == repr(storage) == "NamespacedBackend(MemoryBackend(), 'a')"
            with pytest.raises(NotConnectedError):
                await other.get("a")


def overridden(backend: type[StorageBackend]) -> set[str]:
    names = {name for name in dir(StorageBackend) if not name.startswith("__")}
    return {name for name in names if getattr(backend, name) is not getattr(StorageBackend, name)}


def test_whatever_a_backend_does_by_itself_is_passed_on() -> None:
    """A method that one of ours overrides, and a namespace does not, would take keys as they are, or fall back."""
    ours: list[type[StorageBackend]] = [HybridBackend, MemoryBackend, PostgresBackend, RedisBackend, SQLiteBackend]
    assert set().union(*map(overridden, ours)) - overridden(NamespacedBackend) == set()
