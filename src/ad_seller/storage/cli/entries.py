"""Commands on single entries: get, set, delete, exists, ttl."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from ad_seller.storage import MissingKeyError, StorageBackend

from .completion import complete_prefix
from .output import Output
from .running import CommandError, Exit, interruptible, with_new_store, with_store

commands = typer.Typer()

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="E.g. order:ORD-A1B2C3D4E5F6.", autocompletion=complete_prefix)
]
Keys = Annotated[
    list[str], typer.Argument(metavar="KEY...", help="One or more keys.", autocompletion=complete_prefix)
]


@commands.command()
@with_store
async def get(store: StorageBackend, out: Output, key: Key) -> int:
    """Print the value under KEY as JSON."""
    async with store:
        found = await store.get_many([key])  # unlike `get`, it tells a stored null from nothing
    if key not in found:
        return _missing(out, key)
    out.json(found[key])
    return Exit.OK


@commands.command("set", context_settings={"ignore_unknown_options": True})  # so that -5 is a value
@with_new_store
async def set_(
    store: StorageBackend,
    out: Output,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON; - reads standard input.")],
    ttl: Annotated[float | None, typer.Option("--ttl", metavar="SECONDS", help="Let it expire.")] = None,
    as_text: Annotated[bool, typer.Option("--string", help="Store VALUE as text, not as JSON.")] = False,
) -> int:
    """Store VALUE under KEY, in place of what was there and of its expiry."""
    text = _read_input() if value == "-" else value
    parsed = text if as_text else _parse(text)
    async with store:
        await store.set(key, parsed, ttl=_whole(ttl))
    if out.as_json:
        out.json({key: True})
    else:
        out.note(f"stored {key!r}")
    return Exit.OK


@commands.command()
@with_store
async def delete(store: StorageBackend, out: Output, keys: Keys) -> int:
    """Remove entries, and print the keys of those that were there."""
    async with store:
        return await _each(store.delete, keys, out)


@commands.command()
@with_store
async def exists(store: StorageBackend, out: Output, keys: Keys) -> int:
    """Print those of the keys that have an entry; exit code 1 if any has none."""
    async with store:
        return await _each(store.exists, keys, out)


@commands.command()
@with_store
async def ttl(store: StorageBackend, out: Output, key: Key) -> int:
    """Print the seconds that the entry under KEY has left; `never` (null in JSON) if it does not expire."""
    try:
        async with store:
            left = await store.ttl(key)
    except MissingKeyError:
        return _missing(out, key)
    if out.as_json:
        out.json(left)
    else:
        out.text("never" if left is None else f"{left:.3f}")
    return Exit.OK


async def _each(ask: Callable[[str], Coroutine[Any, Any, bool]], keys: list[str], out: Output) -> int:
    """Ask for every key, all at once, and write the answers."""
    wanted = list(dict.fromkeys(keys))
    answers = dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))
    if out.as_json:
        out.json(answers)
    else:
        for key in wanted:
            out.key(key) if answers[key] else _missing(out, key)
    return Exit.OK if all(answers.values()) else Exit.NOT_FOUND


def _missing(out: Output, key: str) -> Exit:
    out.note(f"not found: {key!r}")
    return Exit.NOT_FOUND


def _whole(ttl: float | None) -> Any:
    """Return whole seconds as int, which is what a backend of somebody else may insist on."""
    return int(ttl) if ttl is not None and ttl.is_integer() else ttl


def _read_input() -> str:
    try:
        with interruptible():
            return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise CommandError(f"Standard input is not UTF-8: {error}", hint="Convert it, e.g. with iconv.") from None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"VALUE is not JSON: {error}",
            hint='Quote JSON for the shell: ad-seller-storage set KEY \'{"status": "draft"}\', '
            "or add --string to store the text itself.",
        ) from None
