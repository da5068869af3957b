"""The program: its global options, and the groups of commands put together."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated

import typer

from ..cli import (
    PROGRAM,
    adopt,
    backups,
    conform,
    demo,
    doctor,
    effects,
    entries,
    exports,
    follow,
    health,
    listing,
    moving,
    outbox,
    repair,
    replay,
    retention,
    takeover,
    views,
)
from .running import AsJson, Choices, CommandError, Exit, Namespace, Url, guarded, interruptible

EPILOG = (
    "Exit codes: 0 done or found, 1 not found (take-over, replay: something differs, conform: a check failed), "
    "2 wrong usage, 3 the store cannot be reached or refuses, 4 a corrupt value or another failure, "
    "130 interrupted, 141 the reader of the output went away."
)

app = typer.Typer(
    name=PROGRAM,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for group in (
    entries,
    listing,
    exports,
    moving,
    backups,
    follow,
    outbox,
    repair,
    effects,
    takeover,
    replay,
    demo,
    conform,
    adopt,
    doctor,
    health,
    views,
    retention,
):
    app.add_typer(group.commands)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    url: Url = None,
    namespace: Namespace = None,
    as_json: AsJson = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Look into the store of an ad seller agent, and change it.

    The store comes from --url, or else from the environment or .env: STORAGE_TYPE, DATABASE_URL, REDIS_URL.
    --namespace shows the entries of one publisher.
    Data goes to standard output, everything else to standard error.
    """
    context.obj = Choices(url, as_json, namespace)


def start(arguments: list[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # JSON is UTF-8 in every locale, and \ud800 is how it writes that
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.set_int_max_str_digits(0)  # values hold ints of any size
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    with _terminable():
        raise SystemExit(guarded(lambda: _run(arguments, as_json=as_json), as_json=as_json))


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM and SIGHUP do first what Ctrl-C does, then end all: half a file goes, a lease is given back."""
    told: int | None = None

    def tell(number: int, _: object) -> None:
        nonlocal told
        told = number
        signal.raise_signal(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background: nothing would end it
        yield
        return
    heard = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]  # nohup
    before = [(each, signal.signal(each, tell)) for each in heard]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
        if told is not None:
            signal.raise_signal(told)


def _run(arguments: list[str] | None, *, as_json: bool = False) -> int:
    with interruptible():  # until here and from then on Ctrl-C ends the program at once
        try:
            code: int = app(arguments, prog_name=PROGRAM, standalone_mode=not as_json)
        except SystemExit as end:  # typer takes a Ctrl-C while it reads the arguments, and says nothing
            if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        except Exception as error:  # typer shows wrong usage to people only
            if (told := getattr(error, "format_message", None)) is None:  # of click, or of typer's copy of it
                raise
            raise CommandError(told(), hint=f"`{PROGRAM} COMMAND --help` shows what is accepted.") from error
        if code == Exit.INTERRUPTED and not isinstance(code, Exit):  # typer's number of a Ctrl-C, likewise
            raise KeyboardInterrupt
    return code
