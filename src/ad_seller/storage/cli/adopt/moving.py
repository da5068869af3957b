"""What the command does: look, write, take back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..output import Output
from ..running import CommandError, Exit
from .checkout import find_checkout
from .data import look
from .page import as_dict, write_page
from .plan import Plan, make_plan
from .tree import uncommitted
from .writing import UNDO, apply, state_of, undo


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for.

    Attributes:
        write: write the changes.
        dirty: also where files have uncommitted changes.
        replace: edited storage files that are replaced all the same.
        requirement: how the dependency is written.
        data: look at the store.
        url: the store; None for the one of the settings.
    """

    write: bool
    dirty: bool
    replace: frozenset[str]
    requirement: str | None
    data: bool
    url: str | None


def move(directory: Path, wishes: Wishes, out: Output) -> int:
    """Show what moving takes; write it, if that is wanted."""
    plan = make_plan(directory, replace=set(wishes.replace), requirement=wishes.requirement)
    if wishes.write:
        _write(plan, dirty=wishes.dirty)
    census = look(plan.checkout.root, wishes.url) if wishes.data else None
    state = state_of(plan.checkout.root)
    following = _following(plan, state)
    if out.as_json:
        out.json(as_dict(plan, census, state, following))
    else:
        write_page(plan, census, out, following)
    return Exit.OK


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


def take_back(directory: Path, out: Output, *, dirty: bool) -> int:
    """Put every file back as it was."""
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
