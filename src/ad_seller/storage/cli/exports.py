"""The commands `export` and `import`: a store as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ad_seller.storage import StorageBackend, StorageError, operations, redact

from .output import Output, compact, printable
from .progress import going_on, is_watched, progress_bar
from .running import CommandError, Exit, file_to_read, with_new_store, with_store

commands = typer.Typer()

Prefix = Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Only keys that begin with TEXT.")]
_KEEP = typer.Option("--keep", help="Where there is an entry already, it stays.")
_REPLACE = typer.Option("--replace", help="Where there is an entry already, it is replaced.")
_GO_ON = "What was imported stays. The same command with --keep or --replace goes on."
Keep = Annotated[bool, _KEEP]
Replace = Annotated[bool, _REPLACE]


@commands.command("export")
@with_store
async def export_(
    store: StorageBackend,
    out: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="With gzip if it ends in .gz; - is standard output.")],
    prefix: Prefix = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out values that cannot be read.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where FILE is there already; it is replaced.")
    ] = False,
) -> int:
    """Write all entries as JSON lines, with the time at which each expires, and a digest at the end.

    Agents may use the store meanwhile. The file is there as a whole or not at all. Exit code 4 if values were left
    out.
    """
    to: str | BinaryIO = sys.stdout.buffer if file == "-" else _new_file(file, force=force)
    async with operations.opened_as_it_is(store) as store:
        with progress_bar(
            "Exporting", await operations.estimate(store, prefix) if is_watched() else None
        ) as advance:
            done = await operations.export_entries(
                store, to, prefix=prefix, on_corrupt=_noted(out) if skip_bad else None, progress=advance
            )
    facts = {"count": done.count, "digest": f"sha256:{done.digest}", "left_out": done.left_out}
    if out.as_json and file != "-":
        out.text(compact(facts))
    else:
        out.note(f"{done.count:,} entries written, {done.left_out:,} left out; sha256:{done.digest}")
    return Exit.FAILED if done.left_out else Exit.OK


@commands.command("import")
@with_new_store
async def import_(
    store: StorageBackend,
    out: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What export wrote; - is standard input.")],
    prefix: Prefix = "",
    keep: Keep = False,
    replace: Replace = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be used.")] = False,
) -> int:
    """Store what an export holds, with the time at which each entry expires.

    A file is looked through first: if a line is bad, nothing is stored. After an interruption run it again with
    --keep or --replace. Exit code 4 if lines were left out.
    """
    source = standard_input() if file == "-" else file_to_read(file, "Name what `export` wrote, or - for a pipe.")
    existing = chosen(keep=keep, replace=replace)
    with progress_bar("Importing", None) as advance, going_on(out, advance, _GO_ON):
        done = await operations.import_entries(
            store,
            source,
            prefix=prefix,
            existing=existing,
            on_bad_line=_noted_line(out) if skip_bad else None,
            progress=advance,
            connect=True,
        )
    facts = {"stored": done.stored, "kept": done.kept, "expired": done.expired, "bad": done.bad}
    if out.as_json:
        out.text(compact(facts))
    else:
        out.note(
            f"{done.stored:,} stored, {done.kept:,} kept, {done.expired:,} had expired, {done.bad:,} bad lines"
        )
    return Exit.FAILED if done.bad else Exit.OK


def standard_input() -> BinaryIO:
    """Return standard input as a stream of its own: a thread may wait for it when the interpreter ends.

    With `sys.stdin` that is a fatal error, as its lock is taken then (https://bugs.python.org/issue42717).
    """
    return open(sys.stdin.fileno(), "rb", closefd=False)


def chosen(*, keep: bool, replace: bool) -> operations.Existing | None:
    """Return what wins where both stores have an entry."""
    if keep and replace:
        raise CommandError("--keep and --replace contradict each other.", hint="Choose one.")
    return "keep" if keep else "replace" if replace else None


def _noted(out: Output) -> Callable[[StorageError], None]:
    return lambda error: out.note(printable(redact(str(error))))


def _noted_line(out: Output) -> Callable[[operations.BadLine], None]:
    return lambda line: out.note(printable(redact(f"line {line.number}: {line.reason}")))


def _new_file(path: str, *, force: bool) -> str:
    """Return the name of a file that a command is to make.

    Raises:
        CommandError: there is one, and ``force`` is not set.
    """
    if not force and Path(path).is_file():
        raise CommandError(f"There is a file {path!r} already.", hint="Name another one, or add --force.")
    return path
