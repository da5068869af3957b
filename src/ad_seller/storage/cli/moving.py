"""The commands `copy` and `verify`: from one store to another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer

from ad_seller.storage import MissingStoreError, StorageBackend, StorageError, open_url, operations, redact

from .exports import Keep, Prefix, Replace, chosen
from .output import Output, compact, printable
from .progress import going_on, is_watched, progress_bar
from .running import Choices, Exit, open_store, without_store

commands = typer.Typer()

CHECKPOINT = "ad-seller-copy.json"

From = Annotated[
    str, typer.Argument(metavar="FROM", help="A URL or path, or - for the store of the environment and .env.")
]
To = Annotated[str, typer.Argument(metavar="TO", help="Another one, likewise.")]

_SAID = {"missing": "missing in TO", "more": "only in TO", "value": "other value", "expiry": "other expiry"}


@commands.command()
@without_store
async def copy(
    out: Output,
    source: From,
    target: To,
    prefix: Prefix = "",
    keep: Keep = False,
    replace: Replace = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; write nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a copy that was interrupted.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Repair what has changed since the copy; TO becomes equal to FROM.")
    ] = False,
    final: Annotated[
        bool,
        typer.Option("--final", help="FROM is not written any more: if nothing differs, the move is over."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="--again also after --final: what is newer in TO is lost.")
    ] = False,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="FILE", help="Says how far the copy has come.")
    ] = CHECKPOINT,
) -> int:
    """Copy all entries from one store to another, then compare both; exit code 4 if they differ.

    Agents may use FROM meanwhile; what they change is repaired by --again. Stop them before you run it for the last
    time, with --final.
    """
    existing = chosen(keep=keep, replace=replace)
    async with AsyncExitStack() as stack:
        one, other = await _opened(stack, source), _named(target, create=not dry_run)
        if dry_run:
            other = await _as_if_there(stack, out, other)
        total = await operations.estimate(one, prefix) if is_watched() else None
        how = f"What was copied stays. `{'--again' if again else '--resume'}` goes on from there."
        with progress_bar("Copying", total) as advance, going_on(out, advance, how):
            done = await operations.copy_entries(
                one,
                other,
                prefix=prefix,
                existing=existing,
                checkpoint=checkpoint,
                resume=resume,
                again=again,
                final=final,
                force=force,
                dry_run=dry_run,
                on_refused=lambda key, error: _refused(out, key, error),
                progress=advance,
                connect=not dry_run,
            )
    facts = {"stored": done.stored, "deleted": done.deleted, "refused": done.refused, "passes": done.passes}
    if not out.as_json:
        out.note(f"{done.stored:,} entries stored, {done.deleted:,} removed, {done.refused:,} refused.")
    code = _told(out, done.verified, facts)
    if final and code is Exit.OK:
        out.note("The move is finished: start what used FROM with the settings of TO.")
    elif final:
        first = "change or delete in FROM what TO refuses" if done.refused else "stop all that writes to FROM"
        out.note(f"The move is not finished: {first}, and run this again.")
    return code


@commands.command()
@without_store
async def verify(out: Output, source: From, target: To, prefix: Prefix = "") -> int:
    """Compare two stores: keys, values and expiries; exit code 4 if they differ. Nothing is written."""
    async with AsyncExitStack() as stack:
        one, other = await _opened(stack, source), await _opened(stack, target)
        with progress_bar("Comparing", await operations.estimate(one, prefix) if is_watched() else None) as advance:
            found = await operations.verify(one, other, prefix=prefix, progress=advance)
    return _told(out, found, {})


async def _opened(stack: AsyncExitStack, url: str) -> StorageBackend:
    return await stack.enter_async_context(operations.opened_as_it_is(_named(url, create=False)))


def _named(url: str, *, create: bool) -> StorageBackend:
    return open_store(Choices(None if url == "-" else url), create=create)


async def _as_if_there(stack: AsyncExitStack, out: Output, target: StorageBackend) -> StorageBackend:
    """Return the target of a dry run, connected; where it is not there yet, an empty store."""
    try:
        return await stack.enter_async_context(operations.opened_as_it_is(target))
    except MissingStoreError:
        out.note("TO is not there yet; the copy would make it.")
        return await stack.enter_async_context(open_url("memory://"))


def _refused(out: Output, key: str, error: StorageError) -> None:
    out.note(printable(redact(f"refused: {key}: {error}")))


def _told(out: Output, found: operations.Verified, facts: dict[str, Any]) -> Exit:
    """Write what differs, and return the exit code."""
    if out.as_json:
        differences = {kind: {"count": count, "keys": found.named[kind]} for kind, count in found.counts.items()}
        out.text(compact({**facts, "compared": found.compared, "faults": found.faults, "differences": differences}))
        return Exit.FAILED if found.faults else Exit.OK
    for kind, keys in found.named.items():
        for key in keys:
            out.text(f"{_SAID[kind]}\t", end="")
            out.key(key)
        if found.counts[kind] > len(keys):
            out.note(f"... and {found.counts[kind] - len(keys):,} more: {_SAID[kind]}")
    out.note(f"{found.compared:,} entries compared, {found.faults:,} differ.")
    return Exit.FAILED if found.faults else Exit.OK
