"""The commands `backup` and `restore`, for SQLite."""

from __future__ import annotations

from typing import Annotated

import typer

from ad_seller.storage import operations

from .output import Output, compact
from .progress import progress_bar
from .running import Choices, Exit, file_to_read, open_whole, with_choices

commands = typer.Typer()


@commands.command()
@with_choices
async def backup(
    chosen: Choices,
    out: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; what is there is replaced at the end.")],
) -> int:
    """Save a SQLite store into one file while agents use it.

    The file is looked through and is there as a whole or not at all. For PostgreSQL and Redis see docs/backup.md.
    """
    async with open_whole(chosen, create=False) as store:
        with progress_bar("Saving", None) as advance:
            done = await operations.backup(store, file, progress=advance.of)
    if out.as_json:
        out.text(compact({"entries": done.entries, "size": done.size}))
    else:
        out.note(f"{done.entries:,} entries saved, {done.size:,} bytes; looked through, nothing is damaged.")
    return Exit.OK


@commands.command()
@with_choices
async def restore(
    chosen: Choices,
    out: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What backup has written.")],
) -> int:
    """Put a backup in the place of a SQLite store; the file that was there is kept beside it.

    Stop the agents that use the store first.
    """
    source = file_to_read(file, "Name what `backup` wrote.")
    with progress_bar("Restoring", None) as advance:
        done = await operations.restore(open_whole(chosen, create=True), source, progress=advance.of)
    aside = None if done.aside is None else str(done.aside)
    if out.as_json:
        out.text(compact({"entries": done.entries, "aside": aside}))
    else:
        kept = f" What was there before is {aside!r}." if aside else ""
        out.note(f"{done.entries:,} entries restored.{kept}")
    return Exit.OK
