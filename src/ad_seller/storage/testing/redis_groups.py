"""Whole Redis groups for tests: a cluster of 3 masters and 3 replicas, and a Sentinel group of 1 + 2 + 3.

Each has its own processes on free loopback ports, with little memory, and can lose any of them::

    with RedisCluster(tmp_path) as cluster:
        backend = RedisBackend(cluster.url, wait_replicas=1)

As in `servers`, everything ends with the process that started it, and the calls block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .redis_nodes import ClusterNode, Group, ask, wait_for
from .redis_sentinels import SentinelGroup
from .servers import RedisServer

__all__ = ["RedisCluster", "SentinelGroup", "SlotMove"]

SLOTS: Final = 16_384


class RedisCluster(Group):
    """A cluster of 3 masters with a replica each.

    Args:
        directory: where each node gets a directory of its own.
        password: what clients, and the nodes among themselves, must say.
        node_timeout: milliseconds after which a silent node counts as failing.
        config: more lines of each node's configuration.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        password: str | None = None,
        node_timeout: int = 2000,
        config: Mapping[str, str] | None = None,
    ) -> None:
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": str(node_timeout), **(config or {})}
        self.nodes = [
            ClusterNode(Path(directory) / f"node-{number}", password=password, config=settings)
            for number in range(6)
        ]
        self._password = password

    @property
    def url(self) -> str:
        """The address for clients: a node of each pair, so that one always answers."""
        login = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis+cluster://{login}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start the nodes, join them, deal out the slots, and wait until all of it is known to all."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        for epoch, node in enumerate(self.nodes, start=1):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", epoch)
            if node is not first:
                ask(first, "CLUSTER", "MEET", "127.0.0.1", node.port)
        for number, master in enumerate(self.nodes[:3]):
            ask(master, "CLUSTER", "ADDSLOTS", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
        wait_for(self._all_met, "all nodes know each other", 20)
        for master, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            ask(replica, "CLUSTER", "REPLICATE", ask(master, "CLUSTER", "MYID"))
        self.wait_until_ok(20)

    def _all_met(self) -> bool:
        return all(len(_known(node)) == len(self.nodes) for node in self.nodes)

    def wait_until_ok(self, seconds: float = 15.0) -> None:
        """Wait until every running node says that all slots are served, and every running replica follows."""
        wait_for(self._is_ok, "every slot of the cluster has a master", seconds)

    def _is_ok(self) -> bool:
        views = {_owners_by(node) for node in self.running}
        told = [ask(node, "CLUSTER", "INFO") for node in self.running]
        return (
            all("cluster_state:ok" in one and "cluster_slots_ok:16384" in one for one in told)
            and len(views) == 1
            and self.replicates()
        )

    def heal(self) -> None:
        """Bring back every node, and wait until there are 3 masters and 3 replicas again."""
        for node in self.nodes:
            if node.running:
                node.thaw()
            else:
                node.start()
        wait_for(lambda: len(self.masters()) == 3 and self._is_ok(), "3 masters, 3 replicas", 30)

    def clear(self) -> None:
        """Remove all entries."""
        for master in self.masters():
            ask(master, "FLUSHALL")

    def masters(self) -> list[RedisServer]:
        """Return the running servers that own slots, as the running ones see it."""
        ports = {port for _, _, port in _owners_by(self.running[0])}
        return [node for node in self.running if node.port in ports and ask(node, "ROLE")[0] == "master"]

    def master_of(self, key: str) -> RedisServer:
        """Return the server that owns the slot of a key, as the running ones see it."""
        slot = ask(self.running[0], "CLUSTER", "KEYSLOT", key)
        [port] = {port for first, last, port in _owners_by(self.running[0]) if first <= slot <= last}
        return self.node_at(port)

    def follows(self, node: RedisServer, master: RedisServer) -> bool:
        """Tell whether a server is a replica of that master."""
        role = ask(node, "ROLE")
        return bool(role[0] == "slave" and role[2] == master.port)

    def kill_master(self, key: str = "a") -> RedisServer:
        """End the master of a key as a crash does, and return it; `heal` brings it back."""
        master = self.master_of(key)
        master.kill()
        return master

    @contextmanager
    def moving(self, key: str) -> Iterator[SlotMove]:
        """Have the slot of a key on its way to another master; it has arrived at the end of the block."""
        source = self.master_of(key)
        target = next(node for node in self.masters() if node is not source)
        move = SlotMove(self, ask(source, "CLUSTER", "KEYSLOT", key), source, target)
        move.begin()
        try:
            yield move
        finally:
            move.finish()


class SlotMove:
    """A slot on its way, step by step as redis-cli does it.

    Attributes:
        slot: its number.
        source: who owns it until `finish`.
        target: who owns it then.
    """

    def __init__(self, cluster: RedisCluster, slot: int, source: RedisServer, target: RedisServer) -> None:
        self.slot = slot
        self.source = source
        self.target = target
        self._cluster = cluster
        self._ids = [ask(node, "CLUSTER", "MYID") for node in (source, target)]

    def begin(self) -> None:
        """Tell both sides: from now on the source answers ASK for what it does not have."""
        ask(self.target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", self._ids[0])
        ask(self.source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", self._ids[1])

    def move_keys(self, count: int) -> int:
        """Move at most so many keys, and return how many there were."""
        names = ask(self.source, "CLUSTER", "GETKEYSINSLOT", self.slot, count)
        if names:
            login = ("AUTH", self.source._password) if self.source._password else ()
            ask(self.source, "MIGRATE", "127.0.0.1", self.target.port, "", 0, 5000, *login, "KEYS", *names)
        return len(names)

    def finish(self) -> None:
        """Move what is left and name the new owner: from now on the old one answers MOVED."""
        while self.move_keys(100):
            pass
        for node in (self.target, self.source, *self._cluster.masters()):
            ask(node, "CLUSTER", "SETSLOT", self.slot, "NODE", self._ids[1])


def _known(node: RedisServer) -> list[str]:
    """Return the lines about the nodes that this one has shaken hands with."""
    text: str = ask(node, "CLUSTER", "NODES")
    return [line for line in text.splitlines() if "handshake" not in line and "noaddr" not in line]


def _owners_by(node: RedisServer) -> frozenset[tuple[int, int, int]]:
    """Return first slot, last slot and master's port of each range, as this node sees it."""
    ranges: list[Any] = ask(node, "CLUSTER", "SLOTS")
    return frozenset((first, last, master[1]) for first, last, master, *_ in ranges)
