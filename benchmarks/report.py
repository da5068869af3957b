"""The Markdown pages and the plots, made from results."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from . import goals
from .contenders import BY_NAME, of_engine
from .goals import Verdict
from .results import Results
from .stats import Spread
from .svg import Bar, Line, Panel, bar_plot, growth_plot
from .workloads import BY_NAME as WORKLOADS
from .workloads import Workload

TITLES = {"sqlite": "SQLite", "redis": "Redis", "postgres": "PostgreSQL", "memory": "Memory"}

_HOW = """Every contender runs in a process of its own. Each round gives every contender one burst, in turning
order, so that what else the machine does hits all alike. Only ratios inside a round are compared: `ours
÷ it` is the median of the rounds' ratios, with the lowest and the highest. Absolute figures are this
machine's, on that day. Every answer is checked against what was written; what raised counts as failed
and not as an operation. A stall is by how much the latest tick of a 1 ms ticker came late, as the median
of the rounds and the worst of them, without checks of the answers and with the harness's own objects
kept from the garbage collector; a limit has no event loop, so nothing to tick. What 512 tasks cost a
ticker if they call nothing at all is the first table but one. `CPU/op` is the
computing time of the contender's own process, without the server's, checks of the answers included: the
figure that other work on the machine disturbs least; `by CPU` is the ratio of these.
"""

_SHOWN = ("get-1-s", "get-64-s", "get-512-s", "set-1-s", "set-64-s", "mixed-64-s", "keys-100000", "list-100000")


def write(folder: Path, results: Results) -> list[Path]:
    """Write an engine's page and its plots, and return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = results.engine
    plots = {f"{engine}-speed.svg": speed_plot(results), f"{engine}-growth.svg": growth(results)}
    plots = {name: text for name, text in plots.items() if text}
    written = []
    for name, text in {**plots, f"{engine}.md": page(results, list(plots))}.items():
        (folder / name).write_text(text)
        written.append(folder / name)
    return written


def page(results: Results, plots: list[str]) -> str:
    lines = [f"# Speed on {TITLES[results.engine]}", ""]
    lines += [f"{name}: {text}  " for name, text in results.about.items()]
    lines += ["", _HOW, *goals_table(results), *_contenders(results)]
    for plot in plots:
        lines += [f"![{plot.removesuffix('.svg').replace('-', ', ')}]({plot})", ""]
    measured = [WORKLOADS[name] for name in results.bursts if not WORKLOADS[name].grows]
    measured.sort(key=lambda workload: list(WORKLOADS).index(workload.name))
    by_group: dict[str, list[Workload]] = {}
    for workload in measured:
        by_group.setdefault(workload.group, []).append(workload)
    for group, workloads in by_group.items():
        lines += [f"## {group}", ""]
        for workload in workloads:
            lines += workload_table(results, workload)
    return "\n".join([*lines, *_memory(results)]).rstrip() + "\n"


# --- goals ---------------------------------------------------------------------------------------------


