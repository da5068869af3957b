"""The commands retention, hold and erase: what is removed when, what never, and what there is of one buyer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ad_seller.storage import StorageBackend, operations
from ad_seller.storage.operations import Erasure, Retained

from .output import Output, printable
from .running import CommandError, Exit, with_store

commands = typer.Typer()

T = TypeVar("T")

Apply = Annotated[bool, typer.Option("--apply", help="Do it; without, it is only counted.")]


@commands.command()
@with_store
async def retention(
    store: StorageBackend,
    out: Output,
    rules: Annotated[Path, typer.Argument(metavar="RULES", help="A TOML or JSON file with a list named rules.")],
    apply: Apply = False,
) -> int:
    """Remove what is older than its rule says, or beyond its number; without --apply it only counts.

    What a hold is over, and what open deals refer to, is kept. Exit code 1: a rule could not be applied.
    """
    wanted = _read(operations.read_rules, rules)
    done: list[Retained] = []
    async with store:
        async for each in operations.apply_retention(store, wanted, dry_run=not apply):
            done.append(each)
            if not out.as_json:
                _write_rule(each, apply, out)
    if out.as_json:
        out.json({"dry_run": not apply, "rules": [each.as_dict() for each in done]})
    elif not apply:
        out.note("Nothing was removed: this was a dry run. --apply does it.")
    return Exit.NOT_FOUND if any(each.problem for each in done) else Exit.OK


def _read(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except OSError as error:
        raise CommandError(
            f"{str(path)!r} cannot be read: {error.strerror}", hint="Name a TOML or JSON file."
        ) from error


@contextmanager
def _place_for(path: Path) -> Iterator[None]:
    """Make a file that is not there yet; it goes again if the block raises."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        hint = "Nothing was changed. Name a file that is not there yet, in a folder that is."
        raise CommandError(f"{str(path)!r} cannot be made: {error.strerror}", hint=hint) from error
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_report(done: Erasure, path: Path) -> None:
    try:
        path.write_text(json.dumps(done.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        where = "run it again" if done.dry_run else f"`ad-seller-storage get erasure:{done.id}` shows the report"
        raise CommandError(
            f"{str(path)!r} cannot be written: {error.strerror}", hint=f"Make room, then {where}.", code=Exit.FAILED
        ) from error


def _write_rule(each: Retained, applied: bool, out: Output) -> None:
    removed = f"{each.removed:,} removed of " if applied else ""
    out.text(f"{printable(each.rule)} ({printable(each.keys)}): {removed}{each.due:,} due, {each.seen:,} looked at")
    if each.oldest is not None:
        out.text(f"  the oldest: {printable(each.oldest[0])}, {each.oldest[1]}")
    for why, count in each.kept.items():
        names = f" by {', '.join(sorted(each.holds))}" if why == "held" else ""
        out.text(f"  kept, {why}{printable(names)}: {count:,}")
    if each.problem is not None:
        out.text(f"  not applied: {each.problem}")


@commands.command()
@with_store
async def hold(
    store: StorageBackend,
    out: Output,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the hold; without, all are listed.")
    ] = None,
    patterns: Annotated[list[str] | None, typer.Argument(metavar="[PATTERN...]", help="Globs of keys.")] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in every report.")] = "",
    release: Annotated[bool, typer.Option("--release", help="Take the hold back.")] = False,
) -> int:
    """Keep entries whatever rules say, and let them not expire; list the holds, or take one back."""
    async with store:
        if name is None:
            return await _list_holds(store, out)
        if release:
            return await _release(store, out, name)
        if not patterns or not reason:
            raise CommandError(
                "A hold needs patterns of keys, and a reason.", hint="hold NAME 'order:ORD-1' --reason TEXT"
            )
        kept = await operations.place_hold(store, name, patterns, reason=reason)
    if out.as_json:
        out.json({"hold": name, "would_have_expired": kept})
    else:
        out.note(f"held; would have expired: {kept:,}")
    return Exit.OK


async def _release(store: StorageBackend, out: Output, name: str) -> Exit:
    released = await operations.release_hold(store, name)
    if out.as_json:
        out.json({"hold": name, "released": released})
    elif released:
        out.note(f"released {name!r}; what it kept from expiring stays")
    else:
        out.note(f"not found: there is no hold {name!r}")
    return Exit.OK if released else Exit.NOT_FOUND


async def _list_holds(store: StorageBackend, out: Output) -> int:
    found = (await operations.holds_of(store)).all
    if out.as_json:
        out.json([each.as_dict() for each in found])
    for each in found if not out.as_json else ():
        parts = (each.name, " ".join(each.patterns), each.since, each.reason)
        out.text("\t".join(map(printable, parts)))
    return Exit.OK


@commands.command()
@with_store
async def erase(
    store: StorageBackend,
    out: Output,
    buyer: Annotated[list[str], typer.Argument(metavar="BUYER...", help="All ids under which the buyer is known.")],
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="A TOML or JSON file with a list named rules.")
    ] = None,
    apply: Apply = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the report here, too; it must not be there."),
    ] = None,
) -> int:
    """Delete, redact or keep what the store has of one buyer, by a declared map; without --apply it only counts.

    The report stays in the store under erasure:ID. Exit code 1: something is left, e.g. under a hold.
    """
    rules = operations.DEFAULT_MAP if map_file is None else _read(operations.read_map, map_file)
    with nullcontext() if report is None else _place_for(report):  # before anything is erased
        async with store:
            done = await operations.erase(store, buyer, rules=rules, dry_run=not apply)
        _write_erasure(done, out)
        if report is not None:
            _write_report(done, report)
    return Exit.OK if done.is_complete else Exit.NOT_FOUND


def _write_erasure(done: Erasure, out: Output) -> None:
    if out.as_json:
        out.json(done.as_dict())
        return
    for prefix, counts in done.counts.items():
        said: dict[str, Any] = {word: count for word, count in counts.items() if count}
        if said:
            why = f" ({done.reasons[prefix]})" if prefix in done.reasons else ""
            out.text(printable(f"{prefix} {', '.join(f'{count:,} {word}' for word, count in said.items())}{why}"))
    for word, keys in done.remaining.items():
        out.text(f"still there, {word}: {printable(', '.join(keys[:10]))}{', …' * (len(keys) > 10)}")
    if done.dry_run:
        out.note("Nothing was changed: this was a dry run. --apply does it.")
    else:
        out.note(f"The report is stored under erasure:{done.id}.")
