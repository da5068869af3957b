"""The agent as it runs: uvicorn with workers, or its entry with an event loop for each request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ad_seller.storage.testing.server_process import free_port
from tests.adoption.environment import FailedError

Answer = tuple[int, Any]
_START = 60  #: seconds


class Client:
    """Requests to an agent; each on a connection of its own, so that workers take turns."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, method: str, path: str, body: Any = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, json.loads(text) if response.headers.get_content_subtype() == "json" else text
        finally:
            connection.close()

    def call(self, name: str, /, **arguments: Any) -> Answer:
        return self.request("POST", f"/call/{name}", arguments)

    def get(self, path: str, **query: Any) -> Answer:
        return self.request("GET", f"{path}?{urlencode(query)}" if query else path)


@contextmanager
def served(
    python: str, folder: Path, env: Mapping[str, str], *, workers: int = 2, application: str = "ad_seller.api:app"
) -> Iterator[Client]:
    """Run uvicorn in ``folder`` until the block ends."""
    port = free_port()
    command = [python, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "warning"]
    with _process(command, folder, env) as process:
        client = Client(port)
        _wait(client, process, folder)
        yield client


class Invoked:
    """The entry that gives each request an event loop of its own; the server that runs beside it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.beside = Client(port)

    def call(self, name: str, /, **arguments: Any) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(f"The entry ended at {name}")
        answer = json.loads(line)
        return answer["status"], answer["body"]

    def get(self, path: str, **query: Any) -> Answer:
        return self.beside.get(path, **query)


@contextmanager
def invoked(python: str, folder: Path, env: Mapping[str, str]) -> Iterator[Invoked]:
    """Run the entry until the block ends."""
    port = free_port()
    with _process([python, "-m", "ad_seller.invoke", str(port)], folder, env) as process:
        entry = Invoked(process, port)
        _wait(entry.beside, process, folder)
        yield entry


@contextmanager
def _process(command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a group of its own, its errors in a log; end the group at the end of the block."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**inherited, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if "uvicorn" not in command else log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with _watched(process.pid):
                yield process
        except Exception as error:
            error.add_note(f"The agent's log ends with:\n{_log(folder)}")
            raise
        finally:
            _end(process)


@contextmanager
def _watched(group: int) -> Iterator[None]:
    """End the group when this process is gone, however it ends: the shell waits on a pipe that closes then."""
    command = ["/bin/sh", "-c", 'read -r _; kill -KILL "-$0"', str(group)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        try:
            yield
        finally:
            watchdog.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, as a deployment does; make it end if it does not."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired as error:
        raise FailedError("The agent did not end within 20 s after SIGTERM") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _wait(client: Client, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            raise FailedError(f"The agent did not start:\n{_log(folder)}")
        try:
            if client.get("/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise FailedError(f"The agent did not answer within {_START} s:\n{_log(folder)}")


def _log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-4000:]
