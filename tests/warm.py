"""Python processes by fork of one that has imported everything: 0.02 s of computing, where a new one takes 0.7 s.

`Popen` is a `subprocess.Popen` whose process comes from there. Otherwise it is what a new interpreter would be: it
has streams, a folder, an environment and arguments of its own, runs ``-m module`` or ``-c text``, and ends as
Python does. What is about imports, or about the memory of a process, starts a new one.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
STATUS = 4  #: bytes of what `os.waitpid` tells
ORDER = 200_000  #: bytes of an order, at most

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
                self._start()
            assert self._socket is not None
            reading, writing = os.pipe()
            try:
                socket.send_fds(self._socket, [json.dumps(order).encode()], [writing, *descriptors])
                return int(self._socket.recv(32)), reading
            finally:
                os.close(writing)

    def use(self, ours: socket.socket) -> None:
        """Take another one, that has just been started."""
        self._pid = os.getpid()
        self._socket = ours
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * ORDER)
        assert ours.recv(32) == b"warm"

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.oven", str(theirs.fileno()), *_MEASURING],
                cwd=_ROOT,
                env={**unmeasured(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.use(ours)
        atexit.register(self._end, process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._socket is not None and self._pid == os.getpid():
            self._socket.close()
            process.wait(10)


oven = _Oven()


def ordered(args: Sequence[Any], rest: Sequence[Any]) -> tuple[dict[str, Any], list[int]]:
    """Return what `Popen._execute_child` is asked for, and the descriptors that the process gets."""
    _, _, _, passed, cwd, env, _, _, _, *pipes = rest[:15]
    python, kind, what, *words = (os.fspath(word) for word in args)
    assert (python, kind in ("-m", "-c", "-P")) == (sys.executable, True)
    order = {
        "kind": kind,
        "what": what,
        "words": words,
        "cwd": os.fspath(cwd) if cwd is not None else str(Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "session": bool(rest[-2]),
        "passed": list(passed),
    }
    streams = zip((pipes[0], pipes[3], pipes[5]), range(3), strict=True)
    return order, [*(given if given >= 0 else own for given, own in streams), *passed]


class Popen(subprocess.Popen[Any]):
    """A process of ``[sys.executable, "-m", module, …]`` or ``"-c", text``, or the guardian of a run of the kit."""

    _status = -1

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """Take the place of what starts a program; the arguments are those of CPython 3.11 and later."""
        try:
            self.pid, self._status = oven.fork(*ordered(args, rest))
            self._child_created = True
        finally:
            self._close_pipe_fds(*rest[9:15])  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        told = os.read(self._status, STATUS)
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
