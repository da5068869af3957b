"""A real PostgreSQL server for tests, which may be killed, frozen and restarted.

It listens on loopback and on a Unix socket, lives in a folder of its own directly under the system's temporary
folder (so that the path of the socket is short), and is ended by its process id. PostgreSQL refuses to run as root,
so root starts it as another user. When the process that started it dies, the server goes too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil

from .binaries import ServerError
from .postgres_binaries import PostgresBinaries, find_postgres, server_user
from .servers import _free_port, _watch

__all__ = ["PostgresServer"]

_USER = "postgres"  #: the superuser inside the database
_STOP_SECONDS = 10.0

#: Small and quick: what tests write need not survive a power failure, only the end of the server's processes.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "log_min_duration_statement": "-1",
}


class PostgresServer:
    """A PostgreSQL server of one's own.

    Args:
        binaries: The programs; the preferred ones unless given.
        password: What the user ``postgres`` must say; without it everybody is let in.
        config: More settings of postgresql.conf, for example `{"max_connections": "20"}`.
        start_timeout: Seconds within which the server must answer.
    """

    def __init__(
        self,
        *,
        binaries: PostgresBinaries | None = None,
        password: str | None = None,
        config: Mapping[str, str] | None = None,
        start_timeout: float = 30.0,
    ) -> None:
        self.binaries = binaries or find_postgres()
        self._password = password
        self._settings = {**_SETTINGS, **(config or {})}
        self._start_timeout = start_timeout
        self._port: int | None = None
        self._folder: Path | None = None
        self._bin = self.binaries.folder
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<PostgresServer {self.binaries.name} port {self._port} {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

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
        """The id of the running main process."""
        return self._living().pid

    @property
    def folder(self) -> Path:
        """Where data, socket and log are."""
        if self._folder is None:
            raise ServerError("The server has no folder before its first start.")
        return self._folder

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, database: str = "postgres", *, user: str = _USER, password: str | None = None) -> str:
        """Address over TCP."""
        secret = password if password is not None else self._password
        login = f"{quote(user)}:{quote(secret, safe='')}" if secret else quote(user)
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def socket_url(self, database: str = "postgres") -> str:
        """Address over the Unix socket, by which everybody is let in."""
        return f"postgresql://{_USER}@/{quote(database, safe='')}?host={quote(str(self.folder))}&port={self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers; harmless when it runs.

        Raises:
            ServerError: It does not come up in time.
        """
        if self.running:
            return
        if self._folder is None:
            self._prepare()
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603
                [self._bin / "postgres", "-D", self.folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._as_server(),
            )
        self._watchdog = _watch(self._process.pid)
        deadline = time.monotonic() + self._start_timeout
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self._bin}/postgres did not start on port {self.port}:\n{self.log[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in good order, closing all connections; harmless when it is stopped."""
        self._end(signal.SIGINT)

    def shut_down_immediately(self) -> None:
        """End the server as a crash of its processes does: nothing is flushed, the next start recovers."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """End the server without a chance to do anything (SIGKILL); its other processes follow."""
        children = self._processes()[1:] if self.running else []
        self._end(signal.SIGKILL)
        for child in psutil.wait_procs(children, _STOP_SECONDS)[1]:
            child.kill()

    def restart(self) -> None:
        """Start the server again on the same port and data, after stopping it in good order if it runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let all of its processes hang: connections are accepted by the system, nothing is answered."""
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for process in reversed(self._processes()):
            process.resume()

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # --- setting up ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._port = _free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="ad_seller_pg_"))
        if (user := server_user()) is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._folder.chmod(0o755)  # the socket is for root too; the data folder has 0700 by itself
            self._bin = self._reachable_programs()
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password or "none")
        if user is not None:
            os.chown(secret, user.pw_uid, user.pw_gid)
        self._initialise(secret)
        secret.unlink()
        settings = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            **self._settings,
        }
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _initialise(self, secret: Path) -> None:
        host = "scram-sha-256" if self._password else "trust"
        arguments: list[str | Path] = [
            *("-D", self.folder / "data", "-U", _USER, "--encoding=UTF8", "--no-locale", "--no-sync"),
            *("--auth-local=trust", f"--auth-host={host}", f"--pwfile={secret}"),
        ]
        run = subprocess.run(  # noqa: S603
            [self._bin / "initdb", *arguments], capture_output=True, text=True, check=False, **self._as_server()
        )
        if run.returncode:
            raise ServerError(f"{self._bin}/initdb failed:\n{run.stdout[-1000:]}{run.stderr[-1000:]}")

    def _as_server(self) -> dict[str, Any]:
        """How its programs are started: as a user that PostgreSQL accepts, in a folder that this user can enter."""
        options: dict[str, Any] = {
            "cwd": self.folder,
            "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            "start_new_session": True,  # Ctrl-C is for the tests, which then stop the server
        }
        if (user := server_user()) is not None:
            options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return options

    def _reachable_programs(self) -> Path:
        """Return the programs' folder; a copy, if the server's user cannot reach the original (below /root)."""
        try:
            subprocess.run(  # noqa: S603
                [self._bin / "postgres", "--version"], capture_output=True, check=True, **self._as_server()
            )
        except (OSError, subprocess.CalledProcessError):
            package = self._bin.parent.parent
            for source in (self._bin.parent, package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, self.folder / "programs" / source.relative_to(package.parent))
            return self.folder / "programs" / self._bin.relative_to(package.parent)
        return self._bin

    # --- processes -------------------------------------------------------------------------------------

    def _living(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError("The server is not running.")
        return self._process

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.pid)
        return [main, *main.children(recursive=True)]

    def _is_ready(self, pid: int) -> bool:
        """Whether OUR process accepts connections; it writes that into its lock file."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().split()
        except OSError:
            return False
        return lines[:1] == [str(pid)] and lines[-1] == "ready"

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            processes = self._processes()
            self._process.send_signal(by)
            for process in processes:  # a frozen one takes no signal
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        try:
            self._process.wait(_STOP_SECONDS)
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
