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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import quote

import psutil

from ..records.several import several
from .binaries import ServerError
from .postgres_binaries import PostgresBinaries, find_postgres, server_user
from .server_process import ServerProcess, free_port

__all__ = ["PostgresServer"]

_IN_USE = "pre-existing shared memory block"  #: what a server says where another one has not quite gone
_USER = "postgres"  #: the superuser inside the database
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


def initialise(command: Sequence[str | Path], **options: Any) -> None:
    """Run initdb; the tests of this package put a copy of the first outcome in its place."""
    run = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # noqa: S603
    if run.returncode:
        raise ServerError(f"{command[0]} failed:\n{run.stdout[-1000:]}{run.stderr[-1000:]}")


class PostgresServer(ServerProcess):
    """A PostgreSQL server of one's own.

    Args:
        binaries: The programs; the preferred ones unless given.
        password: What the user ``postgres`` must say; without it everybody is let in.
        config: More settings of postgresql.conf, for example `{"max_connections": "20"}`.
        files: Settings that name a file, for example `{"ssl_key_file": path}`; the server gets a copy of its own.
        hba: Lines of pg_hba.conf that come before all others.
        start_timeout: Seconds within which the server must answer.
    """

    _stop_seconds: ClassVar[float] = 10.0

    def __init__(
        self,
        *,
        binaries: PostgresBinaries | None = None,
        password: str | None = None,
        config: Mapping[str, str] | None = None,
        files: Mapping[str, Path] | None = None,
        hba: Sequence[str] = (),
        start_timeout: float = 30.0,
    ) -> None:
        self.binaries = binaries or find_postgres()
        super().__init__(self.binaries.name, start_timeout)
        self._password = password
        self._settings = {**_SETTINGS, **(config or {})}
        self._files = dict(files or {})
        self._hba = several("hba", hba)
        self._folder: Path | None = None
        self._bin = self.binaries.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def folder(self) -> Path:
        """Where data, socket and log are."""
        if self._folder is None:
            raise ServerError("The server has no folder before its first start.")
        return self._folder

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
        give_up = time.monotonic() + self._start_timeout
        while True:
            self._launch([self._bin / "postgres", "-D", self.folder / "data"], **self._as_server())
            if self._comes_up(self.port):
                return
            self.kill()
            # What is left of a server that was killed takes a moment to go.
            if _IN_USE in self.log[-1000:] and time.monotonic() < give_up:
                time.sleep(0.1)
                continue
            raise ServerError(f"{self._bin}/postgres did not start on port {self.port}:\n{self.log[-2000:]}")

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
        for child in psutil.wait_procs(children, self._stop_seconds)[1]:
            child.kill()

    def freeze(self) -> None:
        """Let all of its processes hang: connections are accepted by the system, nothing is answered."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                process.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for process in reversed(self._processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # --- setting up ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="ad_seller_pg_"))
        if (user := server_user()) is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._folder.chmod(0o755)  # the socket is for root too; the data folder has 0700 by itself
            self._bin = self._reachable_programs()
        secret = self._write("password", self._password or "none")
        self._initialise(secret)
        secret.unlink()
        copies = {name: str(self._write(name, path.read_text())) for name, path in self._files.items()}
        settings = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            **self._settings,
            **copies,
        }
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text("".join(f"{line}\n" for line in self._hba) + rules.read_text())

    def _write(self, name: str, text: str) -> Path:
        """Write a file that only the server's user can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        if (user := server_user()) is not None:
            os.chown(path, user.pw_uid, user.pw_gid)
        return path

    def _initialise(self, secret: Path) -> None:
        host = "scram-sha-256" if self._password else "trust"
        arguments: list[str | Path] = [
            *("-D", self.folder / "data", "-U", _USER, "--encoding=UTF8", "--no-locale", "--no-sync"),
            *("--auth-local=trust", f"--auth-host={host}", f"--pwfile={secret}"),
        ]
        initialise([self._bin / "initdb", *arguments], **self._as_server())

    def _as_server(self) -> dict[str, Any]:
        """How its programs are started: as a user that PostgreSQL accepts, in a folder that this user can enter."""
        options: dict[str, Any] = {
            "cwd": self.folder,
            "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
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

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.pid)
        return [main, *main.children(recursive=True)]

    def _log_path(self) -> Path:
        return self.folder / "server.log"

    def _answers(self, port: int) -> bool:
        """Whether OUR process accepts connections; it writes that into its lock file."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().split()
        except OSError:
            return False
        ours = self._process.pid if self._process is not None else 0
        return lines[:1] == [str(ours)] and lines[-1] == "ready"

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            processes = self._processes()
            self._process.send_signal(by)
            for process in processes:  # a frozen one takes no signal
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        self._wait()