def goals_table(results: Results) -> list[str]:
    found = list(goals.verdicts(results))
    if not found:
        return []
    met = sum(verdict.met is True for verdict in found)
    lines = [
        f"## Goals: {met} of {len(found)} met",
        "",
        "| workload | against | goal | reached | range | by CPU | |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for verdict in found:
        goal, reached = verdict.goal, verdict.reached
        bound = f"{goal.bound:g} x" if goal.is_ratio else f"at most {goal.bound:g}{_unit(goal.against)}"
        label = BY_NAME[verdict.against].label if verdict.against in BY_NAME else verdict.against
        best = " (best peer)" if goal.against == goals.BEST_PEER else ""
        middle = "not measured" if reached is None else f"{reached.median:.3g}{_unit(goal.against)}"
        ends = "" if reached is None else f"{reached.low:.3g} to {reached.high:.3g}"
        cpu = "" if verdict.by_cpu is None else f"{verdict.by_cpu:.2f} x"
        title = WORKLOADS[goal.workload].title
        lines.append(f"| {title} | {label}{best} | {bound} | {middle} | {ends} | {cpu} | {_mark(verdict)} |")
    return [*lines, ""]


def _unit(against: str) -> str:
    return {"stall": " ms", "failures": ""}.get(against, " x")


def _mark(verdict: Verdict) -> str:
    if verdict.met is None:
        return "?"
    return ("met" if verdict.met else "**not met**") + ("" if verdict.sure else ", not in every round")


# --- tables --------------------------------------------------------------------------------------------


def _contenders(results: Results) -> list[str]:
    lines = [
        "## Contenders",
        "",
        "| contender | role | an acknowledged write survives | codec | |",
        "|---|---|---|---|---|",
    ]
    for entry in of_engine(results.engine):
        took_part = any(entry.name in found for found in results.bursts.values())
        note = "compared by writes only" if entry.writes_only else ""
        if entry.name in results.absent:
            note = f"absent: {results.absent[entry.name].splitlines()[0][:120]}"
        elif not took_part:
            note = "not in this run"
        mark = "" if entry.durable else " *"
        lines.append(f"| {entry.label}{mark} | {entry.role} | {entry.durability} | {entry.codec} | {note} |")
    return [*lines, "", "\\* less durable than ours: its writes are shown, but not taken for the best peer's.", ""]


def workload_table(results: Results, workload: Workload) -> list[str]:
    me = goals.ours(results.engine)
    lines = [
        f"### {workload.title}",
        "",
        "| contender | ops/s | p50 | p99 | CPU/op | ours ÷ it | range | stall, worst | failed | wrong |",
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    found = results.bursts[workload.name]
    for name in sorted(found, key=lambda name: -_median(results.spread(workload.name, name, "rate"))):
        entry = BY_NAME[name]
        rate, ratio = results.spread(workload.name, name, "rate"), results.ratio(workload.name, me, name)
        p50, p99, cpu, stall = (
            results.spread(workload.name, name, what) for what in ("p50", "p99", "cpu", "stall")
        )
        label = f"**{entry.label}**" if name == me else entry.label
        other = None if name == me else ratio
        cells = [
            label + ("" if entry.durable or not workload.writes else " *"),
            *(rated(_median(rate)), _time(p50), _time(p99), _time(cpu)),
            "" if other is None else f"{other.median:.2f}",
            "" if other is None else f"{other.low:.2f} to {other.high:.2f}",
            "" if stall is None else f"{stall.median:.1f} ms, {stall.high:.1f}",
            str(results.total(workload.name, name, "failed") or ""),
            str(results.total(workload.name, name, "wrong") or ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    errors = sorted({f"{BY_NAME[name].label}: {burst.error.splitlines()[0][:160]}" for name, bursts in found.items()
                     for burst in bursts if burst.error})  # fmt: skip
    return [*lines, "", *(f"- {error}" for error in errors), *([""] if errors else [])]


def _memory(results: Results) -> list[str]:
    stages = [name for name in next(iter(results.memory.values()), {}) if not name.endswith(", USS")]
    if not stages:
        return []
    heads = [head for stage in stages for head in (stage, "USS")]
    lines = [
        "## Anonymous memory of the process, MiB",
        "",
        "The harness is in it, with the calls it has made ready.",
        "",
        f"| contender | {' | '.join(heads)} |",
    ]
    lines.append("|---|" + "---:|" * len(heads))
    for name, found in results.memory.items():
        numbers = [found.get(key) for stage in stages for key in (stage, f"{stage}, USS")]
        cells = " | ".join("" if number is None else f"{number:.0f}" for number in numbers)
        lines.append(f"| {BY_NAME[name].label} | {cells} |")
    return [*lines, ""]


def _median(spread: Spread | None) -> float:
    return 0.0 if spread is None else spread.median


def rated(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _time(spread: Spread | None) -> str:
    if spread is None:
        return ""
    micros = spread.median
    return (
        f"{micros / 1_000:.1f} ms"
        if micros >= 1_000
        else f"{micros:.0f} µs"
        if micros >= 10
        else f"{micros:.1f} µs"
    )


# --- plots ---------------------------------------------------------------------------------------------


def speed_plot(results: Results) -> str:
    groups = [(WORKLOADS[name].title, list(_bars(results, name))) for name in _SHOWN if name in results.bursts]
    about = "operations per second, median of the rounds; each group has its own scale"
    return bar_plot(f"{TITLES[results.engine]}: speed", about, groups) if groups else ""


def _bars(results: Results, workload: str) -> Iterator[Bar]:
    rates = {name: _median(results.spread(workload, name, "rate")) for name in results.bursts[workload]}
    for name in sorted(rates, key=lambda name: -rates[name]):
        entry = BY_NAME[name]
        mark = " *" if WORKLOADS[workload].writes and not entry.durable else ""
        failed = ", failures" if results.total(workload, name, "failed") else ""
        yield Bar(entry.label + mark, rates[name], rated(rates[name]) + failed, strong=entry.role == "ours")


def growth(results: Results) -> str:
    measured = sorted((name for name in results.bursts if WORKLOADS[name].grows), key=_panel_of)
    panels = []
    for kind, names in groupby(measured, key=_kind_of):
        points: dict[str, list[tuple[float, float]]] = {}
        for name in sorted(names, key=lambda name: WORKLOADS[name].stage):
            for contender in results.bursts[name]:
                rate = _median(results.spread(name, contender, "rate"))
                if rate:
                    points.setdefault(contender, []).append((WORKLOADS[name].stage, 1e6 / rate))
        lines = [Line(BY_NAME[contender].label, places) for contender, places in points.items()]
        panels.append(Panel(_GROWN[kind], lines))
    title = f"{TITLES[results.engine]}: cost as the store grows"
    return growth_plot(title, panels, x="entries in the store", y="µs per operation") if panels else ""


def _kind_of(name: str) -> str:
    return name.partition("@")[0]


def _panel_of(name: str) -> int:
    return list(_GROWN).index(_kind_of(name))


_GROWN = {
    "get": "get, 64 tasks",
    "set": "set, 64 tasks",
    "keys": "keys: 1,000 matches",
    "entries": "list: 1,000 matches",
    "page": "a page of 100",
}
