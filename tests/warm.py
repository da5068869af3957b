"""Python processes by fork of one that has imported everything: 0.02 s of computing, where a new one takes 0.7 s.

`Popen` is a `subprocess.Popen` whose process comes from there. Otherwise it is what a new interpreter would be: it
has streams, a folder, an environment and arguments of its own, runs ``-m module`` or ``-c text``, and ends as
Python does. What is about imports, or about the memory of a process, starts a new one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

#: What a test's other processes import; no module that is run itself.
WARM = (
    "aiosqlite asyncpg pytest redis.asyncio typer rich.console rich.progress uvloop ad_seller.storage "
    "ad_seller.storage.cli.app ad_seller.storage.sqlite_backend ad_seller.storage.redis_backend "
    "ad_seller.storage.postgres_backend ad_seller.storage.hybrid_backend ad_seller.storage.memory_backend "
    "ad_seller.storage.operations ad_seller.storage.sync ad_seller.storage.testing.suite tests.processes "
    "tests.atomic.support examples.api_keys examples.booking"
)
#: What a newer one of them imports when a command runs, pydantic among it: a half of what that computes.
_LATER = "typer._adapters"
_ROOT = Path(__file__).parents[1]
_STATUS = 4  #: bytes of what `os.waitpid` tells
_ORDER = 200_000  #: bytes of an order, at most


#: How the variables begin by which coverage tells other processes to count their lines.
MEASURED = "COVERAGE_PROCESS"


#: What it imports besides, where others' lines are counted: that took each of them 0.2 s.
_MEASURING = ["coverage", "coverage.sqldata"] if any(name.startswith(MEASURED) for name in os.environ) else []


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """Return it for a process whose lines are not counted."""
    return {name: value for name, value in environment.items() if not name.startswith(MEASURED)}


# --- from outside --------------------------------------------------------------------------------------------


class _Oven:
    """The process that is forked, from outside; started at first use, and ended with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._socket: socket.socket | None = None

    def fork(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, int]:
        """Return the id of a new process, and the descriptor from which its exit status comes."""
        with self._lock:
            if self._socket is None or self._pid != os.getpid():
                self.start()
            assert self._socket is not None
            reading, writing = os.pipe()
            try:
                socket.send_fds(self._socket, [json.dumps(order).encode()], [*descriptors, writing])
                return int(self._socket.recv(32)), reading
            finally:
                os.close(writing)

    def inherit(self) -> None:
        """Go on with it in a fork of the process that has started it, while that one waits for the fork."""
        self._pid = os.getpid()

    def start(self) -> None:
        """Start it."""
        self._pid = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _ORDER)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno()), *_MEASURING],
                cwd=_ROOT,
                env={**unmeasured(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self._socket.recv(32) == b"warm"
        atexit.register(self._end, process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._socket is not None and self._pid == os.getpid():
            self._socket.close()
            process.wait(10)


_oven = _Oven()
begin, inherit = _oven.start, _oven.inherit


class Popen(subprocess.Popen[Any]):
    """A process of ``[sys.executable, "-m", module, …]`` or ``[sys.executable, "-c", text, …]``."""

    _status = -1

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """Take the place of what starts a program; the arguments are those of CPython 3.11 and later."""
        _, _, _, _, cwd, env, _, _, _, *pipes = rest[:15]
        session = rest[-2]
        python, kind, what, *words = (os.fspath(word) for word in args)
        assert (python, kind in ("-m", "-c")) == (sys.executable, True)
        order = {
            "kind": kind,
            "what": what,
            "words": words,
            "cwd": os.fspath(cwd) if cwd is not None else str(Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(session),
        }
        theirs = [
            given if given >= 0 else own
            for given, own in zip((pipes[0], pipes[3], pipes[5]), range(3), strict=True)
        ]
        try:
            self.pid, self._status = _oven.fork(order, theirs)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        told = os.read(self._status, _STATUS)
        os.close(self._status)
        return self.pid, int.from_bytes(told, "little") if told else signal.SIGKILL

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def run(
    command: Sequence[str], *, stdin: Any = None, timeout: float | None = None, **terms: Any
) -> subprocess.CompletedProcess[Any]:
    """Do what `subprocess.run` does with ``capture_output``; ``stdin`` is what the process reads."""
    terms |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **terms) as process:
        try:
            out, errors = process.communicate(stdin, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


# --- inside --------------------------------------------------------------------------------------------------


def main(descriptor: int, *more: str) -> None:
    """Import, fork for each order, and tell how each child ended, until nobody is there who could order."""
    for name in (*WARM.split(), *more):
        import_module(name)
    with suppress(ModuleNotFoundError):
        import_module(_LATER)
    gc.collect()
    gc.freeze()
    order = _serve(descriptor)
    if order is not None:
        code = 0
        try:
            _become(order)
        except SystemExit as left:
            if isinstance(left.code, str):
                raise
            code = int(left.code or 0)
        _leave(code)


def _serve(descriptor: int) -> dict[str, Any] | None:
    """Return the order in a child that is to do it, None at the end."""
    orders = socket.socket(fileno=descriptor)
    orders.send(b"warm")
    watched = select.poll()
    watched.register(orders, select.POLLIN)
    children: dict[int, tuple[int, int]] = {}  # by the descriptor of the process: its id, and where to tell
    while True:
        for ready, _ in watched.poll():
            if ready != orders.fileno():
                pid, telling = children.pop(ready)
                watched.unregister(ready)
                _tell(pid, ready, telling)
                continue
            data, descriptors, _, _ = socket.recv_fds(orders, _ORDER, 4)
            if not data:
                for pid, _ in children.values():
                    os.kill(pid, signal.SIGKILL)
                return None
            pid = os.fork()
            if pid == 0:
                for one, (_, telling) in children.items():
                    os.close(one)
                    os.close(telling)
                orders.close()
                _take_over(descriptors)
                order: dict[str, Any] = json.loads(data)
                return order
            process = os.pidfd_open(pid)
            children[process] = pid, descriptors[3]
            watched.register(process, select.POLLIN)
            for one in descriptors[:3]:
                os.close(one)
            orders.send(str(pid).encode())


def _tell(pid: int, process: int, telling: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(process)
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(telling, status.to_bytes(_STATUS, "little"))
    os.close(telling)


def _take_over(descriptors: Sequence[int]) -> None:
    """Make the given streams those of this process."""
    *streams, telling = descriptors
    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    os.close(telling)
    sys.stdin = os.fdopen(0)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")


def _become(order: Mapping[str, Any]) -> None:
    """Be what an interpreter with these arguments is."""
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if any(name.startswith(MEASURED) for name in os.environ):
        import_module("coverage").process_startup()  # as its file of the kind .pth has each interpreter do
    sys.path[0] = order["cwd"]
    sys.path += [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one not in sys.path]
    sys.argv[:] = ["-c", *order["words"]]
    del sys.modules["__main__"]
    if order["kind"] == "-m":
        runpy.run_module(order["what"], run_name="__main__", alter_sys=True)
    else:
        exec(order["what"], {"__name__": "__main__"})


def _leave(code: int) -> None:
    """End as an interpreter does, but clear no modules: that is five sixths of what a short process computes."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that are no daemons
    atexit._run_exitfuncs()
    gc.collect()  # what nobody awaited or closed is told
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # nobody reads any more; the interpreter says how that ends
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
