"""A Sentinel group for tests: a master, two replicas, three sentinels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .redis_nodes import DataNode, Group, Sentinel, ask, wait_for
from .servers import RedisServer, ServerError

SERVICE: Final = "mymaster"

_TICK: Final = 0.25  #: seconds within which a sentinel that was frozen notices that it was


class SentinelGroup(Group):
    """A master with 2 replicas, watched by 3 sentinels.

    Args:
        directory: where each server gets a directory of its own.
        password: what clients of the servers must say.
        sentinel_password: what clients of the sentinels must say.
        down_after: milliseconds after which a silent master counts as down. With less than two of the sentinels'
            pings, which come every second, they now and then take a new master for dead and choose another one.
        config: more lines of each data server's configuration.

    Attributes:
        sentinels: the servers that watch.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after: int = 2000,
        config: Mapping[str, str] | None = None,
    ) -> None:
        base = Path(directory)
        self.nodes = [DataNode(base / f"data-{n}", password=password, config=config) for n in range(3)]
        self.sentinels = [
            Sentinel(base / f"sentinel-{n}", SERVICE, password=sentinel_password, down_after=down_after)
            for n in range(3)
        ]
        self._password = password
        self._sentinel_password = sentinel_password

    @property
    def url(self) -> str:
        """The address for clients."""
        login = f":{quote(self._password, safe='')}@" if self._password else ""
        option = f"?sentinel_password={quote(self._sentinel_password, safe='')}" if self._sentinel_password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{login}{hosts}/{SERVICE}/0{option}"

    def start(self) -> None:
        """Start the servers, let the replicas follow, then the sentinels, and wait until they all agree."""
        master = self.nodes[0]
        for node in self.nodes:
            node.start()
        self._follow(master)
        wait_for(self.replicates, "the replicas follow", 10)
        for sentinel in self.sentinels:
            sentinel.watch(master)
            sentinel.start()
        self.wait_until_ok(20)

    def stop(self) -> None:
        """End the sentinels first, so that they do not start a failover."""
        for sentinel in self.sentinels:
            sentinel.kill()
        super().stop()

    def _follow(self, master: RedisServer) -> None:
        for node in self.running:
            if node is not master:
                ask(node, "REPLICAOF", "127.0.0.1", master.port)

    def clear(self) -> None:
        """Remove all entries."""
        ask(self.master(), "FLUSHALL")

    def master(self) -> RedisServer:
        """Return the server that the sentinels name."""
        return self.node_at(self._named_by(next(one for one in self.sentinels if one.running)))

    def _named_by(self, sentinel: RedisServer) -> int:
        return int(ask(sentinel, "SENTINEL", "get-master-addr-by-name", SERVICE)[1])

    def kill_master(self) -> RedisServer:
        """End the master as a crash does, and return it; `heal` brings it back."""
        master = self.master()
        master.kill()
        return master

    def wait_until_ok(self, seconds: float = 20.0) -> None:
        """Wait until all sentinels name the same living master, whom the other running servers follow."""
        self.wait_for(self._is_ok, "the sentinels agree on a master, and the others follow it", seconds)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for what sentinels bring about.

        One that stood still for 2 s, as on a busy machine, would only watch for half a minute; it is started anew.

        Raises:
            ServerError: it is not so within ``seconds``; says what each server said of itself.
        """

        def is_so() -> bool:
            for sentinel in self._watching:
                if _is_tilted(sentinel):
                    sentinel.kill()
                    sentinel.start()
            return condition()

        try:
            wait_for(is_so, what, seconds)
        except ServerError as error:
            views = [_told(one, "SENTINEL", "MASTER", SERVICE) for one in self._watching]
            views += [_told(one, "ROLE") for one in self.running]
            raise ServerError("\n".join([str(error), *views])) from error

    @property
    def _watching(self) -> list[Sentinel]:
        return [one for one in self.sentinels if one.running]

    def _agreed(self) -> RedisServer | None:
        """Return the server that all sentinels name, and none of them is about to replace."""
        named = {self._named_by(one) for one in self._watching}
        flags = {flag for one in self._watching for flag in _view(one)["flags"].split(",")}
        return self.node_at(named.pop()) if len(named) == 1 and "failover_in_progress" not in flags else None

    def _is_ok(self) -> bool:
        master = self._agreed()
        return (
            master is not None
            and ask(master, "ROLE")[0] == "master"
            and all(_sees(one, len(self.running) - 1, len(self._watching) - 1) for one in self._watching)
            and all(node is master or ask(node, "ROLE")[2] == master.port for node in self.running)
            and self.replicates()
        )

    def _one_serves(self) -> bool:
        """Tell whether the server on which all agree serves; if it follows another one, it no longer does.

        It stays so for ever where two sentinels each replaced the master and told the other's choice to follow.
        """
        master = self._agreed()
        if master is None or ask(master, "ROLE")[0] == "master":
            return master is not None
        ask(master, "REPLICAOF", "NO", "ONE")
        return True

    def heal(self) -> None:
        """Bring back every server as a follower of the present master, without the sentinels' long pause."""
        for server in (*self.sentinels, *self.nodes):
            if server.running:
                server.thaw()
        time.sleep(_TICK)
        for sentinel in self.sentinels:
            sentinel.start()
        self.wait_for(self._one_serves, "the sentinels agree on a living master", 30)
        for node in self.nodes:
            node.start()
        self._follow(self.master())
        self.wait_until_ok(30)


def _is_tilted(sentinel: RedisServer) -> bool:
    """Tell whether it has noticed that it was frozen: for half a minute it would only watch."""
    told: str = ask(sentinel, "INFO", "sentinel")
    return "sentinel_tilt:1" in told


def _view(sentinel: RedisServer) -> dict[str, str]:
    """Return what a sentinel says of the master."""
    answer = ask(sentinel, "SENTINEL", "MASTER", SERVICE)
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _sees(sentinel: RedisServer, replicas: int, others: int) -> bool:
    """Tell whether a sentinel knows at least so many replicas and other sentinels, and a master that is up."""
    fields = _view(sentinel)
    return (
        fields["flags"] == "master"
        and int(fields["num-slaves"]) >= replicas
        and int(fields["num-other-sentinels"]) >= others
    )


def _told(server: RedisServer, *words: str) -> str:
    try:
        return f"{server.port}: {ask(server, *words)}"
    except ServerError as error:
        return str(error)
