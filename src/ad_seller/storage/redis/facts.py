"""What a Redis server says about itself, for `doctor`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.exceptions import ResponseError

from ..options import has_password
from .settings import RedisSettings

Ask = Callable[..., Awaitable[Any]]

#: What a managed server may refuse to tell.
_SETTINGS: Final = ("maxmemory-policy", "maxmemory", "appendonly", "appendfsync", "save", "requirepass")
_TOLD: Final = (
    "redis_version", "valkey_version", "role", "connected_slaves", "used_memory", "maxmemory", "maxmemory_policy",
    "aof_enabled", "rdb_last_bgsave_status", "aof_last_write_status", "master_link_status", "evicted_keys",
    "connected_clients", "maxclients", "loading",
)  # fmt: skip


async def facts(ask: Ask, settings: RedisSettings) -> dict[str, Any]:
    """Return what there is to know; what the user may not ask is left out.

    Args:
        ask: sends a command and returns the answer.
        settings: of the engine.
    """
    told = parse_info(await _asked(ask, "INFO") or b"")
    found: dict[str, Any] = {"engine": "redis", **{name: told[name] for name in _TOLD if name in told}}
    found |= {"wait_replicas": settings.wait_replicas, **_login(settings)}
    for name in _SETTINGS:
        answer = await _asked(ask, "CONFIG", "GET", name)
        pairs = (
            list(answer.items()) if isinstance(answer, dict) else list(zip(*[iter(answer or [])] * 2, strict=True))
        )
        found |= {_text(key): _text(value) for key, value in pairs}
    if "requirepass" in found:
        found["asks_password"] = bool(found.pop("requirepass"))
    began = time.time()
    answer = await _asked(ask, "TIME")
    ended = time.time()
    if answer:
        clock = int(answer[0]) + int(answer[1]) / 1_000_000
        found["clock_ahead"] = clock - min(max(clock, began), ended)
    return found


def _login(settings: RedisSettings) -> dict[str, bool]:
    scheme, _, rest = settings.url.text.partition("://")
    host = rest.rpartition("@")[2]
    is_local = scheme == "unix" or host.startswith(("localhost", "127.", "[::1]"))
    asked = settings.password is not None or has_password(settings.url.text)
    return {"tls": scheme.startswith("rediss"), "is_local": is_local, "has_password": asked}


async def _asked(ask: Ask, *command: str) -> Any:
    try:
        return await ask(*command)
    except ResponseError:
        return None


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of INFO."""
    lines = text.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
