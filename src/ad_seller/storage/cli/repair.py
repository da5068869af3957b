"""The command `repair`: values that cannot be read."""

from __future__ import annotations

from typing import Annotated

import typer

from ad_seller.storage import StorageBackend, operations, redact

from .listing import Pattern
from .output import Output, compact, printable
from .running import Exit, with_store

commands = typer.Typer()

_SAID = {
    "found": "cannot be read",
    "set aside": "was set aside",
    "nulls": "has null now where no number was",
    "changed": "was changed by somebody else meanwhile",
    "left": "was left as it is",
}


@commands.command()
@with_store
async def repair(
    store: StorageBackend,
    out: Output,
    pattern: Pattern = "*",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what cannot be read.")] = False,
    nulls: Annotated[
        bool,
        typer.Option("--nulls", help="Put null in place of NaN and infinite numbers, where that is enough."),
    ] = False,
) -> int:
    """Set values aside that cannot be read, under damaged:KEY with the reason; exit code 4 if some are left.

    Nothing is lost: the text stands there as it was, and the expiry is kept. Agents may use the store meanwhile.
    """
    done: list[operations.Repaired] = []
    async with store:
        async for each in operations.repair(store, pattern, dry_run=dry_run, nulls=nulls):
            done.append(each)
            if not out.as_json:
                _write(each, out)
    if out.as_json:
        out.text(compact({"items": [_as_dict(each) for each in done]}))
    else:
        out.note(f"{len(done)} of the values could not be read." if done else "Every value can be read.")
    return Exit.OK if all(each.is_readable for each in done) else Exit.FAILED


def _write(each: operations.Repaired, out: Output) -> None:
    out.key(each.key, end="\t")
    where = f" under {each.to}" if each.to else ""
    out.text(printable(redact(f"{_SAID[each.what]}{where}: {each.reason}")))


def _as_dict(each: operations.Repaired) -> dict[str, str | None]:
    return {"key": each.key, "what": each.what, "to": each.to, "reason": redact(each.reason)}
