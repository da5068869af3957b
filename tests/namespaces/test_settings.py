"""A namespace by the settings, by a URL and by an argument."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage import (
    ConfigurationError,
    NamespacedBackend,
    StorageBackend,
    close_storage,
    get_storage,
    get_storage_backend,
    open_url,
    register_backend,
    registry,
    sync,
)
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend


def name_of(storage: StorageBackend) -> str | None:
    return storage.namespace if isinstance(storage, NamespacedBackend) else None


def test_an_argument_comes_before_the_url_and_that_before_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert name_of(open_url("memory://")) is None
    monkeypatch.setenv("storage_namespace", " set ")
    assert name_of(open_url("memory://")) == "set"
    assert name_of(get_storage_backend("memory")) == "set"
    assert name_of(open_url("sqlite:///x.db?namespace=in%20url&timeout=3")) == "in url"
    assert name_of(open_url("sqlite:///x.db?namespace=in+url", namespace="given")) == "given"
    assert name_of(sync.open_url("memory://", namespace="given").backend) == "given"
    assert name_of(sync.get_storage_backend("memory", namespace="given").backend) == "given"


def test_the_rest_of_a_url_reaches_the_backend() -> None:
    storage = open_url("sqlite:///x.db?timeout=3&namespace=a&synchronous=normal")
    assert isinstance(storage, NamespacedBackend)
    assert isinstance(storage.backend, SQLiteBackend)
    assert (storage.backend.path, storage.backend.timeout, storage.timeout) == ("x.db", 3, 3)
    assert repr(open_url("redis://h/1?namespace=a")).startswith("NamespacedBackend(RedisBackend('redis://h/1'")
    assert repr(open_url("postgresql://h/d?namespace=a")).endswith("'postgresql://h/d'), 'a')")


def test_of_a_hybrid_either_url_may_say_it() -> None:
    urls = "postgresql://h/d", "redis://h/1"
    for suffixes in (("?namespace=a", ""), ("", "?namespace=a")):
        storage = get_storage_backend("hybrid", *(url + suffix for url, suffix in zip(urls, suffixes, strict=True)))
        assert isinstance(storage, NamespacedBackend)
        assert isinstance(storage.backend, HybridBackend)


def test_a_parameter_of_that_name_in_the_url_of_another_package_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(MemoryBackend):
        def __init__(self, database_url: str) -> None:
            super().__init__()
            self.url = database_url

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register_backend("theirs", Theirs)
    theirs = get_storage_backend("theirs", "theirs://h?namespace=b")
    assert isinstance(theirs, Theirs)
    assert theirs.url == "theirs://h?namespace=b"


@pytest.mark.parametrize("name", ["", "a%00b", "x" * 300])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace"):
        open_url(f"memory://?namespace={name}")


async def test_the_store_of_the_application(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("STORAGE_NAMESPACE", "publisher-a")
    storage = await get_storage()
    try:
        await storage.set_deal("1", {"status": "active"})
    finally:
        await close_storage()
    monkeypatch.delenv("STORAGE_NAMESPACE")
    async with get_storage_backend() as whole:
        assert await whole.keys() == ["ns:publisher-a:deal:1"]
        assert await whole.list_deals() == []
