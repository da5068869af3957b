"""Real Redis and Valkey servers for tests.

A server of their own lets tests try faults: it can be killed, frozen and restarted, which nobody may do to
one that others use::

    with RedisServer(tmp_path) as server:
        backend = RedisBackend(server.url)

Every server listens on loopback only, lives in the directory it is given and is ended by its process id. When
the process that started it dies, whatever kills it, the server goes too. The calls block for milliseconds to
seconds: where the event loop must run on meanwhile, call them through `asyncio.to_thread`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from .binaries import RedisBinary, ServerError, find_redis_binaries, find_redis_binary

__all__ = ["RedisBinary", "RedisServer", "ServerError", "find_redis_binaries", "find_redis_binary"]

# Below the range from which the system takes ports of outgoing connections: in there, a client that keeps
# trying to reach a stopped server can end up connected to itself and so hold the port against its return.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 10
_STOP_SECONDS = 5.0
_SOCKET_PATH_BYTES = 100  # sun_path holds 108 on Linux, 104 on macOS, and the server adds a byte


class RedisServer:
    """A Redis or Valkey server of one's own.

    Nothing is persisted unless `config` says so, so that `kill` loses what a crash would lose.

    Args:
        directory: Where data, configuration, socket and log go; made if missing, never removed.
        binary: The program; the preferred one unless given.
        password: What clients must say; also part of the URLs.
        unix_socket: Listen on a Unix socket in the directory, too.
        maxmemory: Bound on the data, in the server's own notation.
        config: More lines of the server's configuration, for example `{"appendonly": "yes"}`.
        start_timeout: Seconds within which the server must answer.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        binary: RedisBinary | None = None,
        password: str | None = None,
        unix_socket: bool = False,
        maxmemory: str = "256mb",
        config: Mapping[str, str] | None = None,
        start_timeout: float = 10.0,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.binary = binary or find_redis_binary()
        self._password = password
        self._unix_path = self.directory / "redis.sock" if unix_socket else None
        self._settings = {"maxmemory": maxmemory, "save": "", "appendonly": "no", **(config or {})}
        self._start_timeout = start_timeout
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<RedisServer {self.binary.name} port {self._port} {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """The TCP port, the same after every restart."""
        if self._port is None:
            raise ServerError("The server has no port before its first start.")
        return self._port

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._living().pid

    @property
    def url(self) -> str:
        """Address over TCP, with the password."""
        return f"redis://{self._credentials}127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Address over the Unix socket, with the password."""
        if self._unix_path is None:
            raise ServerError("The server has no Unix socket; start it with unix_socket=True.")
        return f"unix://{self._credentials}{quote(str(self._unix_path))}"

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the server and wait until it answers; harmless when it runs.

        Raises:
            ServerError: It does not come up in time, or it rejects its configuration.
        """
        if self.running:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        tries = 1 if self._port else _PORT_TRIES
        for left in reversed(range(tries)):
            port = self._port or _free_port()
            self._launch(port)
            if self._comes_up(port):
                self._port = port
                return
            self.kill()
            if not left or "Address already in use" not in self.log:
                raise ServerError(f"{self.binary.path} did not start on port {port}:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """End the server in good order, by force if it does not go; harmless when it is stopped."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); harmless when it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Start the server again on the same port and data, after stopping it in good order if it runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let the server hang: connections are accepted, nothing is answered."""
        self._living().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._living().send_signal(signal.SIGCONT)

    @property
    def _credentials(self) -> str:
        return f":{quote(self._password, safe='')}@" if self._password else ""

    def _living(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError("The server is not running.")
        return self._process

    def _launch(self, port: int) -> None:
        with (self.directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self.binary.path, self._write_config(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            )
        self._watchdog = _watch(self._process.pid)

    def _write_config(self, port: int) -> Path:
        """Write the settings to a file: a password on the command line is for all the machine to read."""
        settings = {"bind": "127.0.0.1", "port": str(port), "dir": str(self.directory), **self._settings}
        if self._password:
            settings["requirepass"] = self._password
        if self._unix_path:
            if len(os.fsencode(self._unix_path)) > _SOCKET_PATH_BYTES:
                raise ServerError(f"{self._unix_path} is too long for a Unix socket; choose a shorter directory.")
            settings["unixsocket"] = str(self._unix_path)
        path = self.directory / "redis.conf"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name} {_quoted(value)}\n" for name, value in settings.items()))
        return path

    def _comes_up(self, port: int) -> bool:
        deadline = time.monotonic() + self._start_timeout
        while self.running and time.monotonic() < deadline:
            if self._answers(port):
                return True
            time.sleep(0.01)
        return False

    def _answers(self, port: int) -> bool:
        """Whether OUR process answers on the port and has finished loading its data."""
        login = f"AUTH {_quoted(self._password)}\r\n" if self._password else ""
        answer = _ask(port, f"{login}PING\r\nINFO server\r\nQUIT\r\n".encode())
        ours = self._process.pid if self._process is not None else 0  # it may have ended while it was asked
        return b"+PONG\r\n" in answer and b"\r\nprocess_id:%d\r\n" % ours in answer

    def _reap(self) -> None:
        """Collect what ended. The watchdog goes first, so that it never ends a stranger with a reused id."""
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
        if self._process is not None:
            self._process.wait()
        self._watchdog = self._process = None


def _watch(pid: int) -> subprocess.Popen[bytes]:
    """Start a watchdog that ends process `pid` when ours is gone.

    It waits on a pipe whose other end the system closes with our process, however that ends. (Linux has
    PR_SET_PDEATHSIG for this, but that acts as soon as the THREAD that started the server ends.)
    """
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", 'read -r _; kill -KILL "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"No free port found on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}.")


def _ask(port: int, commands: bytes) -> bytes:
    """Send commands that end in QUIT and return all that is answered, or nothing if nobody is there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(commands)
            return b"".join(iter(lambda: connection.recv(65_536), b""))
    except OSError:
        return b""


def _quoted(text: str) -> str:
    """Write a value as both the configuration file and an inline command read it."""
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b'"\\'
    return chr(byte) if plain else f"\\x{byte:02x}"
