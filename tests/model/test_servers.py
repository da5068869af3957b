"""Backends on servers are what a dict is."""

from __future__ import annotations

from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from tests.model.machine import Bench
from tests.model.suite import check


def test_redis(redis_url: str, redis_prefix: str) -> None:
    with Bench(lambda: RedisBackend(redis_url, redis_prefix)) as bench:
        check(bench, examples=10)


def test_postgres(postgres_url: str) -> None:
    with Bench(lambda: PostgresBackend(postgres_url)) as bench:
        check(bench, examples=10)


def test_hybrid(postgres_url: str, redis_url: str, redis_prefix: str) -> None:
    def new() -> HybridBackend:
        return HybridBackend(PostgresBackend(postgres_url), RedisBackend(redis_url, redis_prefix))

    with Bench(new) as bench:
        check(bench, examples=8)
