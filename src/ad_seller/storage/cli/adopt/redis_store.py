"""Reading what lies in Redis without opening it as ours: one server, the master of a Sentinel group, a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import redis

from ad_seller.storage import ConfigurationError, redact
from ad_seller.storage.redis.slots import SLOTS, Node, owners_of
from ad_seller.storage.redis.url import RedisURL, parse_redis_url

from .stores import See

_AT_ONCE = 500  #: entries that are asked for in one exchange


def read_redis(url: str, password: str | None, prefix: str, see: See) -> int:
    """Read all entries under a prefix; return how many other keys the database has.

    In a cluster one master is read after the other: what moves meanwhile may be told twice, or not at all.

    Args:
        url: a server, a Sentinel group or a cluster, as `REDIS_URL` names it.
        password: what the servers with entries want, where the URL has none.
        prefix: what the keys of the agent begin with.
        see: called with each key, without the prefix, and its text.

    Raises:
        ConfigurationError: the URL names a node of a cluster, or a Sentinel, as if it were one server; the
            sentinels know no such service; the cluster has no master for some slots.
        redis.RedisError: the servers cannot be reached or refuse.
    """
    place = parse_redis_url(url)
    secret = None if "@" in url else password
    return sum(_read_server(server, secret, place, prefix, see) for server in _servers(place, secret))


def _client(url: str, password: str | None) -> redis.Redis:
    options: dict[str, Any] = {} if password is None else {"password": password}
    return redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, **options)


def _servers(place: RedisURL, password: str | None) -> list[str]:
    """Return the URL of each server that has entries of its own."""
    if place.kind == "server":
        return [place.text]
    if place.kind == "sentinel":
        return [place.server(*_master(place))]
    return [place.server(*node) for node in _masters(place, password)]


def _ask_any(place: RedisURL, urls: list[str], password: str | None, *command: str) -> tuple[int, Any]:
    """Return which of the servers answered first, and its answer."""
    for number, url in enumerate(urls):
        try:
            with _client(url, password) as client:
                return number, client.execute_command(*command)
        except (redis.ConnectionError, redis.TimeoutError):
            if number + 1 == len(urls):
                raise
    raise AssertionError(place.kind)  # pragma: no cover  # a URL without hosts was refused


def _master(place: RedisURL) -> Node:
    urls = [place.sentinel(*node) for node in place.nodes]
    _, answer = _ask_any(place, urls, None, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service)
    if answer is None:
        raise ConfigurationError(f"The sentinels know no service {place.service!r}; SENTINEL MASTERS lists them")
    host, port = answer
    return host.decode(), int(port)


def _masters(place: RedisURL, password: str | None) -> list[Node]:
    urls = [place.server(*node) for node in place.nodes]
    number, ranges = _ask_any(place, urls, password, "CLUSTER", "SLOTS")
    owners = owners_of(ranges, place.nodes[number])
    if len(owners) < SLOTS:
        missing = SLOTS - len(owners)
        raise ConfigurationError(
            f"{missing:,} of {SLOTS:,} slots have no master; mend the cluster, then look again"
        )
    return sorted(set(owners.values()))


def _read_server(url: str, password: str | None, place: RedisURL, prefix: str, see: See) -> int:
    start, others = prefix.encode(), 0
    with _client(url, password) as client:
        if place.kind == "server":
            _check_alone(client, place)
        for names in _chunks(client.scan_iter(count=1000)):
            ours = [name for name in names if name.startswith(start) and not name.startswith(start + b"\0")]
            others += sum(not name.startswith(start) for name in names)
            for name, (is_there, text) in zip(ours, _texts(client, ours), strict=True):
                if is_there:
                    see(name.removeprefix(start), text)
    return others


def _check_alone(client: redis.Redis, place: RedisURL) -> None:
    """Refuse what would show a part of the entries only, or none."""
    mode = client.info("server").get("redis_mode", "standalone")
    if mode == "sentinel":
        raise ConfigurationError(
            f"{redact(place.text)} is a Sentinel, which has no entries. Name the group, e.g. "
            "redis+sentinel://host:26379/mymaster/0, in REDIS_URL or by --url"
        )
    if mode == "cluster":
        raise ConfigurationError(
            f"{redact(place.text)} is a node of a cluster, which has a part of the entries. Name the cluster, e.g. "
            "redis+cluster://host:6379, in REDIS_URL or by --url"
        )


def _chunks(names: Iterator[bytes]) -> Iterator[list[bytes]]:
    while chunk := list(islice(names, _AT_ONCE)):
        yield chunk


def _texts(client: redis.Redis, names: list[bytes]) -> list[tuple[bool, bytes | None]]:
    """Return for each key whether it is there, and its text: a list or a hash has none."""
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.get(name)  # one by one: a node of a cluster takes no MGET over several slots
        answers = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, redis.RedisError) and "WRONGTYPE" not in str(answer):
            raise answer
    return [(answer is not None, answer if isinstance(answer, bytes) else None) for answer in answers]
