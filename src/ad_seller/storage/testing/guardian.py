"""Runs pytest for the kit, and ends it when the process that wanted it is gone, however that came about.

A process of its own, because nothing in a killed parent can clean up and nothing in a hung child does. It is
started as a file and imports the standard library only, so it is there at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LIFELINE = 0  #: the standard input: its end is the end of the parent, or its wish that the work ends
#: Starts a process; the package's own tests have one that is quicker.
Popen: type[subprocess.Popen[bytes]] = subprocess.Popen

_TAIL = 2000  #: characters of the output that are handed on


def main() -> None:
    """Read an order, do it in a new folder, write down how it ended, and leave nothing behind."""
    events = int(sys.argv[1])
    with open(LIFELINE, "rb", closefd=False, buffering=0) as lifeline:
        line = lifeline.readline()
    if not line.endswith(b"\n"):
        return  # the parent is gone already
    with _signals() as wake, _new_folder() as folder:
        code = _work(json.loads(line), folder, events, wake)
        tail = (folder / "log").read_text(errors="replace").strip()[-_TAIL:]
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(events, json.dumps({"event": "exit", "code": code, "log": tail}).encode() + b"\n")


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor from which the numbers of signals come, instead of what they would do."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    yield reading


@contextlib.contextmanager
def _new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="conform-"))
    try:
        yield folder
    finally:
        for _ in range(100):  # processes that were just killed may still make a file
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.02)


def _work(options: list[str], folder: Path, events: int, wake: int) -> int:
    """Run pytest until it ends or has to, and return its exit code."""
    command = [sys.executable, "-m", "pytest", *arguments(folder, events), *options]
    scratch = folder / "tmp"
    scratch.mkdir()
    with (folder / "log").open("wb") as log:
        process = Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[events],
            env={**os.environ, "TMPDIR": str(scratch)},
            start_new_session=True,
        )
    try:
        _wait(process, wake)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever the checks have started goes, too
        code = process.wait()
    return code


def arguments(folder: Path, events: int) -> list[str]:
    """Return what makes pytest run the kit alone, in a folder, with its events written to a descriptor."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    words = ["-c", f"{folder}/pytest.ini", "--rootdir", str(folder), "--basetemp", f"{folder}/work"]
    words += ["-p", "anyio", "-p", "ad_seller_storage_pytest", "-p", "no:cacheprovider", "--noconftest"]
    return [*words, "-q", f"--storage-events={events}"]


def _wait(process: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the process has ended, the parent is gone, or somebody wants this one to end."""
    while process.poll() is None:
        ready, _, _ = select.select([LIFELINE, wake], [], [])
        if LIFELINE in ready and not os.read(LIFELINE, 1):
            return
        if wake in ready and set(os.read(wake, 64)) - {signal.SIGCHLD}:
            return


if __name__ == "__main__":
    main()
