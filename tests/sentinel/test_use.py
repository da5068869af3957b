"""Ordinary use of a Sentinel group, and what is told when it cannot work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage import StorageConnectionError
from ad_seller.storage.operations import examine
from ad_seller.storage.redis.sentinel import _faults_of
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from tests.groups import (
    check_cancelled_connects,
    check_many_callers,
    check_nobody_answers,
    check_recorded_day,
    none_left,
)

SECRET = "s3cret/ü@:,?"


async def test_batches_are_atomic_and_go_to_the_master(group: SentinelGroup) -> None:
    async with RedisBackend(group.url, wait_replicas=2) as store:
        assert store.capabilities.atomic_batches
        await store.set_many({f"deal:{n}": n for n in range(100)})
        assert all(ask(node, "DBSIZE") == 101 for node in group.nodes)  # with the index
        assert await store.count() == await store.delete_many(f"deal:{n}" for n in range(100)) == 100


async def test_the_doctor_names_the_master(group: SentinelGroup) -> None:
    async with RedisBackend(group.url) as store:
        [found] = await examine(store, data=False)  # it keeps nothing on disk
        assert (found.rule, found.where) == ("not-synchronous", f"{store!r}, 127.0.0.1:{group.master().port}")


@pytest.mark.usefixtures("mended")
async def test_the_doctor_names_replicas_that_the_sentinels_find_fault_with(group: SentinelGroup) -> None:
    gone = next(node for node in group.nodes if node is not group.master())
    async with RedisBackend(group.url) as store:
        gone.kill()
        group.sentinels[0].kill()

        def is_seen() -> bool:
            told = [ask(one, "SENTINEL", "REPLICAS", "mymaster") for one in group.sentinels[1:]]
            return all("s_down" in str(each) for each in told)

        group.wait_for(is_seen, "the sentinels find that a replica is down", 20)
        found = {each.rule: each.what for each in await examine(store, data=False)}
    assert found.keys() == {"not-synchronous", "replica-down"}
    assert found["replica-down"].startswith(f"The replica 127.0.0.1:{gone.port}: ")
    assert "does not answer" in found["replica-down"]
    assert found["replica-down"].endswith(", say 2 of 2 sentinels")


@pytest.mark.parametrize(
    ("flags", "link", "faults"),
    [
        ("slave", "ok", set()),
        ("slave", "err", {"its link to the master is broken"}),
        ("s_down,slave,disconnected", "err", {"does not answer", "cannot be connected"}),
    ],
)
def test_what_a_sentinel_says_of_a_replica(flags: str, link: str, faults: set[str]) -> None:
    told = f"name=a:1 ip=a port=1 flags={flags} master-link-status={link}".replace("=", " ").encode().split()
    assert _faults_of(told) == ("a:1", faults)


async def test_another_database(group: SentinelGroup) -> None:
    async with (
        RedisBackend(group.url) as first,
        RedisBackend(group.url.replace("/mymaster/0", "/mymaster/3")) as other,
    ):
        await first.set("a", 1)
        assert await other.keys() == []


async def test_2000_callers(group: SentinelGroup) -> None:
    servers = [*group.nodes, *group.sentinels]
    async with RedisBackend(group.url, timeout=30) as store:
        await check_many_callers(store, servers)
    for server in servers:
        await none_left(server)


async def test_cancelled_connect_leaves_nothing(group: SentinelGroup) -> None:
    await check_cancelled_connects(partial(RedisBackend, group.url), [*group.nodes, *group.sentinels])


def test_a_recorded_day(group: SentinelGroup) -> None:
    check_recorded_day(group.url)


async def test_connections_that_the_servers_close_fail_no_call(group: SentinelGroup) -> None:
    async with RedisBackend(group.url) as store:
        for round_ in range(5):
            await store.set("a", round_)
            for server in (*group.nodes, *group.sentinels):
                ask(server, "CLIENT", "KILL", "TYPE", "normal")
            assert await store.get("a") == round_


async def test_a_service_that_nobody_knows(group: SentinelGroup) -> None:
    url = group.url.replace("/mymaster/", "/yourmaster/")
    with pytest.raises(StorageConnectionError, match=r"knows no service 'yourmaster'.*SENTINEL MASTERS"):
        await RedisBackend(url).connect()


async def test_nobody_answers() -> None:
    await check_nobody_answers("redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster")


async def test_a_server_that_is_no_sentinel(group: SentinelGroup) -> None:
    url = f"redis+sentinel://127.0.0.1:{group.nodes[0].port}/mymaster"
    with pytest.raises(Exception, match="SENTINEL") as caught:
        await RedisBackend(url).connect()
    assert "unknown command" in str(caught.value)


async def test_right_and_wrong_passwords(tmp_path: Path) -> None:
    other = "0ther-word"
    with SentinelGroup(tmp_path, password=SECRET, sentinel_password=f"{SECRET}2") as group:
        async with RedisBackend(group.url, wait_replicas=1) as store:
            await store.set("a", 1)
            assert await store.get("a") == 1
        assert "s3cret" not in repr(store)
        base, _, option = group.url.partition("?")
        hosts = base.rpartition("@")[2]
        async with RedisBackend(f"redis+sentinel://{hosts}?{option}", password=lambda: SECRET) as store:
            assert await store.keys() == ["a"]
        wrong = [
            f"redis+sentinel://:{other}@{hosts}?{option}",
            f"redis+sentinel://{hosts}?{option}",
            f"{base}?sentinel_password={other}",
            base,
        ]
        for url in wrong:
            with pytest.raises(StorageConnectionError, match="refused the login") as caught:
                await RedisBackend(url).connect()
            for word in ("s3cret", other):
                assert word not in str(caught.value)
        for server in (*group.nodes, *group.sentinels):
            await none_left(server)
