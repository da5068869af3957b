"""The doctor on engines and data: what it finds on real ones, and what its steps do."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from ad_seller.storage import StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import Finding, examine, fixes
from ad_seller.storage.operations.doctor import fix
from ad_seller.storage.operations.doctor.data import missing
from ad_seller.storage.operations.doctor.engines import judge, undeclared
from ad_seller.storage.operations.doctor.findings import SHOWN
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisBinary, RedisServer
from tests.operations.test_repair import CUT, write_raw
from tests.runtime.stores import store

__all__ = ["store"]


def said(found: list[Finding]) -> dict[str, str]:
    return {each.rule: each.what for each in found}


async def engine_findings(store: StorageBackend) -> dict[str, str]:
    async with store:
        return said(await examine(store, data=False))


def judged(facts: dict[str, Any], **other: Any) -> set[str]:
    return {each.rule for each in judge({**facts, **other}, "here")}


# --- data ----------------------------------------------------------------------------------------------------

QUOTE = {"status": "available"}


async def fill(store: StorageBackend) -> None:
    await store.set_many({f"quote:{n}": {"deal_id": "D-1"} for n in range(1_200)}, ttl=500)
    await store.set_many({"deal:D-1": {"quote_id": "0"}, "order:1": {"deal_id": "D-1", "quote_id": "0"}})
    await store.set_many({"session:s": {}, "cache:c": 1}, ttl=500)
    await store.set_many({"agent:a": {}, "session_index:buyer:x": ["s"], "agent_url_index:u": "a"})
    await store.set_many({"order:odd": {"deal_id": 5, "quote_id": None}, "deal:odd": {"quote_id": ""}, "free": [1]})


async def test_a_sound_store_has_nothing_to_report(store: StorageBackend) -> None:
    async with store:
        await fill(store)
        seen: list[int] = []
        found = await examine(store, progress=seen.append)
        assert [each for each in found if not each.where] == []
        assert seen[-1] == await store.count()
        assert [step async for step in fixes(store, found)] == []


async def test_what_is_wrong_with_data_is_found_and_mended(store: StorageBackend) -> None:
    async with store:
        await fill(store)
        await store.set("quote:for-ever", QUOTE)
        await store.set_many({f"order:lost-{n}": {"deal_id": "gone"} for n in range(30)})
        await store.set_many({"deal:old": {"quote_id": "expired"}, "change_request:c": {"order_id": "gone"}})
        await store.set_many({"session_index:buyer:x": ["a", "s", 7, "b"], "agent_url_index:dead": "nobody"})
        await store.set_many({"event_index": list(range(1_000)), "product:list": [], "damaged:x": {}})
        await write_raw(store, {"deal:D-1": CUT})

        found = {(each.rule, each.what): each for each in await examine(store) if not each.where}
        assert {key: each.count for key, each in found.items()} == {
            ("value-unreadable", "Values under deal: that cannot be read: 1"): 1,
            ("reference-dangling", "References order: deal_id that lead to nothing: 30"): 30,
            ("reference-dangling", "References change_request: order_id that lead to nothing: 1"): 1,
            ("reference-expired", "References deal: quote_id to what is not there, expired or never stored: 1"): 1,
            ("index-dangling", "Entries of session_index:buyer: that name records which are gone: 2"): 2,
            ("index-dangling", "Entries of agent_url_index: that name records which are gone: 1"): 1,
            ("no-expiry", "Entries under quote: that never expire: 1"): 1,
            ("list-grows", "Entries under event_index with lists of 1,000 elements or more: 1"): 1,
            ("odd-record", "Entries under product: that are no records: 1"): 1,
            ("set-aside", "Entries under damaged:: 1"): 1,
        }
        many = found["reference-dangling", "References order: deal_id that lead to nothing: 30"]
        assert (len(many.examples), many.examples[0]) == (SHOWN, "order:lost-0 -> deal:gone")

        before = {key: await store.get(key) for key in ("session_index:buyer:x", "agent_url_index:dead")}
        steps = [step async for step in fixes(store, found.values(), grace=0)]
        assert {key: await store.get(key) for key in before} == before  # nothing is done before it is asked for
        assert {step.what.partition(":")[0] for step in steps} == {
            "Move deal", "Take 2 of 4 ids out of session_index", "Delete agent_url_index",
        }  # fmt: skip
        results = [await step.apply() for step in steps]
        assert results == ["set aside: damaged:deal:D-1", "2 taken out", "deleted"]
        assert await store.get("session_index:buyer:x") == ["s", 7]
        assert not await store.exists("agent_url_index:dead")
        again = [each for each in await examine(store) if each.fixable]
        assert again == []
        assert [await step.apply() for step in steps] == ["gone", "changed meanwhile", "changed meanwhile"]


async def test_a_session_that_is_stored_after_its_index_entry_stays_in_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with MemoryBackend() as store:
        await store.set("session_index:buyer:x", ["new", "old"])
        found = await examine(store)

        async def looked(*arguments: Any) -> set[str]:
            gone = await missing(*arguments)
            await store.set("session:new", {})  # between the first look and the second
            return gone

        monkeypatch.setattr(fix, "missing", looked)
        step = await anext(fixes(store, found, grace=0))
        assert step.what == "Take 1 of 2 ids out of session_index:buyer:x: session:old"
        await store.set("session:old", {})  # and this one between the look and the step
        assert await step.apply() == "changed meanwhile"
        assert await store.get("session_index:buyer:x") == ["new", "old"]


# --- SQLite --------------------------------------------------------------------------------------------------


async def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    url = f"sqlite:///{path}"
    async with SQLiteBackend(url, sweep_interval=None) as store:
        await store.set("quote:1", QUOTE)
        facts = await store.facts()
        sound = judged(facts, version="3.51.3", disk_free=2**40)
        assert sound == set()
        changed: dict[str, dict[str, Any]] = {
            "sqlite-wal-reset": {"version": "3.51.2"},
            "sqlite-network-disk": {"filesystem": "nfs4"},
            "sqlite-damaged": {"damage": ["page 3 is never used"]},
            "sqlite-not-wal": {"journal_mode": "delete"},
            "log-large": {"log_bytes": 2**33},
            "disk-nearly-full": {"disk_free": 1000},
        }
        for rule, changes in changed.items():
            assert judged({**facts, "version": "3.51.3", "disk_free": 2**40}, **changes) == {rule}
    with sqlite3.connect(path) as db:
        db.execute("UPDATE kv_store SET expires_at = ?", (time.time() - 7_200,))
    db.close()
    path.chmod(0o640)
    found = await engine_findings(SQLiteBackend(url, synchronous="NORMAL", sweep_interval=None))
    assert found["file-readable"] == "The file's mode is 0640"
    assert found["not-synchronous"] == "synchronous=NORMAL"
    assert found["expired-not-reclaimed"] == "1 expired entries are still stored, the oldest for 2 h"
    assert os.path.realpath(path) == facts["path"]
    assert await engine_findings(SQLiteBackend(":memory:")) == {"not-durable": "The store lies in memory"}


async def test_filters_without_an_index(tmp_path: Path) -> None:
    many = {"order": 10_000, "quote": 10_000, "change_request": 9_999}
    url = f"sqlite:///{tmp_path}/store.db"
    async with SQLiteBackend(url, indexes=["quote.status", "change_request.status"]) as store:
        assert [each.what for each in undeclared(await store.facts(), many, "here")] == [
            "No index is declared for quote.buyer_id, quote.product.product_id, and there are 10,000 of them",
            "No index is declared for order.status, and there are 10,000 of them",
        ]
    async with SQLiteBackend(url) as store:
        assert len([*undeclared(await store.facts(), many, "here")]) == 1
        await store.set_many({f"quote:{n}": QUOTE for n in range(10_000)}, ttl=500)
        found = await examine(store)
        assert [each.severity for each in found if each.rule == "filter-undeclared"] == ["note"]
    assert [*undeclared({}, many, "here")] == []


async def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SQLiteBackend(f"sqlite:///{path}") as store:
        await store.set_many({f"deal:{n}": {"x": "y" * 300} for n in range(200)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path.write_bytes(data)
    assert "quick_check says: " in (await engine_findings(SQLiteBackend(f"sqlite:///{path}")))["sqlite-damaged"]


# --- Redis ---------------------------------------------------------------------------------------------------


async def test_redis(redis_binary: RedisBinary, tmp_path: Path) -> None:
    config = {"maxmemory-policy": "allkeys-lru", "appendonly": "no", "save": ""}
    with RedisServer(tmp_path / "redis", binary=redis_binary, config=config, maxmemory="8mb") as server:
        found = await engine_findings(RedisBackend(server.url))
        assert found == {
            "evicting-redis": "maxmemory-policy allkeys-lru",
            "not-synchronous": "appendonly no: no persistence",
        }
        with redis.Redis.from_url(server.url) as client:
            for number in range(12_000):
                client.set(f"x{number}", b"x" * 1_000)
            client.config_set("save", "60 1")
            async with RedisBackend(server.url, wait_replicas=1) as store:
                facts = await store.facts()
            found = said(list(judge(facts, "here")))
            assert found["evicted"].endswith("entries were evicted since the server began")
            assert found["not-synchronous"] == "appendonly no: snapshots only (save 60 1)"
            assert found["no-replica"] == "1 replicas are waited for, 0 are there"
            assert found["memory-nearly-full"].endswith("of 8 MiB are used")
        sound = {
            **facts,
            "maxmemory_policy": "noeviction",
            "maxmemory": "0",
            "evicted_keys": "0",
            "aof_enabled": "1",
        }
        sound["wait_replicas"] = 0
        assert judged(sound) == set()
        far = {"is_local": False}
        assert judged(sound, **far) == {"redis-without-password", "no-tls"}
        assert judged(sound, **far, has_password=True, tls=True) == set()
        changed: dict[str, dict[str, Any]] = {
            "not-synchronous": {"appendfsync": "no"},
            "saving-fails": {"aof_last_write_status": "err"},
            "replica": {"role": "slave"},
            "clock-differs": {"clock_ahead": -2.5},
        }
        for rule, changes in changed.items():
            assert judged(sound, **changes) == {rule}


async def test_redis_of_a_user_who_may_ask_nothing(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser(
            "agent", enabled=True, passwords=["+s3cret"], keys=["*"], channels=["*"],
            commands=["+@all", "-info", "-config", "-time"],
        )  # fmt: skip
    url = own_redis.url.replace("redis://", "redis://agent:s3cret@")
    assert await engine_findings(RedisBackend(url)) == {}


# --- PostgreSQL ----------------------------------------------------------------------------------------------


async def test_postgres(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = own_postgres.url()
    assert await engine_findings(PostgresBackend(url)) == {"superuser": "The role of the agent is a superuser"}
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("ALTER SYSTEM SET synchronous_commit = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute("DROP INDEX ad_seller_kv_order_status, ad_seller_kv_expiry")
    await connection.execute("CREATE INDEX ad_seller_kv_expiry ON ad_seller_kv (key)")
    await connection.execute("INSERT INTO ad_seller_kv VALUES ('quote:1', '{}', now() - interval '3 days')")
    monkeypatch.setenv("WEB_CONCURRENCY", "30")
    async with PostgresBackend(url, create=False, sweep_interval=None) as store:  # as the command does
        report = await examine(store, data=False)
        found = said(report)
        assert found["not-synchronous"] == "fsync, synchronous_commit off"
        assert found["pool-too-large"] == "30 worker(s) with 10 connections each; the server takes 97"
        assert found["filter-walks"].endswith("ad_seller_kv_order_status")
        assert found["expired-not-reclaimed"] == "1 expired entries are still stored, the oldest for 3 days"
        [step] = [step async for step in fixes(store, report)]
        wrong = "CREATE INDEX ad_seller_kv_expiry ON public.ad_seller_kv USING btree (key)"
        assert f"ad_seller_kv_expiry ({wrong}), ad_seller_kv_order_status" in found["filter-walks"]
        assert step.what.startswith("Build ad_seller_kv_expiry, ad_seller_kv_order_status in ")
        assert step.what.endswith(f", in place of what has the name and is dropped: {wrong}")
        await connection.execute("CREATE VIEW ad_seller_kv_order_status AS SELECT 1")
        told = "not built, because something else has the name: ad_seller_kv_order_status. Rename that, then run"
        assert (await step.apply()).startswith(told)
        await connection.execute("DROP VIEW ad_seller_kv_order_status")
        assert await step.apply() == "built"
        facts = await store.facts()
        assert facts["missing_indexes"] == []
        changed: dict[str, dict[str, Any]] = {
            "replica": {"is_replica": True},
            "no-tls": {"is_local": False},
            "no-replica": {"synchronous_standby_names": "ANY 1 (*)"},
            "no-autovacuum": {"autovacuum": "off"},
        }
        for rule, changes in changed.items():
            assert judged(facts, **changes) - judged(facts) == {rule}
    await connection.close()
