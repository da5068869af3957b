"""How a Redis is named, what is refused at once, and that a password never shows."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError, StorageConnectionError, StorageError, get_storage_backend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisBinary, RedisServer

from .support import plain

WRONG = {
    "sqlite": "sqlite:///store.db",
    "postgres": "postgresql://seller:hunter2@db.example/ads",
    "http": "http://:hunter2@cache.example:6379",
    "no scheme": ":hunter2@cache.example:6379",
    "port is no number": "redis://:hunter2@cache.example:port",
    "port is too large": "redis://:hunter2@cache.example:99999999",
    "half an address": "redis://:hunter2@[::1",
    "password with a slash": "redis://:hun/ter2@cache.example",
    "password with a hash": "redis://:hun#ter2@cache.example",
    "password with a question mark": "redis://:hun?ter2@cache.example",
    "database is no number": "redis://:hunter2@cache.example/production",
    "unknown option": "redis://:hunter2@cache.example/0?colour=red",
    "option of a wrong kind": "redis://:hunter2@cache.example/0?socket_timeout=soon",
}
NO_URL = [None, "", "   ", 5, b"redis://localhost"]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_urls(name: str) -> None:
    makers: tuple[Callable[[], object], ...] = (
        lambda: RedisBackend(WRONG[name]),
        lambda: get_storage_backend("redis", redis_url=WRONG[name]),
    )
    for make in makers:
        with pytest.raises(ConfigurationError) as caught:
            make()
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "ter2" not in text
        assert "'hun'" not in text
        assert "AbstractConnection" not in text


@pytest.mark.parametrize("url", NO_URL, ids=repr)
def test_what_is_no_url(url: object) -> None:
    with pytest.raises(ConfigurationError, match="Redis URL required"):
        RedisBackend(url)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", [None, 5, b"x:", "a\0b:"], ids=repr)
def test_what_is_no_prefix(prefix: object) -> None:
    with pytest.raises(ConfigurationError, match="key_prefix"):
        RedisBackend("redis://localhost", prefix)  # type: ignore[arg-type]


@pytest.mark.parametrize("connections", [0, 1, -1, None, "8"], ids=repr)
def test_too_few_connections(connections: object) -> None:
    with pytest.raises(ConfigurationError, match="max_connections"):
        RedisBackend("redis://localhost", max_connections=connections)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["decode_responses=true", "encoding=latin-1", "protocol=3", "max_connections=1"])
async def test_options_of_the_url_do_not_change_how_entries_are_stored(
    option: str, redis_url: str, redis_prefix: str
) -> None:
    """They are in the URLs of other clients of the same server; they are refused, or do no harm."""
    url = f"{redis_url}{'&' if '?' in redis_url else '?'}{option}"
    with suppress(ConfigurationError):  # refused
        await use_with_foreign_characters(RedisBackend(url, redis_prefix), redis_url)


async def use_with_foreign_characters(store: RedisBackend, redis_url: str) -> None:
    async with store:
        await store.set("schlüssel", {"wert": "grün"}, ttl=60)
        assert await store.scan("sch*") == ([("schlüssel", {"wert": "grün"})], None)
        assert await store.update("schlüssel", lambda current: [current]) == [{"wert": "grün"}]
        assert await store.ttl("schlüssel") is not None
        assert await store.delete("schlüssel")
        assert await store.incr("counter") == 1
        assert "used_memory_human" in await store.get_stats()
    with plain(redis_url) as client:
        assert client.get(f"{store.key_prefix}counter".encode()) == b"1"


async def test_the_number_of_the_database(own_redis: RedisServer) -> None:
    url = own_redis.url.removesuffix("/0")
    async with RedisBackend(f"{url}/3") as three, RedisBackend(f"{url}/0?db=4") as four, RedisBackend(url) as none:
        await three.set("key", 3)
        await four.set("key", 4)
        await none.set("key", 0)
        assert [await store.get("key") for store in (three, four, none)] == [3, 4, 0]
        assert await three.keys() == ["key"]
    for number, value in ((0, b"0"), (3, b"3"), (4, b"4")):
        with plain(f"{url}/{number}") as client:
            assert client.get("ad_seller:key") == value


async def test_a_unix_socket(redis_binary: RedisBinary) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # short: the path of a socket has few bytes
        RedisServer(folder, binary=redis_binary, unix_socket=True, password="s3cr/et") as server,
    ):
        async with RedisBackend(f"{server.unix_url}?db=2") as store:
            await store.set("key", [1, 2])
            assert await store.keys() == ["key"]
        async with RedisBackend(server.unix_url) as store:
            assert await store.keys() == []
        path = Path(folder) / "redis.sock"
        assert path.is_socket()
        server.stop()
        with pytest.raises(StorageConnectionError, match=r"redis\.sock") as caught:
            await RedisBackend(server.unix_url).connect()
        assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("said", ["wr0ng-pass", "", None])
async def test_a_wrong_password(
    said: str | None, redis_binary: RedisBinary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with RedisServer(tmp_path, binary=redis_binary, password="r1ght-pass") as server:
        login = "" if said is None else f":{said}@"
        store = RedisBackend(f"redis://{login}127.0.0.1:{server.port}/0")
        with pytest.raises(StorageConnectionError, match=r"password|login") as caught:
            await store.connect()
        assert caught.value.__cause__ is not None
        shown = [
            repr(store),
            str(store),
            repr(caught.value),
            "".join(traceback.format_exception(caught.value)),
            caplog.text,
            *(str(vars(record)) for record in caplog.records),
        ]
        assert all("wr0ng" not in text and "r1ght" not in text for text in shown)


async def test_the_right_password_does_not_show_when_the_server_goes(
    redis_binary: RedisBinary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with RedisServer(tmp_path, binary=redis_binary, password="r1ght/pa@ss") as server:
        store = RedisBackend(server.url, timeout=1)
        async with store:
            await store.set("key", 1)
            server.stop()
            for call in (
                lambda: store.get("key"),
                lambda: store.set("key", 2),
                lambda: store.keys(),
                lambda: store.incr("key"),
                lambda: store.get_stats(),
            ):
                with pytest.raises(StorageError) as caught:
                    await call()
                text = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(store)
                assert "r1ght" not in text
                assert "pa@ss" not in text
                assert "pa%40ss" not in text
