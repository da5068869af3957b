"""The command effects: what nobody knows about other systems, and what an operator decides."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from ad_seller.storage import Applied, NotApplied, OpenEffect, StorageBackend, redact

from .output import Output, printable
from .running import CommandError, Exit, with_store

commands = typer.Typer()


class Action(StrEnum):
    """What is done."""

    show = "list"
    resolve = "resolve"


@commands.command()
@with_store
async def effects(
    store: StorageBackend,
    out: Output,
    action: Annotated[Action, typer.Argument(metavar="[list|resolve]", help="What to do.")] = Action.show,
    scope: Annotated[str | None, typer.Argument(help="As the list shows it.")] = None,
    name: Annotated[str | None, typer.Argument(help="As the list shows it.")] = None,
    applied: Annotated[
        str | None, typer.Option("--applied", metavar="JSON", help="It was made; the result for the next try.")
    ] = None,
    not_applied: Annotated[
        bool, typer.Option("--not-applied", help="It was not made, and will not be; the next try makes it.")
    ] = False,
) -> int:
    """Show the effects in other systems of which nobody knows whether they were made, and decide about one.

    Oldest first. What is running is shown, too, and cannot be decided meanwhile. After resolve the next try of the
    request goes on from there.
    """
    if action is Action.show:
        async with store:
            found = await store.open_effects()
        _show(found, out)
        return Exit.OK
    if scope is None or name is None or (applied is None) is not not_applied:
        raise CommandError(
            "resolve needs SCOPE, NAME and one of --applied JSON and --not-applied.",
            hint="`ad-seller-storage effects` shows scope and name; ask the other system about the id.",
        )
    outcome = NotApplied() if applied is None else Applied(_parsed(applied))
    async with store:
        if not await store.resolve_effect(scope, name, outcome):
            out.note(f"not found: {scope!r} {name!r}")
            return Exit.NOT_FOUND
    out.note("decided")
    return Exit.OK


def _show(found: list[OpenEffect], out: Output) -> None:
    if out.as_json:
        out.json([_as_dict(effect) for effect in found])
        return
    for effect in found:
        state = "running" if effect.is_running else "unknown"
        began = effect.began.isoformat(timespec="seconds")
        for part in (effect.scope, effect.name, effect.effect_id, began, f"{state}, tries: {effect.tries}"):
            out.key(part, end="\t")
        out.text(printable(redact(effect.said or "")))
    out.note(f"{len(found)} effects are open" if found else "No effect is open.")


def _as_dict(effect: OpenEffect) -> dict[str, Any]:
    return {
        "scope": effect.scope,
        "name": effect.name,
        "effect_id": effect.effect_id,
        "began": effect.began.isoformat(),
        "tries": effect.tries,
        "is_running": effect.is_running,
        "said": None if effect.said is None else redact(effect.said),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"--applied is not JSON: {error}", hint="For a text quote it: --applied '\"order-7\"'."
        ) from None
