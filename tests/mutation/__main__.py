"""Puts small defects into modules, one at a time, and tells which of them no test finds; ``make mutation``.

Verdicts are kept: a run that was stopped goes on where it was, and `--again` asks only about what survived.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .mutants import KINDS, Mutant, mutants
from .subsets import PACKAGE, SUBSETS, modules, subset_of
from .trials import Bench, Verdict, benches
from .verdicts import Verdicts


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return 1 if a mutant survived."""
    options = _parser().parse_args(arguments)
    survived = 0
    for module in options.module or SUBSETS:
        wanted = [m for m in mutants(PACKAGE / f"{module}.py") if m.kind in (options.kind or KINDS)]
        verdicts = Verdicts(options.keep, module)
        waiting = [m for m in wanted if _is_waiting(verdicts.last(m), options.again)]
        if waiting:
            _try(module, waiting, options.workers, verdicts.add)
        counts = verdicts.counts(wanted)
        left = [m for m in wanted if (last := verdicts.last(m)) and last.outcome == "survived"]
        survived += len(left)
        if options.json:
            print(json.dumps({"module": module, **counts, "survivors": list(map(str, left))}), flush=True)
        else:
            shown = ", ".join(f"{number} {name}" for name, number in counts.items())
            print(f"{module}: {shown}", *(f"  survived  {m}" for m in left), sep="\n", flush=True)
    return int(survived > 0)


def _is_waiting(last: Verdict | None, again: bool) -> bool:
    return last is None or (again and last.outcome == "survived")


def _try(module: str, waiting: list[Mutant], workers: int, told: Callable[[Mutant, Verdict], None]) -> None:
    """Let the tests of a module meet mutants, and tell the verdicts as they come."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    subset = subset_of(module)
    assert subset is not None, "argparse lets no other in"
    with bar, benches(subset, workers) as found, ThreadPoolExecutor(workers) as threads:
        list(threads.map(Bench.calibrate, found))
        free: SimpleQueue[Bench] = SimpleQueue()
        for bench in found:
            free.put(bench)

        def judge(mutant: Mutant) -> Verdict:
            bench = free.get()
            try:
                return bench.judge(mutant)
            finally:
                free.put(bench)

        task = bar.add_task(module, total=len(waiting))
        for mutant, verdict in zip(waiting, threads.map(judge, waiting), strict=True):
            told(mutant, verdict)
            bar.advance(task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    add = parser.add_argument
    add("module", nargs="*", choices=list(filter(subset_of, modules())), help="the modules; those of most worth")
    add("--kind", action="append", choices=KINDS, help="only defects of SQL and Lua (text), or of Python (code)")
    add("--again", action="store_true", help="ask again about what survived")
    add("--workers", type=int, default=1, help="how many mutants at the same time (%(default)s)")
    add("--keep", type=Path, default=Path(".mutation"), help="where verdicts are kept (%(default)s)")
    add("--json", action="store_true", help="print one line for machines for each module")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders are removed
    sys.exit(main())
