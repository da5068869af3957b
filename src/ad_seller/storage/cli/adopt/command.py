"""The command `adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..output import Output
from ..running import AsJson, Choices, CommandError, Exit, Url, guarded
from .checkout import find_checkout
from .data import look
from .page import as_dict, write_page
from .plan import Plan, make_plan
from .tree import uncommitted
from .writing import UNDO, apply, state_of, undo

commands = typer.Typer()


@commands.command()
def adopt(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The agent's checkout.")],
    write: Annotated[bool, typer.Option("--apply", help="Write the changes that are shown.")] = False,
    take_back: Annotated[
        bool, typer.Option("--undo", help="Put every file back as it was, byte for byte.")
    ] = False,
    dirty: Annotated[
        bool,
        typer.Option("--dirty", help="Also where these files have uncommitted changes, or were changed since."),
    ] = False,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Replace this edited file too; what it has more is lost. 'all' for each."
        ),
    ] = None,
    requirement: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="How the dependency is written, e.g. 'ad-seller-storage @ file:///…'."),
    ] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Look at what the store holds.")] = True,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what moving an agent's checkout to this package takes; write it, or take it back.

    Without --apply and --undo nothing is changed. The data is only read, whatever is given: the store of --url, or
    that of the environment and the agent's .env.
    """
    chosen = context.ensure_object(Choices)
    url = chosen.url if url is None else url
    out = Output(as_json=as_json or chosen.as_json)

    def work() -> int:
        if write and take_back:
            raise CommandError("--apply and --undo exclude each other.", hint="Give one of them.")
        if take_back:
            return _take_back(directory, out, dirty=dirty)
        plan = make_plan(directory, replace=set(replace or ()), requirement=requirement)
        if write:
            _write(plan, dirty=dirty)
        census = look(plan.checkout.root, url) if data else None
        state = state_of(plan.checkout.root)
        following = _following(plan, state)
        if out.as_json:
            out.json(as_dict(plan, census, state, following))
        else:
            write_page(plan, census, out, following)
        return Exit.OK

    raise typer.Exit(guarded(work))


def _write(plan: Plan, *, dirty: bool) -> None:
    root = plan.checkout.root
    if not plan.changes and not plan.edited:
        return
    if (root / UNDO).exists():
        raise CommandError(
            f"{UNDO} is there: this checkout was adopted, or an --apply was interrupted.",
            hint="adopt DIRECTORY --undo puts everything back; remove the file to keep what is there.",
        )
    if plan.edited:
        lines = "".join(f"\n  {file.path.name}: {reason}" for file in plan.edited for reason in file.reasons)
        raise CommandError(
            f"Storage files that hold more than this package, or other things; nothing was changed:{lines}",
            hint="Move what is the agent's own into a module of another name, or give --replace FILE to lose it.",
        )
    changed = [] if dirty else uncommitted(root, [change.path for change in plan.changes])
    if changed:
        raise CommandError(
            f"These files have uncommitted changes, or are not in git: {', '.join(changed)}. Nothing was changed.",
            hint="Commit them first, or give --dirty.",
        )
    apply(root, plan.changes)


def _take_back(directory: Path, out: Output, *, dirty: bool) -> int:
    root = find_checkout(directory).root
    names = undo(root, dirty=dirty)
    if out.as_json:
        out.json({"directory": str(root), "put_back": names})
    else:
        out.text("".join(f"{name}\n" for name in names) + f"{len(names)} files are as they were before --apply.")
    return Exit.OK


def _following(plan: Plan, state: str | None) -> str:
    root = plan.checkout.root
    if state == "unfinished":
        return f"an --apply or --undo was interrupted: ad-seller-storage adopt {root} --undo"
    if state == "applied":
        return (
            "install the agent's dependencies, run its tests, look at the places above. "
            f"{UNDO} holds what the way back needs: ad-seller-storage adopt {root} --undo"
        )
    if plan.edited:
        return "look at the edited storage files: --apply stops at them"
    if not plan.changes:
        return (
            "nothing to write, this checkout was adopted already; docs/moving-in.md goes on with the places above"
        )
    return f"ad-seller-storage adopt {root} --apply"
