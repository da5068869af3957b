"""Entries in Redis 6.2 or newer, or Valkey: for several instances of a seller agent."""

from __future__ import annotations

from math import inf
from typing import Any, cast
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from ..capabilities import Capabilities
from ..driver.engine import Engine
from ..errors import ConfigurationError, redact, shown
from ..options import takes_url_options
from ..passwords import Password, check_password
from ..records.codec import encode
from ..records.keys import check_key
from ..runtime.template import DriverBackend
from ..stats import Target
from .engine import RedisEngine
from .redispy import check_options
from .settings import RedisSettings
from .url import parse_redis_url

#: Connections at most; batching makes do with few.
MAX_CONNECTIONS = 8


class RedisBackend(DriverBackend):
    """A backend on one Redis server, a Sentinel group or a Redis Cluster.

    Reads of an event-loop tick are one MGET, writes one script. Every key is stored under ``key_prefix``, as
    JSON text with Redis's own expiry.

    Args:
        redis_url: ``redis://host:6379/0``, ``rediss://…`` with TLS, or ``unix:///path?db=0``; user, password and
            options as redis-py takes them. For Sentinel and Cluster see `parse_redis_url`.
        key_prefix: what stands before each key in Redis.
        timeout: seconds that any call waits for the server.
        max_connections: how many to each server at most, for each event loop.
        wait_replicas: replicas that must have confirmed a write before it is acknowledged, so that it survives
            a failover; costs a round trip between the servers.
        password: for the servers with entries, in place of the one in the URL; a function, also an async one, is
            asked at each new connection.
        trust_master: seconds that a master is believed after the sentinels have named it. 0: no answer counts
            before more than half of them have named it again; costs a round trip to them for each batch.
        settings: see `DriverBackend`.
    """

    @takes_url_options("redis")
    def __init__(
        self,
        redis_url: str,
        key_prefix: str = "ad_seller:",
        *,
        timeout: float = 5.0,
        max_connections: int = MAX_CONNECTIONS,
        wait_replicas: int = 0,
        password: Password | None = None,
        trust_master: float = 1.0,
        **settings: Any,
    ) -> None:
        """Check the URL; the server is asked by `connect`."""
        super().__init__(timeout=timeout, **settings)
        if not isinstance(key_prefix, str) or "\0" in key_prefix:
            raise ConfigurationError(f"key_prefix is a str without NUL, not {shown(key_prefix)}")
        if not isinstance(max_connections, int) or max_connections < 2:
            raise ConfigurationError(f"max_connections is at least 2, not {shown(max_connections)}")
        if not isinstance(wait_replicas, int) or isinstance(wait_replicas, bool) or wait_replicas < 0:
            raise ConfigurationError(f"wait_replicas is an int, 0 or more, not {shown(wait_replicas)}")
        check_password(password)
        if (
            not isinstance(trust_master, int | float)
            or isinstance(trust_master, bool)
            or not 0 <= trust_master < inf
        ):
            raise ConfigurationError(f"trust_master is a number of seconds, 0 or more, not {shown(trust_master)}")
        self.redis_url = redis_url
        self.key_prefix = key_prefix
        url = parse_redis_url(redis_url)
        try:
            check_options(url.sample)
        except (ValueError, TypeError, AttributeError, RedisError) as error:
            raise ConfigurationError(f"{redact(url.text)!r}: unknown or wrong option ({_option(error)})") from None
        self._settings = RedisSettings(
            url, redact(redis_url), key_prefix, timeout, max_connections, wait_replicas, password, trust_master
        )

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"RedisBackend({redact(self.redis_url)!r}, key_prefix={self.key_prefix!r})"

    def _atomic_confirms(self, key: str) -> bool:
        return self._settings.wait_replicas > 0

    @property
    def capabilities(self) -> Capabilities:
        """Everything; how durable an acknowledged write is depends on the server's persistence settings."""
        return Capabilities(
            atomic="store",
            expiry="store",
            durable=True,
            shared=True,
            atomic_batches=self._settings.is_in_one_place,
        )

    def _telemetry_target(self, key: str | None) -> Target:
        url = self._settings.url
        if url.text.startswith("unix:"):
            return Target("redis", urlsplit(url.text).path)
        return Target.of_url("redis", url.sample, 6379)

    def _make_engine(self) -> Engine:
        return RedisEngine(self._settings)

    async def facts_unopened(self) -> dict[str, Any]:
        """Return what `facts` does where `connect` was refused: what those servers say that answer."""
        session = self._make_session()
        try:
            return await session.engine.facts()
        except Exception as error:
            raise session.errors.map("ask", "the server", error) from error
        finally:
            await session.engine.close()

    # --- what existing agents use on Redis only --------------------------------------------------------

    async def publish(self, channel: str, message: Any) -> int:
        """Send ``message`` as JSON to the subscribers of ``{key_prefix}channel:{channel}``; return how many."""
        text = encode(message, key=channel, max_bytes=self._max_value_bytes)
        check_key(channel)
        with self._guarded(await self._here(), "publish to", channel, writes=True) as session:
            return await cast(RedisEngine, session.engine).publish(channel, text)

    async def incr(self, key: str) -> int:
        """Add 1 to the counter under ``key`` with Redis's own INCR, and return the sum."""
        key = check_key(key)
        with self._guarded(await self._here(), "increment", key, writes=True) as session:
            return await cast(RedisEngine, session.engine).add_one(key)

    async def get_stats(self) -> dict[str, Any]:
        """Return what the server says of itself: clients, memory, commands, hits and misses."""
        with self._guarded(await self._here(), "ask", "the server") as session:
            info = await cast(RedisEngine, session.engine).info()
        numbers = ("connected_clients", "total_commands_processed", "keyspace_hits", "keyspace_misses")
        return {name: int(info[name]) for name in numbers if name in info} | {
            "used_memory_human": info.get("used_memory_human")
        }


def _option(error: Exception) -> str:
    """Return what redis-py says of an option, without its own class names."""
    return redact(str(error).rpartition("__init__() ")[2])
