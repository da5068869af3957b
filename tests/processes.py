"""Other Python processes: jobs that a test has done outside itself, and ends by their process id."""

from __future__ import annotations

import asyncio
import atexit
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tests import warm

ROOT = Path(__file__).parents[1]
NOBODY = 65534

Jobs = Mapping[str, Callable[..., object]]


def run_job(module: str, name: str, *arguments: object, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Have ``module``'s job done by a new process; fail unless it ends with 0."""
    done = warm.run(_command(module, name, arguments), cwd=ROOT, text=True, timeout=seconds)
    assert done.returncode == 0, f"{name} failed:\n{done.stderr}"
    return done


@contextmanager
def started_job(module: str, name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start ``module``'s job, with pipes to its standard input and output; it is killed if it is still there."""
    job = warm.Popen(
        _command(module, name, arguments),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield job
    finally:
        job.kill()
        job.communicate()


def run_code(
    code: str,
    *arguments: object,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    seconds: float = 60,
    measured: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run Python text in a new process to its end, whatever that is.

    What forks while its threads are busy cannot be measured: coverage holds a lock then, for ever in the child.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    outside = os.environ if measured else warm.unmeasured(os.environ)
    return subprocess.run(
        [sys.executable, "-c", code, *(str(argument) for argument in arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**outside, "PYTHONPATH": path, **(env or {})},
    )


def do_job(jobs: Jobs, command: Sequence[str]) -> None:
    """Do the job that a command line names: what a module of jobs ends with."""
    name, *arguments = command
    jobs[name](*arguments)


def become_nobody() -> None:
    """Give up the rights of root, to whom no file is read-only; whoever is not root stays who they are.

    They come back at the end of the process, so that what it ran can be written down for the measure of coverage.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, 0)
        os.setresuid(NOBODY, NOBODY, 0)
        atexit.register(os.setresuid, 0, 0, 0)


def in_the_child(work: Coroutine[Any, Any, None]) -> NoReturn:
    """Run ``work`` in a process that was just forked, and end it without touching what is the parent's."""
    code = 1
    try:
        asyncio.run(work)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(module: str, name: str, arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", module, name, *(str(argument) for argument in arguments)]
