"""The command take-over: the PostgreSQL table of an older agent, once more."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .output import Output
from .running import Choices, CommandError, Exit, open_whole, with_choices

commands = typer.Typer()


@commands.command("take-over")
@with_choices
async def take_over(
    chosen: Choices,
    out: Output,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; nothing is written or made.")] = False,
) -> int:
    """Take what an older agent has written into kv_store since it was taken over; it can be run again.

    What only the older agent has written comes over. What both have written is listed, ours stays, and the exit
    code is 1. kv_store itself is never changed.
    """
    store = open_whole(chosen, create=not dry_run)
    side: Any = getattr(store, "postgres", store)  # hybrid keeps its records there
    if not hasattr(side, "take_over"):
        raise CommandError(
            f"There is nothing to take over: {store!r} uses the older agent's entries as they are.",
            hint="take-over is for STORAGE_TYPE postgres and hybrid; name one with --url postgresql://….",
        )
    async with side:
        found = await side.take_over(apply=not dry_run)
    if out.as_json:
        out.json({"first": found.first, "taken": found.taken, "differing": found.differing})
    else:
        _write(found, out, dry_run=dry_run)
    return Exit.NOT_FOUND if found.differing else Exit.OK


def _write(found: Any, out: Output, *, dry_run: bool) -> None:
    for said, keys in (("taken" if not dry_run else "newer", found.taken), ("differs", found.differing)):
        for key in keys:
            out.text(f"{said}\t", end="")
            out.key(key)
    if found.first is None:
        out.note("There is no table kv_store of an older agent.")
        return
    out.note(f"The first take-over: {found.first}.")
    verb = "would be taken" if dry_run else "taken"
    out.note(f"Since then: {len(found.taken)} {verb}; written by both: {len(found.differing)}.")
    if found.differing:
        out.note("hint: compare each with kv_store, `set` what it should be, and end the older tasks.")
