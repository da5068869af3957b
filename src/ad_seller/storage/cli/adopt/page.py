"""What `adopt` shows: a page for people, JSON for programs."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from ..output import Output
from .data import Census
from .finding import RULES
from .plan import Plan, difference

_VERDICTS = {"replaced": "green", "edited": "bold red", "stays": "dim"}
_SHOWN = 8  #: places of each kind of finding; --json has all
_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def as_dict(plan: Plan, census: Census | None, state: str | None, following: str) -> dict[str, Any]:
    """Return everything for programs."""
    name = plan.checkout.name
    return {
        "directory": str(plan.checkout.root),
        "package": name(plan.checkout.package),
        "state": state,
        "files": [
            {"file": name(each.path), "verdict": each.verdict, "reasons": each.reasons} for each in plan.files
        ],
        "changes": [
            {
                "file": name(each.path),
                "action": "remove" if each.after is None else "change",
                "why": each.why,
                "diff": list(difference(each, name(each.path))),
            }
            for each in plan.changes
        ],
        "findings": [each.as_dict() for each in plan.findings],
        "notes": plan.notes,
        "data": None if census is None else census.as_dict(),
        "next": following,
    }


def write_page(plan: Plan, census: Census | None, out: Output, following: str) -> None:
    """Write everything for people."""
    out.text(f"Agent in {plan.checkout.root}")
    _write_files(plan, out)
    _write_changes(plan, out)
    _write_findings(plan, out)
    for note in plan.notes:
        out.text(f"\n{note}")
    if census is not None:
        _write_census(census, out)
    out.text(f"\nNext: {following}")


def _heading(out: Output, text: str) -> None:
    out.console.print(Text(f"\n{text}", style="bold"))


def _write_files(plan: Plan, out: Output) -> None:
    _heading(out, f"Storage folder: {plan.checkout.name(plan.checkout.storage)}")
    if not plan.files:
        out.text("There is no file in it.")
        return
    table = Table("file", "verdict", "why", box=None, pad_edge=False)
    for file in plan.files:
        first, *more = file.reasons
        table.add_row(Text(file.path.name), file.verdict, Text(first), style=_VERDICTS[file.verdict])
        for reason in more:
            table.add_row("", "", Text(reason), style=_VERDICTS[file.verdict])
    out.console.print(table)


def _write_changes(plan: Plan, out: Output) -> None:
    _heading(out, "Changes")
    if not plan.changes:
        out.text("None: everything is as it should be.")
    for change in plan.changes:
        for line in difference(change, plan.checkout.name(change.path)):
            out.console.print(Text(line, style=_DIFF.get(line[:1], "")))


def _write_findings(plan: Plan, out: Output) -> None:
    for rule, group in groupby(plan.findings, key=lambda each: each.rule):
        found = list(group)
        why, cure = RULES[rule]
        _heading(out, f"{rule}: {len(found)} place{'s' if len(found) > 1 else ''}")
        out.text(why)
        for each in found[:_SHOWN]:
            _write_place(f"  {each.file}:{each.line}  {each.text}", out)
        if len(found) > _SHOWN:
            out.text(f"  and {len(found) - _SHOWN} more, see --json")
        out.text(f"What to do: {cure}")


def _write_place(text: str, out: Output) -> None:
    """Write a line; a terminal gets as much of it as its width has room for."""
    if out.is_terminal:
        out.console.print(Text(text), overflow="ellipsis", no_wrap=True, soft_wrap=False)
    else:
        out.text(text)


def _write_census(census: Census, out: Output) -> None:
    _heading(out, f"Data: {census.store or 'not looked at'}")
    if census.problem is not None:
        out.text(f"{census.problem}.")
        return
    table = Table("kind", box=None, pad_edge=False)
    table.add_column("entries", justify="right")
    for kind, count in sorted(census.counts.items()):
        table.add_row(Text(kind), f"{count:,}")
    out.console.print(table)
    out.text(f"{census.counts.total():,} entries, {census.expired:,} more have expired; nothing was changed.")
    if census.others:
        out.text(f"{census.others:,} keys of this Redis database do not bear the prefix; they are not the agent's.")
    _write_keys(
        "cannot be read: get raises CorruptValueError, listings take on_corrupt=",
        census.unreadable,
        census.unreadable_count,
        out,
    )
    _write_keys("will not be found", census.unfound, census.unfound_count, out)


def _write_keys(title: str, keys: dict[str, str], count: int, out: Output) -> None:
    if not count:
        return
    out.console.print(Text(f"{count:,} {title}", style="bold red"))
    for key, reason in keys.items():
        out.key(f"  {key}", end="")
        out.text(f": {reason}")
    if count > len(keys):
        out.text(f"  and {count - len(keys):,} more")
