"""What goes wrong with servers that stand in for each other while a history is recorded."""

from __future__ import annotations

import random
import time

from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask, wait_for
from ad_seller.storage.testing.redis_sentinels import SERVICE, SentinelGroup
from ad_seller.storage.testing.servers import RedisServer

from .clients import Clients
from .faults import Fault, Server


def of_a_cluster(group: RedisCluster) -> dict[str, Fault]:
    """Return what can happen to a master of a cluster, while others take over."""

    def kill(clients: Clients, chance: random.Random) -> None:
        chance.choice(group.masters()).kill()
        group.wait_until_ok()  # if it came back before another one takes over, it would be an empty master

    def freeze(clients: Clients, chance: random.Random) -> None:
        _freeze_for_a_while(chance.choice(group.masters()), chance)

    def thaw(clients: Clients, chance: random.Random) -> None:
        master = chance.choice(group.masters())
        [replica] = [node for node in group.running if node is not master and group.follows(node, master)]
        master.freeze()
        wait_for(lambda: _is_master(replica), "another master", 20)
        time.sleep(chance.choice((0.0, 0.05, 0.3, 1.0)))
        master.thaw()

    def move(clients: Clients, chance: random.Random) -> None:
        group.wait_until_ok()
        with group.moving(f"ad_seller:{clients.keys.pairs[0][0]}") as slot:
            time.sleep(chance.uniform(0, 0.3))
            slot.move_keys(1)
            time.sleep(chance.uniform(0, 0.3))

    return {"master killed": kill, "master frozen": freeze, "master thawed": thaw, "slot moved": move}


def take_over(group: RedisCluster) -> None:
    """Wait until another master has taken over, and bring the old one back as its replica: writes need one."""
    group.wait_until_ok()
    group.heal()


def kill_master(group: SentinelGroup) -> Fault:
    """Return the fault that ends the master by SIGKILL; it comes back when another has taken over."""

    def run(clients: Clients, chance: random.Random) -> None:
        group.kill_master()

    return run


def freeze_master(group: SentinelGroup) -> Fault:
    """Return the fault that the master hangs, and lives on as if nothing had been."""

    def run(clients: Clients, chance: random.Random) -> None:
        _freeze_for_a_while(group.master(), chance)

    return run


def orderly_fail_over(group: SentinelGroup) -> Fault:
    """Return the fault that the sentinels are told to choose another master, while the old one serves on."""

    def run(clients: Clients, chance: random.Random) -> None:
        ask(group.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)

    return run


def thaw_master(group: SentinelGroup) -> Fault:
    """Return the fault that the master hangs until another one serves, and goes on a moment later.

    Within a second nobody asks the sentinels again, and they have not told the old one yet.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        master = group.master()
        master.freeze()
        group.wait_for(lambda: group.master() is not master and _is_master(group.master()), "another master", 20)
        time.sleep(chance.choice((0.0, 0.05, 0.3, 1.0)))
        master.thaw()

    return run


def _is_master(server: RedisServer) -> bool:
    return bool(ask(server, "ROLE")[0] == "master")


def _freeze_for_a_while(server: Server, chance: random.Random) -> None:
    """Freeze a master until another one has surely taken over, or just not."""
    server.freeze()
    time.sleep(chance.choice((0.5, 1.5, 4.0)))
    server.thaw()
