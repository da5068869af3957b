"""Looking after a store on a cluster, where no commit spans an entry and the holds over it."""

from __future__ import annotations

import pytest

from ad_seller.storage.operations import RetentionRule, erase, examine, fixes, place_hold
from ad_seller.storage.operations.doctor import engines
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask
from tests.operations.test_doctor_replicas import eventually
from tests.operations.test_retention import DAY, ORDERS, QUOTES, applied, at, order


async def test_each_entry_is_a_commit_of_its_own(cluster: RedisCluster) -> None:
    async with RedisBackend(cluster.url) as store:
        await store.set_many({f"order:{n}": order(90) for n in range(20)})
        await store.set_many({"quote:1": {"created_at": at(90)}, "deal:1": {"quote_id": "1"}})
        await store.set_many({f"session:{n}": {"buyer_id": "b"} for n in range(20)}, ttl=500)
        await place_hold(store, "case", ["order:7", "session:7"], reason="litigation")
        done = await applied(store, [ORDERS, QUOTES])
        orders, quotes = done["finished orders"], done["quotes"]
        assert (orders.removed, dict(orders.kept), dict(quotes.kept)) == (19, {"held": 1}, {"referred": 1})
        assert await store.keys("order:*") == ["order:7"]
        erased = await erase(store, "b", dry_run=False, pause=0)
        assert erased.counts["session:"] == {"deleted": 19, "held": 1}
        assert await store.keys("session:*") == ["session:7"]

        log = store.log("audit", by=("who",))
        await store.set_many({f"seen:{n}": {"who": "a", "at": at(90 - n)} for n in range(9)})
        await log.take_in("seen:*", at="at")
        ids = [entry_id for entry_id, _ in (await log.read()).items]
        await place_hold(store, "case", [f"log:audit:{ids[3]}"], reason="litigation")
        rule = RetentionRule("audit", log="audit", by=("who",), older_than=84.5 * DAY)
        trimmed = (await applied(store, [rule]))["audit"]
        assert (trimmed.removed, dict(trimmed.kept)) == (5, {"held": 1})
        assert [one for one, _ in (await log.read(who="a")).items] == [ids[3], *ids[6:]]
        await store.delete_many(await store.keys("*:audit*"))

        await store.set_many({"agent_url_index:u": "gone", "session_index:buyer:x": ["7", "gone"]})
        found = await examine(store)
        assert {each.rule for each in found if not each.where} == {"index-dangling", "no-expiry"}
        left = [await step.apply() async for step in fixes(store, found, grace=0)]
        assert all(each.startswith(("left: ", "deleted", "1 taken out")) for each in left)
        await store.delete_many(await store.keys())


async def told_by_server(store: RedisBackend) -> dict[str, set[str]]:
    """Return the findings about engines, by the server that they name."""
    found: dict[str, set[str]] = {}
    for each in await examine(store, data=False):
        found.setdefault(each.where.rpartition(", ")[2], set()).add(each.rule)
    return found


async def test_the_doctor_looks_at_each_master(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = cluster.masters()
    names = [f"127.0.0.1:{server.port}" for server in (one, two, three)]
    replica = next(node for node in cluster.nodes if cluster.follows(node, three))
    async with RedisBackend(cluster.url) as store:
        usual = {name: {"not-synchronous"} for name in names}  # they keep nothing on disk
        assert await told_by_server(store) == usual
        room = ask(two, "CONFIG", "GET", "maxmemory")[1]
        ask(one, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        ask(two, "CONFIG", "SET", "maxmemory", 1)
        ask(three, "CONFIG", "SET", "appendonly", "yes")
        try:
            assert await told_by_server(store) == {
                names[0]: {"not-synchronous", "evicting-redis"},
                names[1]: {"not-synchronous", "memory-nearly-full"},
            }
        finally:
            ask(one, "CONFIG", "SET", "maxmemory-policy", "noeviction")
            ask(two, "CONFIG", "SET", "maxmemory", room)
            ask(three, "CONFIG", "SET", "appendonly", "no")
        monkeypatch.setattr(engines, "_SILENT", 2.0)

        async def lags() -> list[str] | None:
            return [name for name, rules in (await told_by_server(store)).items() if "replica-lags" in rules]

        replica.freeze()
        try:
            assert await eventually(lags) == [names[2]]
        finally:
            replica.thaw()
