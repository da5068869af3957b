"""What this package executes for a call against another checkout's, counted in instructions by valgrind:
``python -m benchmarks.instructions sqlite|redis|postgres|memory OTHER/src``.

For what is smaller than a busy machine's noise: with many tasks a call counts the same to within 1 %, alone to
within 5, whatever else runs. It counts no part of the system or the server and no miss of a cache. What a budget of
time decides (a read on the event loop's own thread, a pause of long work) is decided as on a machine fifty times
slower: where that matters, `cpu_ratio` is the one to believe.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .cpu_ratio import ENTRIES, VALUE, address, backend, call

#: Kind, tasks at once, calls of each.
WORKLOADS = [
    *((kind, tasks, times) for tasks, times in ((1, 100), (64, 2), (512, 1)) for kind in ("get", "set")),
    ("update", 1, 50),
    ("count", 1, 20),
    ("keys", 1, 20),
    ("scan", 1, 10),
    ("open", 1, 3),
]
MARK = "getloadavg"  #: the function of the C library at which valgrind writes down what it has counted


async def work(url: str) -> None:
    """Do each workload twice, and put a mark before and after the second time."""
    async with backend(url) as store:
        await store.set_many({f"item:{number}": VALUE for number in range(ENTRIES)})
        for kind, tasks, times in WORKLOADS:
            await asyncio.gather(*(call(store, url, kind, task, times) for task in range(tasks)))
        for kind, tasks, times in WORKLOADS:
            os.getloadavg()
            await asyncio.gather(*(call(store, url, kind, task, times) for task in range(tasks)))
            os.getloadavg()


def counted(source: Path, url: str) -> list[float]:
    """Return the instructions of one call of each workload."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "count")
        watch = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
        side = [sys.executable, "-m", __spec__.name, "--side", url, str(source)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([*watch, *side], env=environment, stderr=subprocess.DEVNULL, check=True)
        # The first count is of what came before; then every other one is of a workload.
        return [
            _total(Path(f"{out}.{2 * number}")) / (tasks * times)
            for number, (_, tasks, times) in enumerate(WORKLOADS, start=1)
        ]


def _total(count: Path) -> int:
    with count.open(errors="replace") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("summary:"))


def main(engine: str, other: Path) -> None:
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not there: it counts the instructions (apt install valgrind)")
    sides = []
    for source in (Path(__file__).resolve().parents[1] / "src", other):
        with address(engine) as url:
            sides.append(counted(source, url))
    for (kind, tasks, _), ours, theirs in zip(WORKLOADS, *sides, strict=True):
        print(f"{kind}, {tasks} tasks: {theirs / ours:.2f}, {ours:,.0f} instructions")


if __name__ == "__main__":
    if sys.argv[1] == "--side":
        logging.disable()
        sys.path.insert(0, sys.argv[3])
        asyncio.run(work(sys.argv[2]))
    else:
        main(sys.argv[1], Path(sys.argv[2]))
