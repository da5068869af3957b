"""rediss://: the server that pip brings has no TLS, so a proxy in front of it speaks TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil
import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.redis import redispy
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.certificates import GOOD_HOST, WRONG_HOST, Certificates, Pair
from tests.proxy import Proxy

from .support import TOLERANCE, plain


@asynccontextmanager
async def speaking_tls(
    server: RedisServer, certificates: Certificates, *, asks_clients: bool = False
) -> AsyncIterator[Proxy]:
    """A server with TLS, which may ask clients for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    if asks_clients:
        context.verify_mode = ssl.CERT_REQUIRED
    with Proxy(server.port, tls=context) as proxy:
        yield proxy


def url_of(proxy: Proxy, host: str = GOOD_HOST, **options: object) -> str:
    return f"rediss://{host}:{proxy.port}/0?" + "&".join(f"ssl_{name}={value}" for name, value in options.items())


def shown_by(pair: Pair) -> dict[str, Any]:
    return {"certfile": pair.certificate, "keyfile": pair.key}


async def test_everything_works_over_tls(own_redis: RedisServer, certificates: Certificates) -> None:
    async with (
        speaking_tls(own_redis, certificates) as proxy,
        RedisBackend(url_of(proxy, ca_certs=certificates.authority)) as store,
    ):
        await asyncio.gather(*(store.set(f"deal:{n:03}", {"n": n}) for n in range(500)))
        assert await asyncio.gather(*(store.get(f"deal:{n:03}") for n in range(500))) == [
            {"n": n} for n in range(500)
        ]
        await store.set("large", "x" * 5_000_000)
        large: Any = await store.get("large")
        assert len(large) == 5_000_000
        assert await store.count("deal:*") == 500
        with plain(own_redis.url) as client:
            client.config_resetstat()
            client.set("ad_seller:deal:foreign", "1")
            assert await store.count("deal:*") == 501
            assert "cmdstat_scan" not in client.info("commandstats")
        assert await store.increment("n") == 1


async def test_connections_that_the_server_closed_fail_no_call(
    own_redis: RedisServer, certificates: Certificates
) -> None:
    async with (
        speaking_tls(own_redis, certificates) as proxy,
        RedisBackend(url_of(proxy, ca_certs=certificates.authority)) as store,
    ):
        for n in range(5):
            await store.set("key", n)
            await store.keys()
            with plain(own_redis.url) as client:
                gone = proxy.ended + client.client_kill_filter(_type="normal", skipme=True)
            while proxy.ended < gone:  # noqa: ASYNC110 - in another thread
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)  # a turn of this loop, which hears of it
            await store.set("key", n + 1)
            assert await store.get("key") == n + 1
            assert await store.keys() == ["key"]


@pytest.fixture
def silent(certificates: Certificates) -> Iterator[str]:
    """A server that agrees on TLS and says nothing more, not even goodbye; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    ends: list[ssl.SSLSocket] = []

    def serve() -> None:
        with suppress(OSError):  # it is closed
            while True:
                ends.append(listener.accept()[0])

    with context.wrap_socket(socket.create_server((GOOD_HOST, 0)), server_side=True) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"rediss://{GOOD_HOST}:{listener.getsockname()[1]}/0?ssl_ca_certs={certificates.authority}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for end in ends:
        end.close()


async def test_a_server_that_says_no_goodbye_is_left_at_once(silent: str) -> None:
    def there() -> bool:
        ends = [each.raddr for each in psutil.Process().net_connections() if each.raddr]
        return any(f":{end.port}/" in silent for end in ends)

    connecting = asyncio.create_task(redispy.connect(silent, protocol=2))
    await asyncio.sleep(0.5)  # until they have agreed
    assert there()
    connecting.cancel()
    await asyncio.wait([connecting])
    await asyncio.sleep(0.1)
    assert not there()


async def refused(url: str) -> str:
    """Return what connecting says."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(StorageError) as caught:
        await RedisBackend(url, timeout=2).connect()
    assert asyncio.get_running_loop().time() - began < 2 + TOLERANCE
    return str(caught.value)


@pytest.mark.parametrize("host", [GOOD_HOST, WRONG_HOST])
@pytest.mark.parametrize("authority", ["authority", "other_authority", None])
async def test_a_server_that_is_not_who_it_should_be(
    authority: str | None, host: str, own_redis: RedisServer, certificates: Certificates
) -> None:
    options: dict[str, Any] = {"ca_certs": getattr(certificates, authority)} if authority else {}
    async with speaking_tls(own_redis, certificates) as proxy:
        url = url_of(proxy, host, **options)
        if (authority, host) == ("authority", GOOD_HOST):
            async with RedisBackend(url) as store:
                assert await store.get("key") is None
            return
        said = await refused(url)
        assert "certificate verify failed" in said
        assert "ssl_ca_certs" in said
        if authority == "authority":
            assert "localhost" in said


async def test_who_shows_no_certificate_is_refused(own_redis: RedisServer, certificates: Certificates) -> None:
    async with speaking_tls(own_redis, certificates, asks_clients=True) as proxy:
        authority: dict[str, Any] = {"ca_certs": certificates.authority}
        async with RedisBackend(url_of(proxy, **authority, **shown_by(certificates.client))) as store:
            await store.set("key", 1)
        for options in (authority, {**authority, **shown_by(certificates.foreign_client)}):
            assert "ssl_certfile" in await refused(url_of(proxy, **options))


async def test_one_end_without_tls(own_redis: RedisServer, certificates: Certificates) -> None:
    async with speaking_tls(own_redis, certificates) as proxy:
        assert "rediss://" in await refused(f"redis://{GOOD_HOST}:{proxy.port}")
    assert "TLS" in await refused(f"rediss://{GOOD_HOST}:{own_redis.port}")
