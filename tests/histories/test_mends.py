"""Mends taken out again: the faults that look themselves whether somebody is harmed find the defects."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import pytest

from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.defects import DEFECTS
from tests.postgres.support import run_sql
from tests.proxy import Proxy

from .beside import split_batch
from .beside_postgres import beside_postgres
from .beside_redis import beside_redis
from .clients import Clients
from .faults import Fault
from .operations import Keys


class Nobody:
    """Stands for clients: a fault looks at their keys."""

    keys = Keys(("r0",), ("c",), (("a", "b"),))


def happens(fault: Fault, times: int = 1) -> None:
    """Let a fault happen to nobody but itself."""
    for _ in range(times):
        fault(cast(Clients, Nobody()), random.Random(1))


def harm(monkeypatch: pytest.MonkeyPatch, defect: str, fault: Fault) -> str:
    """Return what a fault finds with a mend taken out; with the mend, it must find nothing."""
    happens(fault)
    with monkeypatch.context() as patch:
        DEFECTS[defect](patch)
        with pytest.raises(AssertionError) as caught:
            happens(fault)
    return str(caught.value)


def test_on_redis(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(own_redis.port) as proxy:
        faults = beside_redis(own_redis, proxy)
        find = partial(harm, monkeypatch)
        assert "beside a set that was refused" in find("refused-together-redis", faults["refused neighbour"])
        assert "one call after the other" in find("dropped-siblings", faults["dropped connections"])
        memory = partial(ask, own_redis, "CONFIG", "SET", "maxmemory")
        split = split_batch(partial(RedisBackend, own_redis.url), partial(memory, 1), partial(memory, 0))
        happens(split)
        DEFECTS["split-batch-redis"](monkeypatch)
        with pytest.raises(AssertionError, match="is there, and its caller was told"):
            happens(split, 8)  # the second call may have been faster


def test_on_postgres(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(own_postgres.port) as proxy:
        faults = beside_postgres(own_postgres, proxy)
        find = partial(harm, monkeypatch)
        assert "had to wait for the locked one" in find("head-of-line", faults["locked row"])
        assert "beside a set that was refused" in find("refused-together-postgres", faults["refused neighbour"])
    split = split_batch(partial(PostgresBackend, own_postgres.url(), 1, 2), lambda: None, lambda: None)
    with full_disk_for_the_second(own_postgres.url()):
        assert "is there, and its caller was told" in find("split-batch-postgres", split)


@contextmanager
def full_disk_for_the_second(url: str) -> Iterator[None]:
    """Have the server refuse the second of two large values as it does when its disk is full."""
    run_sql(
        url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new.key LIKE '%:second' AND length(new.value) > 1000 THEN "
        "RAISE 'could not extend file' USING errcode = '53100'; END IF; RETURN new; END $$",
    )
    run_sql(
        url,
        f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )
    yield
    run_sql(url, "DROP FUNCTION full_disk CASCADE")
