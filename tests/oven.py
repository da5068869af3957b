"""What `tests.warm` forks, inside: a process that has imported everything, and those that come from it.

A run of the kit in one of these has its guardian, pytest and the processes of its checks by fork, too.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ad_seller.storage.testing import guardian
from tests.warm import MEASURED, ORDER, STATUS, Popen, ordered, oven

#: What a test's other processes import; no module that is run itself.
WARM = (
    "aiosqlite asyncpg pytest redis.asyncio typer rich.console rich.progress uvloop ad_seller.storage "
    "ad_seller.storage.cli.app ad_seller.storage.sqlite_backend ad_seller.storage.redis_backend "
    "ad_seller.storage.postgres_backend ad_seller.storage.hybrid_backend ad_seller.storage.memory_backend "
    "ad_seller.storage.operations ad_seller.storage.sync ad_seller.storage.testing.runner tests.processes "
    "tests.atomic.support examples.api_keys examples.booking"
)
#: What a newer one of them imports when a command runs, pydantic among it: a half of what that computes.
_LATER = "typer._adapters"
_FIRST = 3  #: descriptor after those of the streams
_DESCRIPTORS = 16  #: with an order, at most
_HIGH = 500  #: more descriptors than a process has as it begins
#: A run of the kit.
_KIT = ["--storage-backend=memory://", "--storage-check=missing_entry"]


class Child(subprocess.Popen[Any]):
    """The same as a child of this process, which comes from there itself."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        order, descriptors = ordered(args, rest)
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of threads at a fork: a progress bar has one
            self.pid = os.fork()
        if self.pid == 0:
            _be(order, descriptors)
        self._child_created = True
        self._close_pipe_fds(*rest[9:15])  # type: ignore[attr-defined]


def _divide() -> None:
    """Have another one forked from this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        if os.fork() == 0:
            _keep([0, 1, 2, theirs.detach()], [0, 1, 2, _FIRST])
            _be(_serve(_FIRST))
    oven.use(ours)


def main(descriptor: int, *more: str) -> None:
    """Import, fork for each order, and tell how each child ended, until nobody is there who could order."""
    _warm_the_kit()
    for name in (*WARM.split(), *more):
        import_module(name)
    with suppress(ModuleNotFoundError):
        import_module(_LATER)
    inspect.stack()  # as coverage does when it begins: where the file of no module is known yet, that takes 0.1 s
    gc.collect()
    gc.freeze()
    _do(_serve(descriptor))


def _warm_the_kit() -> None:
    """Have pytest import the kit, so that its assertions explain themselves, and run one of its checks."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("wb") as nowhere:
        pytest.main([*guardian.arguments(Path(folder), nowhere.fileno()), *_KIT])


def _do(order: Mapping[str, Any] | None) -> None:
    """Do what an interpreter with these arguments does, and end as it does."""
    code = 0
    try:
        if order is not None:
            _become(order)
    except SystemExit as left:
        if isinstance(left.code, str):
            raise
        code = int(left.code or 0)
    _leave(code)


def _be(order: Mapping[str, Any] | None, descriptors: Sequence[int] = ()) -> NoReturn:
    """Do the same deep inside of another program, of which nothing is to go on."""
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        atexit._clear()
        if order is not None and descriptors:
            _take_over(descriptors, order["passed"])
        _do(order)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(1)


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
            data, descriptors, _, _ = socket.recv_fds(orders, ORDER, _DESCRIPTORS)
            if not data:
                for pid, _ in children.values():
                    os.kill(pid, signal.SIGKILL)
                return None
            telling, *given = descriptors
            order: dict[str, Any] = json.loads(data)
            pid = os.fork()
            if pid == 0:
                orders.detach()
                _take_over(given, order["passed"])
                return order
            process = os.pidfd_open(pid)
            children[process] = pid, telling
            watched.register(process, select.POLLIN)
            for one in given:
                os.close(one)
            orders.send(str(pid).encode())


def _tell(pid: int, process: int, telling: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(process)
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(telling, status.to_bytes(STATUS, "little"))
    os.close(telling)


def _keep(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Give descriptors these numbers, and close all others."""
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, _HIGH) for one in descriptors]
    os.closerange(_FIRST, _HIGH)
    for one, number in zip(high, numbers, strict=True):
        os.dup2(one, number)
    os.closerange(_HIGH, high[-1] + 1)


def _take_over(descriptors: Sequence[int], passed: Sequence[int]) -> None:
    """Make the given streams those of this process."""
    _keep(descriptors, [0, 1, 2, *passed])
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


def _become(order: Mapping[str, Any]) -> None:
    """Be what an interpreter with these arguments is."""
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    tempfile.tempdir = None
    if any(name.startswith(MEASURED) for name in os.environ):
        import_module("coverage").process_startup()  # as its file of the kind .pth has each interpreter do
    sys.path[0] = order["cwd"]
    sys.path += [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one not in sys.path]
    sys.argv[:] = ["-c", *order["words"]]
    sys.modules.pop("__main__", None)
    guardian.Popen = Child
    if order["what"] == "pytest":
        _divide()  # for the jobs of checks
        from ad_seller.storage.testing.conformance import jobs

        jobs.Popen = Popen
    if order["kind"] == "-P":
        assert order["what"] == guardian.__file__
        guardian.main()
    elif order["kind"] == "-m":
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
