"""The group of the tests itself: what a busy machine brings about in it does not stay."""

from __future__ import annotations

import time

import pytest

from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import ServerError

STILL = 2.4  #: seconds; after 2 s a sentinel trusts itself no more

pytestmark = pytest.mark.usefixtures("mended")


def test_sentinels_that_stood_still_choose_another_master(group: SentinelGroup) -> None:
    old = group.master()
    for sentinel in group.sentinels:
        sentinel.freeze()
    old.kill()
    time.sleep(STILL)
    for sentinel in group.sentinels:
        sentinel.thaw()
    group.wait_until_ok()
    assert group.master() is not old


def test_a_master_that_follows_its_replica_serves_again(group: SentinelGroup) -> None:
    master = group.master()
    replica = next(node for node in group.nodes if node is not master)
    ask(master, "SET", "a", "1")
    ask(master, "WAIT", "2", "0")
    ask(master, "REPLICAOF", "127.0.0.1", replica.port)
    group.heal()
    assert ask(group.master(), "ROLE")[0] == "master"
    assert ask(group.master(), "GET", "a") == "1"


def test_what_does_not_come_is_told_with_what_each_server_says(group: SentinelGroup) -> None:
    with pytest.raises(ServerError, match="Not within 0 s: what never is") as caught:
        group.wait_for(lambda: False, "what never is", 0)
    assert all(f"{server.port}: [" in str(caught.value) for server in (*group.sentinels, *group.nodes))
