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
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from .binaries import RedisBinary, ServerError, find_redis_binaries, find_redis_binary
from .server_process import ServerProcess, free_port

__all__ = ["RedisBinary", "RedisServer", "ServerError", "find_redis_binaries", "find_redis_binary"]

_PORT_TRIES = 10
_SOCKET_PATH_BYTES = 100  # sun_path holds 108 on Linux, 104 on macOS, and the server adds a byte


class RedisServer(ServerProcess):
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
        super().__init__(self.binary.name, start_timeout)
        self._password = password
        self._unix_path = self.directory / "redis.sock" if unix_socket else None
        self._settings = {"maxmemory": maxmemory, "save": "", "appendonly": "no", **(config or {})}

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
            port = self._port or free_port()
            self._log_path().unlink(missing_ok=True)
            self._launch([self.binary.path, self._write_config(port)])
            if self._comes_up(port):
                self._port = port
                return
            self.kill()
            if not left or "Address already in use" not in self.log:
                raise ServerError(f"{self.binary.path} did not start on port {port}:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """End the server in good order, by force if it does not go; harmless when it is stopped."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._wait()

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); harmless when it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def freeze(self) -> None:
        """Let the server hang: connections are accepted, nothing is answered."""
        self._living().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._living().send_signal(signal.SIGCONT)

    def _log_path(self) -> Path:
        return self.directory / "server.log"

    @property
    def _credentials(self) -> str:
        return f":{quote(self._password, safe='')}@" if self._password else ""

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

    def _answers(self, port: int) -> bool:
        """Whether OUR process answers on the port and has finished loading its data."""
        login = f"AUTH {_quoted(self._password)}\r\n" if self._password else ""
        answer = _ask(port, f"{login}PING\r\nINFO server\r\nQUIT\r\n".encode())
        ours = self._process.pid if self._process is not None else 0  # it may have ended while it was asked
        return b"+PONG\r\n" in answer and b"\r\nprocess_id:%d\r\n" % ours in answer


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
