"""What the adapter uses of redis-py is there in the version that is installed."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis.exceptions
import uvloop

from ad_seller.storage.redis import redispy
from ad_seller.storage.testing.servers import RedisServer

from .support import TOLERANCE


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_what_is_handed_over(
    protocol: int, run: Callable[[Coroutine[Any, Any, None]], None], redis_url: str
) -> None:
    async def look() -> None:
        connected = await redispy.connect(redis_url, protocol=protocol)
        assert connected.transport.get_extra_info("socket").fileno() > 0
        assert not connected.transport.is_closing()
        error = connected.parse_error("NOSCRIPT No matching script")
        assert isinstance(error, redis.exceptions.NoScriptError)
        connected.close()
        connected.transport.abort()
        await asyncio.sleep(0.01)
        connected.tell_lost(None)

    run(look())


async def test_a_connection_leaves_nothing_to_the_collector(redis_url: str) -> None:
    """What redis-py made for it goes with it; but refusals are kept by their own tracebacks, so none comes here."""
    made: list[weakref.ref[Any]] = []
    prepared = redispy._prepared

    def noted(*arguments: Any, **options: Any) -> Any:
        connection = prepared(*arguments, **options)
        for name in ("driver_info", "lib_name", "lib_version"):
            setattr(connection, name, None)
        made.append(weakref.ref(connection))
        return connection

    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redispy, "_prepared", noted)
            connected = await redispy.connect(redis_url, protocol=2)
        connected.close()
        connected.transport.abort()
        del connected
        await asyncio.sleep(0.01)
        assert [one() for one in made] == [None]
    finally:
        gc.enable()


async def test_a_refused_connection_leaves_nothing_open(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://nobody:wrong@")
    with pytest.raises(redis.RedisError):
        await redispy.connect(url, protocol=2)


@pytest.mark.parametrize("options", ["", "?socket_timeout=60"])
async def test_who_waits_no_longer_is_let_go(options: str, own_redis: RedisServer) -> None:
    """At whatever step of connecting; Python 3.11's `wait_for` passes over some cancellations."""
    own_redis.freeze()
    for _ in range(200):
        trying = asyncio.create_task(redispy.connect(own_redis.url + options, protocol=3))
        await asyncio.sleep(random.random() * 0.004)
        trying.cancel()
        done, _ = await asyncio.wait([trying], timeout=TOLERANCE)
        assert done, "it went on"
        assert trying.cancelled()
    own_redis.thaw()


@pytest.mark.parametrize("option", ["retry=3", "no_such=1", "ssl_cert_reqs=CERT_NONE"])
def test_wrong_options_are_noticed_without_connecting(option: str) -> None:
    with pytest.raises(Exception, match=r"\w"):
        redispy.check_options(f"rediss://127.0.0.1:1/0?{option}")
