"""The command `adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..output import Output
from ..running import AsJson, Choices, CommandError, Url, guarded

commands = typer.Typer()


@commands.command()
def adopt(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The agent's checkout.")],
    write: Annotated[bool, typer.Option("--apply", help="Write the changes that are shown.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put every file back as it was, byte for byte.")] = False,
    dirty: Annotated[
        bool,
        typer.Option("--dirty", help="Also where these files have uncommitted changes, or were changed since."),
    ] = False,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Replace this edited file too; what it has more is lost. 'all' for each."
        ),
    ] = None,
    requirement: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="How the dependency is written, e.g. 'ad-seller-storage @ file:///…'."),
    ] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Look at what the store holds.")] = True,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what moving an agent's checkout to this package takes; write it, or take it back.

    Without --apply and --undo nothing is changed. The data is only read, whatever is given: the store of --url, or
    that of the environment and the agent's .env.
    """
    chosen = context.ensure_object(Choices)
    url = chosen.url if url is None else url
    out = Output(as_json=as_json or chosen.as_json)

    def work() -> int:
        if write and undo:
            raise CommandError("--apply and --undo exclude each other.", hint="Give one of them.")
        from .moving import Wishes, move, take_back  # parses and compares; the other commands do without

        if undo:
            return take_back(directory, out, dirty=dirty)
        return move(directory, Wishes(write, dirty, frozenset(replace or ()), requirement, data, url), out)

    raise typer.Exit(guarded(work, as_json=out.as_json))
