"""What all servers of the tests have in common: one process, ended by its id, and never left behind."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from .binaries import ServerError

# Below the range from which the system takes ports of outgoing connections: in there, a client that keeps
# trying to reach a stopped server can end up connected to itself and so hold the port against its return.
PORTS = range(20_000, 32_000)


class ServerProcess(ABC):
    """A server of one's own.

    Args:
        name: Product and version, for messages.
        start_timeout: Seconds within which the server must answer.
    """

    _stop_seconds: ClassVar[float] = 5.0

    def __init__(self, name: str, start_timeout: float) -> None:
        self._name = name
        self._start_timeout = start_timeout
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<{type(self).__name__} {self._name} port {self._port} {state}>"

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
    def log(self) -> str:
        """What the server has written so far."""
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it answers; harmless when it runs.

        Raises:
            ServerError: It does not come up in time, or it rejects its configuration.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the server in good order, by force if it does not go; harmless when it is stopped."""

    def restart(self) -> None:
        """Start the server again on the same port and data, after stopping it in good order if it runs."""
        self.stop()
        self.start()

    @abstractmethod
    def _log_path(self) -> Path:
        """Return where the server writes what it says."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Tell whether OUR process answers on the port, and has finished loading its data."""

    def _living(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError("The server is not running.")
        return self._process

    def _launch(self, command: Sequence[str | Path], **options: Any) -> None:
        """Start the program; its output is added to the log."""
        with self._log_path().open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
                restore_signals=False,  # a file that cannot grow fails a write; it does not end the process
                **options,
            )
        self._watchdog = _watch(self._process.pid)

    def _comes_up(self, port: int) -> bool:
        deadline = time.monotonic() + self._start_timeout
        while self.running and time.monotonic() < deadline:
            if self._answers(port):
                return True
            time.sleep(0.01)
        return False

    def _wait(self) -> None:
        """Wait for the end of the process, which has been told to end."""
        if self._process is not None:
            try:
                self._process.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()

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


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"No free port found on 127.0.0.1 between {PORTS.start} and {PORTS.stop}.")
