"""The command `replay`: a recorded day of a seller agent, applied to a store and compared with the recording."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from ad_seller.storage import StorageBackend, StorageError

from .output import Output
from .recording import Operation, open_recording
from .report import Report
from .running import CommandError, Exit, diagnose, interruptible, with_new_store

commands = typer.Typer()


@commands.command()
@with_new_store
async def replay(
    store: StorageBackend,
    out: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, also with gzip; - is standard input.")],
    force: Annotated[bool, typer.Option("--force", help="Also on a store that is not empty.")] = False,
) -> int:
    """Apply a recording to an empty store, and compare what it answers with what the recording saw.

    Every line is checked before the first one is applied. The entries stay in the store.
    """
    with open_recording(file) as recording:
        with interruptible():
            report = Report(total=sum(1 for _ in recording.operations()))
        async with store:
            if not force:
                await _refuse_unless_empty(store)
            try:
                with closing(_shown(recording.operations(), report.total)) as operations:
                    await _apply_all(store, operations, report)
            finally:
                report.write(out)
    return Exit.NOT_FOUND if report.mismatches else Exit.OK


async def _refuse_unless_empty(store: StorageBackend) -> None:
    if entries := await store.count():
        raise CommandError(
            f"The store holds {entries:,} entries. A replay writes to it, and they would answer in its place.",
            hint="Name an empty store, e.g. --url sqlite:///./replay.db, or add --force.",
        )


async def _apply_all(store: StorageBackend, operations: Iterable[Operation], report: Report) -> None:
    """Apply the operations in order, and count them in the report."""
    started = time.perf_counter()
    try:
        for operation in operations:
            before = time.perf_counter()
            answer = await _apply(store, operation)
            report.add(operation, answer, time.perf_counter() - before)
    except CommandError as error:
        report.error = str(error)
        raise
    finally:
        report.seconds = time.perf_counter() - started


async def _apply(store: StorageBackend, operation: Operation) -> bool | int | None:
    """Apply one operation, and return what a recording would have seen; an error names the line."""
    try:
        return await _answer(store, operation)
    except StorageError as error:
        where = f"Line {operation.line} of the recording, {operation.kind} {operation.key!r}"
        code, hint = diagnose(error)
        raise CommandError(f"{where}: {error}", hint=hint, code=code) from error


async def _answer(store: StorageBackend, operation: Operation) -> bool | int | None:
    match operation.kind:
        case "get":
            return await store.get(operation.key) is not None
        case "delete":
            return await store.delete(operation.key)
        case "keys":
            return len(await store.keys(operation.key))
        case _:
            await store.set(operation.key, operation.value, ttl=operation.ttl)
            return None


def _shown(operations: Iterable[Operation], total: int) -> Generator[Operation, None, None]:
    """Pass the operations on, with a progress bar if somebody is there to see it."""
    if sys.stderr.isatty():
        console = Console(stderr=True)
        operations = track(operations, "Replaying", total=total, console=console, transient=True)
    yield from operations
