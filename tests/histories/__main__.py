"""``python -m tests.histories``: tries for a long time to break the backends; ``make torture``.

A round is replayed by its seed: what each task chooses, and which faults come when, is then the same. How the
processes interleave is not; a violation that needs a rare order may want many rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .arenas import ARENAS
from .torture import PARTS, Outcome, amount, as_json, everything


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return 1 if there was a violation."""
    options = _parser().parse_args(arguments)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    outcomes = []
    for part, name in everything(options.part or PARTS, options.backend or ARENAS):
        outcome = _run(part, name, seed, options.rounds or amount(part, name), options.keep)
        outcomes.append(outcome)
        if not options.json:
            print(outcome, *outcome.violations, sep="\n", flush=True)
    if options.json:
        print(json.dumps([as_json(outcome) for outcome in outcomes], indent=2))
    return int(any(outcome.violations for outcome in outcomes))


def _run(part: str, name: str, seed: int, total: int, kept: Path) -> Outcome:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{name}: {part}", total=total)
        return PARTS[part](name, seed, total, kept, lambda done: bar.advance(task, done))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    add = parser.add_argument
    add("--backend", action="append", choices=ARENAS, help="only this one; can be given several times")
    add("--part", action="append", choices=PARTS, help="only this one; can be given several times")
    add(
        "--rounds",
        type=int,
        help="how many rounds, or cancelled operations; the default is what each part asks for",
    )
    add("--seed", type=int, help="of the first round; the default is chosen at random, and printed")
    add("--json", action="store_true", help="print the outcome for machines")
    add("--keep", type=Path, default=Path("torture-failures"), help="where records of violations go (%(default)s)")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders are removed
    sys.exit(main())
