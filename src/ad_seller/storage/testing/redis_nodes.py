"""The servers that Redis groups are made of, and what all groups can do; plain sockets, no client."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from .servers import RedisServer, ServerError, _quoted

#: Below 22,768 a cluster's second port, 10,000 higher, stays out of the range of outgoing connections.
_PORTS: Final = range(20_000, 22_700)
_BUS_OFFSET: Final = 10_000
_TRIES = 10
_SECONDS = 5.0


def ask(server: RedisServer, *words: str | int) -> Any:
    """Send one command and return its answer: str, int, None, or a list of them.

    Raises:
        ServerError: there is no answer, or it is an error.
    """
    return _ask_port(server.port, server._password, words)


def _ask_port(port: int, password: str | None, words: tuple[str | int, ...]) -> Any:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection,
            connection.makefile("rb") as stream,
        ):
            if password:
                connection.sendall(_packed(("AUTH", password)))
                _read(stream)
            connection.sendall(_packed(words))
            return _read(stream)
    except (OSError, ValueError) as error:
        raise ServerError(f"No answer on port {port} to {words[0]}: {error}") from error


def _packed(words: tuple[str | int, ...]) -> bytes:
    encoded = [str(word).encode(errors="surrogateescape") for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def _read(stream: BufferedReader) -> Any:
    line = stream.readline()
    kind, rest = line[:1], line[1:-2].decode(errors="surrogateescape")
    if kind == b"-":
        raise ServerError(rest)
    if kind == b"+":
        return rest
    number = int(rest)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"*":
        return [_read(stream) for _ in range(number)]
    return stream.read(number + 2)[:-2].decode(errors="surrogateescape")


class DataNode(RedisServer):
    """A master or replica: bounded memory, copies sent at once and without a file."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        password: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        settings = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}
        if password:
            settings["masterauth"] = password
        super().__init__(directory, password=password, maxmemory="64mb", config={**settings, **(config or {})})


class ClusterNode(DataNode):
    """A node of a cluster, whose second port is free, too."""

    def start(self) -> None:
        """Start the node, the first time on a free pair of ports."""
        if self._port is not None:
            super().start()
            return
        for left in reversed(range(_TRIES)):
            self._port = _free_pair()
            try:
                super().start()
            except ServerError:
                self._port = None
                if not left or "in use" not in self.log:
                    raise
            else:
                return


def _free_pair() -> int:
    for port in random.sample(_PORTS, 100):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + _BUS_OFFSET))
            except OSError:
                continue
            return port
    raise ServerError(f"No free pair of ports found on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}.")


class Sentinel(RedisServer):
    """A sentinel: the server program by another name, which is how it knows what to be.

    Args:
        directory: where its program's link, its log and what it remembers go.
        service: the name of the master that it watches.
        password: what its clients, and the sentinels among themselves, must say.
        down_after: milliseconds after which a silent master counts as down.
    """

    def __init__(
        self, directory: str | os.PathLike[str], service: str, *, password: str | None, down_after: int
    ) -> None:
        super().__init__(directory, password=password)
        self._service = service
        self._down_after = down_after
        self._watched: RedisServer | None = None
        self.directory.mkdir(parents=True, exist_ok=True)
        link = self.directory / f"{self.binary.product}-sentinel"
        if not link.is_symlink():
            link.symlink_to(self.binary.path.resolve())
        self.binary = replace(self.binary, path=link)

    def watch(self, master: RedisServer) -> None:
        """Name the master to watch at the first start."""
        self._watched = master

    def _answers(self, port: int) -> bool:
        """Whether OUR process answers; not every sentinel knows QUIT, which the others are asked with."""
        try:
            told: str = _ask_port(port, self._password, ("INFO", "server"))
        except ServerError:
            return False
        return self._process is not None and f"\r\nprocess_id:{self._process.pid}\r\n" in told

    def _write_config(self, port: int) -> Path:
        path = self.directory / "sentinel.conf"
        if self._port is not None:
            return path  # it has written into it what it knows by now
        if self._watched is None:
            raise ServerError("A sentinel needs a master to watch.")
        name = self._service
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f'dir "{self.directory}"',
            f"sentinel monitor {name} 127.0.0.1 {self._watched.port} 2",
            f"sentinel down-after-milliseconds {name} {self._down_after}",
            f"sentinel failover-timeout {name} 3000",
            f"sentinel parallel-syncs {name} 2",
        ]
        if self._watched._password:
            lines.append(f"sentinel auth-pass {name} {_quoted(self._watched._password)}")
        if self._password:
            word = _quoted(self._password)
            lines += [f"requirepass {word}", f"sentinel sentinel-pass {word}"]
        path.touch(mode=0o600)
        path.write_text("\n".join([*lines, ""]))
        return path


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until ``condition`` holds; a node that does not answer means that it does not hold yet.

    Raises:
        ServerError: it does not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except ServerError:
            pass
        if time.monotonic() > deadline:
            raise ServerError(f"Not within {seconds:g} s: {what}")
        time.sleep(0.05)


class Group:
    """Servers that start and stop together.

    Attributes:
        nodes: all servers that hold entries, masters and replicas.
    """

    nodes: list[RedisServer]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all servers and wait until they work together."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all servers; harmless when they are stopped."""
        for node in self.nodes:
            node.kill()

    @property
    def running(self) -> list[RedisServer]:
        """The servers with entries whose process lives."""
        return [node for node in self.nodes if node.running]

    def node_at(self, port: int) -> RedisServer:
        """Return the server on a port."""
        return next(node for node in self.nodes if node.port == port)

    def replicates(self) -> bool:
        """Tell whether every replica that runs follows a master and has caught up."""
        return all(_caught_up(node) for node in self.running)


def _caught_up(node: RedisServer) -> bool:
    role = ask(node, "ROLE")
    return bool(role[0] == "master" or role[3] == "connected")
