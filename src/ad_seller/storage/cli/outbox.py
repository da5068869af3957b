"""The command for the operator of an outbox: what waits, what was set aside, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from ad_seller.storage import Outbox, StorageBackend

from .output import Output, compact
from .running import CommandError, Exit, with_store

commands = typer.Typer()

_PAGE = 500


class Action(StrEnum):
    """What is done."""

    SHOW = "show"
    RETRY = "retry"
    DROP = "drop"


@commands.command()
@with_store
async def outbox(
    store: StorageBackend,
    out: Output,
    action: Annotated[Action, typer.Argument(help="show, retry or drop.", metavar="show|retry|drop")],
    name: Annotated[str, typer.Argument(metavar="OUTBOX", help="The name of an outbox, e.g. webhooks.")],
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Messages that are set aside.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are set aside now.")] = False,
) -> int:
    """Print what waits and what was set aside; have that delivered again, or remove it for good."""
    async with store:
        box = store.outbox(name)
        if action is Action.SHOW:
            return await _show(box, out)
        return await _each(box, out, ids, everything, box.retry if action is Action.RETRY else box.drop)


async def _show(box: Outbox, out: Output) -> int:
    waiting = await box.waiting()
    if out.as_json:
        await out.array(_aside(box), f'{{"waiting":{waiting},"set_aside":[', lambda: "]}")
        return Exit.OK
    out.note(f"{waiting} waiting")
    async for record in _aside(box):
        out.key(record["id"], end="\t")
        out.key(str(record.get("error")), end="\t")
        out.coloured(compact(record.get("value")))
    return Exit.OK


async def _each(
    box: Outbox, out: Output, ids: list[str] | None, everything: bool, do: Callable[[str], Awaitable[bool]]
) -> int:
    if bool(ids) is everything:
        raise CommandError("Name messages, or take --all.", hint=f"`outbox show {box.name}` lists them.")
    wanted = list(ids or [])
    if everything:
        wanted = [record["id"] async for record in _aside(box)]
    code = Exit.OK
    for message_id in wanted:
        if await do(message_id):
            out.key(message_id)
        else:
            out.note(f"not found: {message_id!r} is not set aside.")
            code = Exit.NOT_FOUND
    return code


async def _aside(box: Outbox) -> AsyncIterator[dict[str, Any]]:
    """Yield the records of what was set aside, each with its id."""
    cursor: str | None = None
    while True:
        page = await box.set_aside(limit=_PAGE, cursor=cursor)
        for message_id, record in page.items:
            yield {"id": message_id, **(record if isinstance(record, dict) else {"value": record})}
        cursor = page.cursor
        if cursor is None:
            return
