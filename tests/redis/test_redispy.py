"""What the adapter uses of redis-py is there in the version that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis.exceptions
import uvloop

from ad_seller.storage.redis import redispy


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_what_is_handed_over(
    protocol: int, run: Callable[[Coroutine[Any, Any, None]], None], redis_url: str
) -> None:
    async def look() -> None:
        connected = await redispy.connect(redis_url, timeout=5, protocol=protocol)
        assert connected.transport.get_extra_info("socket").fileno() > 0
        assert not connected.transport.is_closing()
        error = connected.parse_error("NOSCRIPT No matching script")
        assert isinstance(error, redis.exceptions.NoScriptError)
        connected.close()
        connected.transport.abort()
        await asyncio.sleep(0.01)
        connected.tell_lost(None)

    run(look())


async def test_a_refused_connection_leaves_nothing_open(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://nobody:wrong@")
    with pytest.raises(redis.RedisError):
        await redispy.connect(url, timeout=5, protocol=2)


@pytest.mark.parametrize("option", ["retry=3", "no_such=1", "ssl_cert_reqs=CERT_NONE"])
def test_wrong_options_are_noticed_without_connecting(option: str) -> None:
    with pytest.raises(Exception, match=r"\w"):
        redispy.check_options(f"rediss://127.0.0.1:1/0?{option}")
