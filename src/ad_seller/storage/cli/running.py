"""What surrounds every command: which store, the event loop, and errors as messages and exit codes."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial, wraps
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from ad_seller.storage import (
    CheckpointError,
    ConfigurationError,
    ConflictError,
    CorruptValueError,
    DamagedExportError,
    InvalidArgumentError,
    LeaseHeldError,
    LeaseLostError,
    LogGapError,
    MissingDependencyError,
    MissingStoreError,
    NamespacedBackend,
    NotEmptyError,
    StorageBackend,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    UnknownOutcomeError,
    UnsupportedError,
    get_storage_backend,
    open_url,
    redact,
)

from .output import Output, compact

Command = Callable[..., Coroutine[Any, Any, int]]

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The store: sqlite:///file.db, redis://host:6379/0, memory:// or a path. "
        "Other users see it in the list of processes: keep passwords in the environment.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", metavar="NAME", help="Only the entries of this publisher; see docs/namespaces.md."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    NOT_FOUND = 1
    USAGE = 2
    UNAVAILABLE = 3
    FAILED = 4
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
    PIPE = 141  # 128 + SIGPIPE: what `cat` leaves with


@dataclass(frozen=True, slots=True)
class Choices:
    """The global options.

    Attributes:
        url: the store; None for the one of the environment.
        as_json: write JSON.
        namespace: the publisher whose entries count; None for what the URL or the environment says.
    """

    url: str | None = None
    as_json: bool = False
    namespace: str | None = None


class CommandError(Exception):
    """A command cannot go on; the message and the hint say why and what to do.

    Attributes:
        hint: the next step.
        code: the exit code.
    """

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.USAGE) -> None:
        """Keep the message, the hint and the exit code."""
        super().__init__(message)
        self.hint = hint
        self.code = code


_NAME_A_STORE = (
    "Name the store with --url, e.g. --url sqlite:///./ad_seller.db or --url redis://localhost:6379/0, "
    "or set STORAGE_TYPE, DATABASE_URL and REDIS_URL."
)
_REACH_IT = "Check that the store is there and that --url (or DATABASE_URL, REDIS_URL) names it, then try again."

#: The exit code and the next step of each error, "" where its message says it; the first line that fits counts.
_ERRORS: tuple[tuple[type[Exception], Exit, str], ...] = (
    (MissingDependencyError, Exit.USAGE, ""),
    (ConfigurationError, Exit.USAGE, _NAME_A_STORE),
    (NotEmptyError, Exit.USAGE, "Choose --keep or --replace."),
    (CheckpointError, Exit.USAGE, ""),
    (InvalidArgumentError, Exit.USAGE, "`ad-seller-storage COMMAND --help` shows what is accepted."),
    (MissingStoreError, Exit.NOT_FOUND, "`ad-seller-storage set` makes a new store; so do `import` and `copy`."),
    (StorageConnectionError, Exit.UNAVAILABLE, _REACH_IT),
    (StorageTimeoutError, Exit.UNAVAILABLE, "Nothing was written. Check the load of the server, then try again."),
    (UnknownOutcomeError, Exit.UNAVAILABLE, "Look with `ad-seller-storage get KEY` before writing again."),
    (StoreUnavailableError, Exit.UNAVAILABLE, "Check permissions, free space and the health of the store."),
    (DamagedExportError, Exit.FAILED, ""),
    (LogGapError, Exit.FAILED, "`--all` begins with the oldest that is left."),
    (CorruptValueError, Exit.FAILED, "`ad-seller-storage repair --dry-run` names what cannot be read."),
    (LeaseHeldError, Exit.FAILED, "Wait for the other one to end; if it was killed, its lease soon does."),
    (LeaseLostError, Exit.FAILED, "Others may have begun the same meanwhile. What was done stays; run it again."),
    (ConflictError, Exit.FAILED, "Others changed the same entries each time. Run it again."),
    (UnsupportedError, Exit.FAILED, "Name another store with --url, or do it another way: docs/cli.md."),
    (StorageError, Exit.FAILED, "`ad-seller-storage doctor` looks at what may be wrong with the store."),
)


def with_store(command: Command) -> Callable[..., None]:
    """Make a typer command of ``async def command(store, out, ...) -> exit code``, for a store that is there.

    The command gets the options ``--url``, ``--namespace`` and ``--json`` besides its own. The store is not
    connected yet, so that arguments can be checked before anything is opened.
    """
    return _with(command, partial(open_store, create=False))


def with_new_store(command: Command) -> Callable[..., None]:
    """Like `with_store`, but a store that is not there is made."""
    return _with(command, partial(open_store, create=True))


def with_choices(command: Command) -> Callable[..., None]:
    """Like `with_store`, but the command gets the `Choices`, and opens the store by itself."""
    return _with(command, lambda chosen: chosen)


def _with(command: Command, make: Callable[[Choices], Any]) -> Callable[..., None]:
    _, _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(
        *, context: typer.Context, url: str | None, namespace: str | None, as_json: bool, **arguments: Any
    ) -> None:
        before = context.ensure_object(Choices)
        chosen = Choices(
            before.url if url is None else url,
            as_json or before.as_json,
            before.namespace if namespace is None else namespace,
        )
        out = Output(as_json=chosen.as_json)

        async def on_store() -> int:
            return await command(make(chosen), out, **arguments)

        raise typer.Exit(guarded(lambda: asyncio.run(on_store()), as_json=out.as_json))

    run.__signature__ = inspect.Signature([*(p.replace(kind=Parameter.KEYWORD_ONLY) for p in own), *_ADDED])  # type: ignore[attr-defined]
    run.__annotations__ = {}  # typer is to read the signature
    return run


def without_store(command: Callable[..., Coroutine[Any, Any, int]]) -> Callable[..., None]:
    """Make a typer command of ``async def command(out, ...) -> exit code``, which opens stores itself."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(*, context: typer.Context, as_json: bool, **arguments: Any) -> None:
        out = Output(as_json=as_json or context.ensure_object(Choices).as_json)
        raise typer.Exit(guarded(lambda: asyncio.run(command(out, **arguments)), as_json=out.as_json))

    added = [each for each in _ADDED if each.name not in ("url", "namespace")]
    run.__signature__ = inspect.Signature([*(p.replace(kind=Parameter.KEYWORD_ONLY) for p in own), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


_ADDED = (
    Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
    Parameter("url", Parameter.KEYWORD_ONLY, annotation=Url, default=None),
    Parameter("namespace", Parameter.KEYWORD_ONLY, annotation=Namespace, default=None),
    Parameter("as_json", Parameter.KEYWORD_ONLY, annotation=AsJson, default=False),
)


def open_store(chosen: Choices, *, create: bool) -> StorageBackend:
    """Return the store of ``--url``, or of the settings, or a namespace of it; not connected yet."""
    if chosen.url is None:
        return get_storage_backend(create=create, namespace=chosen.namespace)
    return open_url(chosen.url, create=create, namespace=chosen.namespace)


def open_whole(chosen: Choices, *, create: bool) -> StorageBackend:
    """Return the store with all that is in it, whatever namespace the settings name; not connected yet.

    Raises:
        CommandError: a namespace was asked for.
    """
    if chosen.namespace is not None:
        raise CommandError("This is done to a store as a whole.", hint="Leave --namespace out.")
    store = open_store(chosen, create=create)
    while isinstance(store, NamespacedBackend):
        store = store.backend
    return store


def file_to_read(path: str, hint: str) -> str:
    """Return the name of a file that a command is to read.

    Raises:
        CommandError: there is none; ``hint`` says what it should be.
    """
    if not Path(path).exists():
        raise CommandError(f"There is no file {path!r}.", hint=hint)
    if Path(path).is_dir():
        raise CommandError(f"{path!r} is a folder.", hint=hint)
    return path


def guarded(work: Callable[[], int], *, as_json: bool = False) -> int:
    """Do the work and return its exit code; what goes wrong becomes a message on standard error."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_output()
        return Exit.PIPE
    except KeyboardInterrupt:
        said = "Interrupted.", "", Exit.INTERRUPTED
    except CommandError as error:
        said = str(error), error.hint, error.code
    except StorageError as error:
        code, hint = diagnose(error)
        said = str(error), hint, code
    except OSError as error:
        _drop_output()
        hint = "Check where the data comes from and goes."
        said = f"Reading or writing failed: {error}", hint, Exit.FAILED
    except Exception:
        said = f"This is a bug, please report it.\n{traceback.format_exc()}", "", Exit.FAILED
    return explain(*said, as_json=as_json)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end blocking work at once; inside an event loop Python would only note it."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as it is for a job in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def diagnose(error: StorageError) -> tuple[Exit, str]:
    """Return the exit code and the next step of an error of the store."""
    return next((code, hint) for kind, code, hint in _ERRORS if isinstance(error, kind))


def explain(message: str, hint: str, code: Exit, *, as_json: bool = False) -> Exit:
    """Write an error and the next step to standard error, without passwords; return ``code``."""
    message, hint = redact(message), redact(hint)
    if as_json:
        sys.stderr.write(compact({"error": message, "hint": hint, "exit_code": int(code)}) + "\n")
    else:
        sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    return code


def _drop_output() -> None:
    """Send what is still buffered nowhere, or Python complains about it at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
