"""The command that follows a log."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ad_seller.storage import LogEntry, StorageBackend

from .listing import parse_filter
from .output import Output, compact
from .running import Exit, with_store

commands = typer.Typer()


@commands.command()
@with_store
async def follow(
    store: StorageBackend,
    out: Output,
    name: Annotated[str, typer.Argument(metavar="LOG", help="The name of a log, e.g. event.")],
    since: Annotated[
        str | None, typer.Option(metavar="C", help="Go on after the entry that came with this cursor (--json).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Begin with the oldest entry, not with now.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after N entries.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="FIELD=VALUE", help="Only such entries; repeatable.")
    ] = None,
) -> int:
    """Print the entries of a log as they come, one on a line, until Ctrl-C."""
    wanted = [parse_filter(text) for text in filters or []]
    log = store.log(name)
    begin = since if since is not None or everything else log.now()
    async with store:
        async for entry in log.follow(begin):
            if all(condition.matches(entry.value) for condition in wanted):
                _write(entry, out)
                limit = None if limit is None else limit - 1
                if limit == 0:
                    break
    return Exit.OK


def _write(entry: LogEntry, out: Output) -> None:
    if out.as_json:
        out.text(compact(entry._asdict()))
    else:
        out.key(entry.id, end="\t")
        out.coloured(compact(entry.value))
    sys.stdout.flush()
