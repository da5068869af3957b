"""`adopt` looks at the entries of a cluster, whichever of its nodes is named."""

from __future__ import annotations

from pathlib import Path

import redis

from ad_seller.storage.cli.adopt.data import look
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask


def test_all_masters_are_read_and_nothing_is_changed(cluster: RedisCluster, tmp_path: Path) -> None:
    with redis.RedisCluster.from_url(cluster.nodes[0].url.removesuffix("/0")) as client:
        for number in range(60):
            client.set(f"ad_seller:deal:{number}", "{}")
        client.set("ad_seller:order:1", "{broken")
        client.lpush("ad_seller:order:2", "a list")
        client.set("another", "1")
        before = [ask(node, "DBSIZE") for node in cluster.masters()]
    for node in cluster.nodes:  # replicas, too
        found = look(tmp_path, f"redis+cluster://127.0.0.1:{node.port}")
        assert (found.problem, found.others) == (None, 1)
        assert found.counts == {"deal:": 60, "order:": 2}
        assert sorted(found.unreadable) == ["order:1", "order:2"]
    assert [ask(node, "DBSIZE") for node in cluster.masters()] == before


def test_a_node_that_is_named_as_a_server(cluster: RedisCluster, tmp_path: Path) -> None:
    problem = look(tmp_path, cluster.nodes[0].url).problem
    assert problem is not None
    assert "a node of a cluster" in problem
    assert "redis+cluster://" in problem
