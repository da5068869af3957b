"""The command `conform`: the tests of the storage contract, on a backend of ours or of somebody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ad_seller.storage import ConfigurationError, MissingDependencyError
from ad_seller.storage.testing.levels import Level
from ad_seller.storage.testing.report import Group, Report
from ad_seller.storage.testing.runner import OnCheck, run

from .output import Output
from .running import AsJson, Choices, CommandError, Exit, Url, guarded

commands = typer.Typer()

_SHOWN_LINES = 12  #: of the message of each failure
_SHOWN_NAMES = 6  #: of the checks of each group of failures
_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "not shown": "yellow",
    "not declared": "dim",
    "not checked": "yellow",
}


@commands.command()
def conform(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[URL|MODULE:CLASS]", help="What to test; without it, the store of --url."),
    ] = None,
    url: Url = None,
    level: Annotated[list[Level] | None, typer.Option(help="Only this level; may come several times.")] = None,
    check: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this check; may come several times.")
    ] = None,
    storm: Annotated[
        int | None,
        typer.Option(min=100, metavar="N", help="Calls in the storms of cancellations, 3000 by default."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, metavar="N", help="A check that takes longer hangs, and has failed.")
    ] = 60.0,
    erase_store: Annotated[
        bool, typer.Option("--erase-store", help="Delete all entries of a store that has some. They are lost.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write a badge and a table in Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Test a backend against the storage contract, and report by section and level.

    TARGET is a URL, MODULE:CLASS, or MODULE:FUNCTION which returns a backend; a class that takes a database_url
    gets that of --url. {folder} in a URL stands for a new empty folder for each check. The store must be empty.
    """
    chosen = context.ensure_object(Choices)
    url = chosen.url if url is None else url
    out = Output(as_json=as_json or chosen.as_json)

    def work() -> int:
        spec, database_url = (url, None) if target is None else (target, url)
        if spec is None:
            raise CommandError(
                "There is nothing to test.", hint="Name a URL or module:Class, e.g. 'sqlite:///{folder}/store.db'."
            )
        with _progress() as on_check, _explained():
            report = run(
                spec,
                url=database_url,
                levels=level or [],
                checks=check or [],
                storm=storm,
                seconds=seconds,
                erase=erase_store,
                on_check=on_check,
            )
        _write(report, out, markdown=markdown)
        return Exit.OK if report.passed else Exit.NOT_FOUND

    raise typer.Exit(guarded(work, as_json=out.as_json))


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do about a target that cannot be tested; the hint of other commands is about their store."""
    try:
        yield
    except MissingDependencyError:
        raise
    except ConfigurationError as error:
        raise CommandError(
            str(error), hint="`ad-seller-storage conform --help` shows what can be tested."
        ) from error


@contextmanager
def _progress() -> Iterator[OnCheck]:
    """Show how far the checks are, where somebody sees it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Checking", total=None)

        def on_check(report: Report) -> None:
            failed = f", {len(report.failures)} failed" if report.failures else ""
            progress.update(
                task, total=report.planned, completed=len(report.checks), description=f"Checking{failed}"
            )

        yield on_check


def _write(report: Report, out: Output, *, markdown: bool) -> None:
    if out.as_json:
        out.json(report.as_dict())
    elif markdown:
        out.text(report.markdown())
    else:
        _write_page(report, out)


def _write_page(report: Report, out: Output) -> None:
    table = Table("section", "level", box=None, pad_edge=False)
    for title in ("checks", "passed", "skipped"):
        table.add_column(title, justify="right")
    table.add_column("result")
    section = None
    for row in report.rows():
        name = "" if row.section == section else row.section
        section = row.section
        passed, failed = row.counts.get("passed", 0), row.counts.get("failed", 0)
        counts = map(str, (row.checks, passed, row.checks - passed - failed))
        table.add_row(name, row.level, *counts, row.verdict, style=_STYLES[row.verdict])
    out.console.print(table)
    for group in report.groups():
        _write_group(group, out)
    for check in report.checks:
        if check.outcome == "not shown":
            out.text(f"\nnot shown: {check.id} ({check.level}; {check.section})\n    {check.message}")
    out.text(f"\n{report.summary()}")


def _write_group(group: Group, out: Output) -> None:
    first, *others = group.checks
    lines = first.message.strip().splitlines()
    more = [f"… {len(lines) - _SHOWN_LINES} more lines, see --json"] if len(lines) > _SHOWN_LINES else []
    text = "".join(f"\n    {line}" for line in [*lines[:_SHOWN_LINES], *more])
    out.text(f"\nfailed: {first.id} ({first.level}; {first.section}){text}")
    if others:
        names = [other.id for other in others[:_SHOWN_NAMES]] + ["…"] * (len(others) > _SHOWN_NAMES)
        out.text(f"    likewise {len(others):,} more: {', '.join(names)}")
    out.text(f"    docs/custom-backend.md, step {group.step}")
