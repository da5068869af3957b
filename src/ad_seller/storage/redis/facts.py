"""What a Redis server says about itself, for `doctor`."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from ..driver.failures import LostError, NotSentError
from ..passwords import has_password
from .cluster import ClusterRouter
from .connection import Command
from .pool import NodePool
from .router import Work
from .settings import RedisSettings
from .slots import SLOTS

Ask = Callable[..., Awaitable[Any]]
AskAll = Callable[[Sequence[Command]], Awaitable[list[Any]]]

#: What a managed server may refuse to tell.
_SETTINGS: Final = ("maxmemory-policy", "maxmemory", "appendonly", "appendfsync", "save", "requirepass")
_TOLD: Final = (
    "redis_version", "valkey_version", "role", "connected_slaves", "used_memory", "maxmemory", "maxmemory_policy",
    "aof_enabled", "rdb_last_bgsave_status", "aof_last_write_status", "master_link_status", "evicted_keys",
    "connected_clients", "maxclients", "loading",
)  # fmt: skip

#: A line of INFO about a replica; others begin likewise, as `slave_read_only`.
_REPLICA: Final = re.compile(r"slave\d+")


async def facts(ask: Ask, settings: RedisSettings) -> dict[str, Any]:
    """Return what there is to know; what the user may not ask is left out.

    Args:
        ask: sends a command and returns the answer.
        settings: of the engine.
    """
    told = parse_info(await _asked(ask, "INFO") or b"")
    found: dict[str, Any] = {"engine": "redis", **{name: told[name] for name in _TOLD if name in told}}
    found |= {"wait_replicas": settings.wait_replicas, "followers": followers(told), **_login(settings)}
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


async def facts_of_cluster(router: ClusterRouter, told_by: Work[dict[str, Any]]) -> dict[str, Any]:
    """Return what the masters of a cluster say that answer, and which do not.

    Args:
        router: of the cluster.
        told_by: returns what one server says.
    """
    silent: dict[str, str] = {}

    async def told_or_silent(pool: NodePool) -> dict[str, Any] | None:
        try:
            return await told_by(pool)
        except (NotSentError, LostError) as error:
            silent[pool.server] = str(error)
            return None

    uncovered = await router.uncovered()
    asked = [] if uncovered == SLOTS else await router.with_all(told_or_silent, moving=False)
    servers = [told for told in asked if told is not None]
    cluster = {"engine": "cluster", "uncovered": uncovered, "silent": silent}
    return {**(servers[0] if servers else {}), "servers": servers, "cluster": cluster}


def followers(told: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return of each replica its name, how many bytes it is behind, and the seconds since it last said so.

    Source: https://redis.io/docs/latest/commands/info/

    Args:
        told: the fields of INFO.
    """
    found = []
    for name, text in told.items():
        if _REPLICA.fullmatch(name):
            one = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
            reached = int(one["offset"]) if "offset" in one else None  # servers like Redis may not tell
            behind = 0 if reached is None else int(told.get("master_repl_offset", 0)) - reached
            address = f"The replica {one.get('ip')}:{one.get('port')}"
            found.append({"name": address, "behind": behind, "late": float(one.get("lag", 0))})
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


#: What `doubts` asks in one round trip; the server looks only at these parts of itself.
_DOUBTS: Final = (
    ("INFO", "memory"),
    ("INFO", "persistence"),
    ("CONFIG", "GET", "save"),
    ("CONFIG", "GET", "appendfsync"),
)


async def doubts(ask_all: AskAll, wait_replicas: int) -> list[str]:
    """Return why a server may lose what it acknowledged; what the user may not ask is taken to be in order.

    Source: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/

    Args:
        ask_all: sends commands that change nothing to the server, and returns the answers.
        wait_replicas: how many replicas confirm each write; then it is not in one server only.
    """
    memory, persistence, save, fsync = map(_unless_refused, await ask_all(_DOUBTS))
    told = parse_info((memory or b"") + (persistence or b""))
    found: list[str] = []
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and told.get("maxmemory", "0") != "0":
        evicts = f"Redis evicts entries when its memory is full (maxmemory-policy {policy})"
        found.append(f"{evicts}, also those that were acknowledged. Set noeviction, and give it enough memory.")
    if wait_replicas == 0 and (kept := _kept(told, _setting(save), _setting(fsync))) is not None:
        found.append(f"Redis {kept}. Set appendonly yes; or wait_replicas, where there are replicas.")
    return found


def by_server(doubted: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return what is doubted of several servers, each doubt once; where there are several, with their names."""
    if len(doubted) == 1:
        return doubted[0][1]
    servers: dict[str, list[str]] = {}
    for server, found in doubted:
        for doubt in found:
            servers.setdefault(doubt, []).append(server)
    everybody = f"All {len(doubted)} masters"
    return [
        f"{everybody if len(those) == len(doubted) else ', '.join(those)}: {doubt}"
        for doubt, those in servers.items()
    ]


def _kept(told: dict[str, str], save: str | None, fsync: str | None) -> str | None:
    """Return what a server that ends would take along; None if at most the last second, or if that is not known."""
    if told.get("aof_enabled") == "0":
        if save is None:
            return None
        if save:
            return f"keeps snapshots only (save {save}): a crash takes what was acknowledged since the last one"
        return "keeps nothing on disk (save is empty, appendonly no): its end takes all that was acknowledged"
    if told.get("aof_enabled") == "1" and fsync == "no":
        return "leaves it to the system when its log reaches the disk (appendfsync no): a power failure takes more"
    return None


def _unless_refused(answer: Any) -> Any:
    """Return the answer; None for a refusal."""
    if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
        raise answer
    return None if isinstance(answer, ResponseError) else answer


def _setting(answer: Any) -> str | None:
    values = list(answer.values()) if isinstance(answer, dict) else list(answer or [])[1::2]
    return _text(values[0]) if values else None


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of INFO."""
    lines = text.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
