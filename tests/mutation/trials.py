"""Trials: the tests of a module meet its mutants."""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.docs_samples import ROOT

from .mutants import Mutant
from .subsets import PACKAGE, Subset

_PATIENCE = 2.5  #: how many times as long as without a defect the tests may take
_LEAST = 20.0  #: seconds that they may take at least


@dataclass(frozen=True)
class Verdict:
    """What the tests said about a mutant.

    Attributes:
        outcome: "found", "timed out" (which counts as found) or "survived".
        by: the test that found it.
        seconds: how long that took.
    """

    outcome: str
    by: str
    seconds: float


class Bench:
    """A copy of the package, and a process that runs tests on it.

    Args:
        folder: for the copy.
        subset: the tests.
        environment: where servers are.
    """

    def __init__(self, folder: Path, subset: Subset, environment: dict[str, str]) -> None:
        """Copy, and start the process."""
        self._folder = folder
        self._package = folder / "src" / "ad_seller" / "storage"
        self._subset = subset
        shutil.copytree(PACKAGE.parents[1], folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        # By content, not by time: a mutant is written in the same second as the one before, and may be as long.
        compileall.compile_dir(
            folder / "src", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.worker", str(folder)],
            cwd=ROOT,
            env={**os.environ, **subset.environment, **environment, "PYTHONPATH": str(folder / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._limit = 1200.0

    def close(self) -> None:
        """End the process."""
        self._worker.communicate()

    def calibrate(self) -> float:
        """Run the tests on the package as it is, to know how long they take; return the seconds.

        Raises:
            RuntimeError: one fails.
        """
        answer = self._run()
        if answer["status"] != 0:
            raise RuntimeError(f"the tests fail without any defect: {answer['told']}")
        self._limit = max(_LEAST, _PATIENCE * answer["seconds"])
        return float(answer["seconds"])

    def judge(self, mutant: Mutant) -> Verdict:
        """Let the tests meet a mutant."""
        path = self._package / f"{mutant.module}.py"
        kept = path.read_bytes()
        path.write_bytes(mutant.source)
        try:
            answer = self._run()
        finally:
            path.write_bytes(kept)
        outcomes = {None: "timed out", 0: "survived"}
        return Verdict(outcomes.get(answer["status"], "found"), answer["told"], answer["seconds"])

    def _run(self) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps({"arguments": self._subset.arguments, "limit": self._limit}) + "\n")
        self._worker.stdin.flush()
        answer: dict[str, Any] = json.loads(self._worker.stdout.readline())
        return answer


@contextmanager
def benches(subset: Subset, number: int) -> Iterator[list[Bench]]:
    """Start the servers that a subset needs, and so many benches."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mutation-")))
        environment = {}
        if "redis" in subset.servers:
            environment["REDIS_URL"] = stack.enter_context(RedisServer(folder / "redis")).url
        if "postgres" in subset.servers:
            environment["DATABASE_URL"] = stack.enter_context(PostgresServer()).url()
        found = []
        for place in range(number):
            bench = Bench(folder / str(place), subset, environment)
            stack.callback(bench.close)
            found.append(bench)
        yield found
