"""A full disk: a limit on the size of files, which needs no rights, makes real writes fail, ours or a server's."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from ad_seller.storage.testing.server_process import ServerProcess
from ad_seller.storage.testing.servers import RedisServer


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limit_files(server: ServerProcess, size: int = resource.RLIM_INFINITY) -> None:
    """Let no write of the server's processes reach beyond ``size`` bytes of a file; without it, all can again."""
    main = psutil.Process(server.pid)
    for process in [main, *main.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            _limit(process, size)


def end_of_log(server: RedisServer) -> int:
    """Return the size of what a Redis server has written to disk."""
    return max(path.stat().st_size for path in server.directory.rglob("*.aof"))


def _limit(process: psutil.Process, size: int) -> None:
    """Have the limit set by a process of the same user: not even root may do it to others everywhere."""
    user: dict[str, Any] = {"user": process.uids().real, "group": process.gids().real, "extra_groups": []}
    done = subprocess.run(
        ["prlimit", "--pid", str(process.pid), f"--fsize={size}:"],
        capture_output=True,
        text=True,
        check=False,
        **(user if os.geteuid() == 0 else {}),
    )
    assert done.returncode == 0 or not process.is_running(), done.stderr
