"""The command: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import signal
import sys
import time
from pathlib import Path

from . import contenders, guard, report
from .engines import ENGINES, started
from .recording import PATH as RECORDING
from .results import Results, load, save
from .rounds import Plan, Run
from .workloads import WORKLOADS, Workload

#: Whose versions the pages name.
_LIBRARIES = (
    *("aiosqlite", "asyncpg", "coredis", "diskcache", "hiredis", "langgraph-checkpoint-sqlite", "msgspec"),
    *("py-key-value-aio", "redis", "valkey-glide"),
)

_PAGES = Path(__file__).parents[1] / "docs" / "benchmarks"


def main() -> int:
    options = _options()
    if options.report:
        found = load(options.report)
        for results in found:
            _write(options.out, results)
        return 0
    engines = options.engine or list(ENGINES)
    guarding = options.guard or options.store_guard
    everything: list[Results] = []
    for engine in engines:
        everything.append(_run(engine, options))
        if options.json:
            save(options.json, everything)  # what is there, should the next engine fail
        if not (guarding or options.only or options.contenders):
            _write(options.out, everything[-1])
    if guarding:
        return _guard(everything, engines, store=options.store_guard)
    for results in everything:
        print("\n".join(["", *report.goals_table(results)]))
    return int(any(_wrong(results) for results in everything))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument(
        "--full", action="store_true", help="everything, with longer bursts, up to 1,000,000 entries"
    )
    parser.add_argument(
        "--only", metavar="PATTERN", action="append", help="only workloads of such names; writes no pages"
    )
    parser.add_argument("--contenders", metavar="NAME,NAME", help="only these; writes no pages")
    parser.add_argument("--rounds", type=int, help="bursts of each contender in each workload")
    parser.add_argument("--seconds", type=float, help="of each burst")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    parser.add_argument("--out", type=Path, default=_PAGES, metavar="FOLDER", help="where pages and plots go")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="measure nothing: pages and plots from such a JSON"
    )
    parser.add_argument(
        "--guard", action="store_true", help="quick ratios against benchmarks/guard.json; 1 if some fell"
    )
    parser.add_argument("--store-guard", action="store_true", help="write benchmarks/guard.json anew")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where SQLite's files go; the disk matters")
    parser.add_argument("--list", action="store_true", help="show the names of workloads and contenders")
    options = parser.parse_args()
    if options.list:
        print("\n".join(workload.name for workload in WORKLOADS))
        print("\n".join(f"{entry.engine}: {entry.name} ({entry.label})" for entry in contenders.ALL))
        raise SystemExit(0)
    for pattern in options.only or ():
        if not fnmatch.filter([workload.name for workload in WORKLOADS], pattern):
            parser.error(f"no workload is called {pattern!r}; --list shows the names")
    return options


def _run(engine: str, options: argparse.Namespace) -> Results:
    guarding = options.guard or options.store_guard
    seconds = options.seconds or (0.5 if options.full else 0.1)
    plan = Plan(rounds=options.rounds or 7, seconds=seconds)
    began = time.time()
    load_before = os.getloadavg()[0]
    results = Results(engine)
    with started(engine, options.folder) as places:
        print(f"{report.TITLES[engine]}: {places.about}", flush=True)
        if guarding:
            watched = guard.WATCHED[engine]
            entries = [
                entry for entry in contenders.of_engine(engine)
                if (entry.role == "ours" and not entry.writes_only) or entry.name in watched.values()
            ]  # fmt: skip
            workloads = [workload for workload in WORKLOADS if workload.name in watched]
        else:
            entries = [entry for entry in contenders.of_engine(engine) if _named(entry.name, options.contenders)]
            workloads = [workload for workload in WORKLOADS if _wanted(workload, options)]
        about = places.about
        Run(places, entries, plan, results).run(workloads)
    results.about = {
        "Engine": about,
        "Machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after",
        "Run": f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(began))} UTC, {time.time() - began:.0f} s, "
        f"{plan.rounds} rounds of bursts of {plan.seconds:g} s" + (", full" if options.full else ""),
        "Versions": _versions(),
    }
    return results


def _named(name: str, wanted: str | None) -> bool:
    return wanted is None or name in wanted.split(",")


def _wanted(workload: Workload, options: argparse.Namespace) -> bool:
    if workload.kind == "replay" and not RECORDING.exists():
        return False
    if options.only:
        return any(fnmatch.fnmatch(workload.name, pattern) for pattern in options.only)
    return options.full or not workload.full


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _write(folder: Path, results: Results) -> None:
    for path in report.write(folder, results):
        print(f"wrote {path}")


def _guard(everything: list[Results], engines: list[str], *, store: bool) -> int:
    now = guard.measured(everything)
    if store:
        guard.save(now)
        print(f"wrote {guard.TABLE}")
        return 0
    fallen = guard.falls(guard.load(), now, engines)
    print("\n".join(f"FELL: {fall}" for fall in fallen) or "Nothing fell.")
    return int(bool(fallen))


def _wrong(results: Results) -> int:
    """How often the answers were wrong; our failures are for the reader of the table."""
    return sum(burst.wrong for found in results.bursts.values() for bursts in found.values() for burst in bursts)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended by SIGTERM."))  # so that servers and folders go, too
    sys.exit(main())
