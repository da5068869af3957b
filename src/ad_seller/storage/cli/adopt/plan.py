"""Everything that was found in a checkout, and the changes that move it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from ad_seller.storage import redact

from ..running import CommandError
from .checkout import Checkout, find_checkout
from .code import scan_code
from .edits import Change, in_pyproject, in_requirements, joining, names_us
from .files import StorageFile, judge_files
from .finding import Finding
from .texts import is_requirements, scan_texts

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
_NAME = re.compile(r"ad[-_.]seller[-_.]storage", re.IGNORECASE)
_EXTRAS = {"redis": ["redis"], "postgres": ["postgres"], "hybrid": ["redis", "postgres"]}


@dataclass(slots=True)
class Plan:
    """What moving takes.

    Attributes:
        checkout: the agent.
        files: those of its storage folder.
        changes: what ``--apply`` writes.
        findings: places to look at.
        notes: sentences about what the changes do not say.
    """

    checkout: Checkout
    files: list[StorageFile]
    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def edited(self) -> list[StorageFile]:
        """The files that stop ``--apply``."""
        return [file for file in self.files if file.verdict == "edited"]


def make_plan(directory: Path, *, replace: set[str], requirement: str | None) -> Plan:
    """Look at a checkout.

    Args:
        directory: where it is.
        replace: names of edited storage files that are replaced all the same.
        requirement: how the dependency is written; None for this version with the extras that the settings need.

    Raises:
        CommandError: there is no agent there; the requirement is none of this package.
    """
    if requirement is not None:
        _check_requirement(requirement)
    checkout = find_checkout(directory)
    plan = Plan(checkout, judge_files(checkout, replace))
    unknown = replace - {"all"} - {name for file in plan.files for name in (file.path.name, file.path.stem)}
    if unknown:
        raise CommandError(
            f"The storage folder has no {sorted(unknown)[0]!r}.", hint="--replace takes a file's name."
        )
    gone = [file.path for file in plan.files if file.verdict == "replaced"]
    findings, types = scan_texts(checkout)
    plan.findings = sorted([*scan_code(checkout, gone), *findings])
    plan.changes = [_removed(path) for path in gone]
    _join(plan)
    _depend(plan, requirement or _requirement(types))
    if requirement is not None:
        _check_that_it_counts(plan, requirement)
    return plan


def _check_requirement(text: str) -> None:
    if not text.isprintable() or not _NAME.search(text):
        raise CommandError(
            f"{text!r} is no requirement of ad-seller-storage.",
            hint="Write it as pip takes it, e.g. --requirement 'ad-seller-storage @ file:///wheels/it.whl'",
        )


def _check_that_it_counts(plan: Plan, requirement: str) -> None:
    """Refuse a requirement for a file that has another one already: it would be passed over."""
    for path in (plan.checkout.root / "pyproject.toml", *filter(is_requirements, plan.checkout.files())):
        source = path.read_bytes() if path.is_file() else b""
        if names_us(source) and requirement.encode() not in source:
            raise CommandError(
                f"{plan.checkout.name(path)} demands this package already, in other words. Nothing was changed.",
                hint="--undo first takes back what adopt wrote; a line of your own is changed by hand.",
            )


def _removed(path: Path) -> Change:
    return Change(path, path.read_bytes(), None, "this package has it")


def _join(plan: Plan) -> None:
    path = plan.checkout.package / "__init__.py"
    if not path.exists():
        plan.notes.append(
            f"{plan.checkout.name(path)} does not exist, so nothing needs to be joined: Python does it."
        )
        return
    source = path.read_bytes()
    try:
        joined = joining(source)
    except (SyntaxError, ValueError) as error:
        name = plan.checkout.name(path)
        raise CommandError(
            f"{name} cannot be parsed: {error}", hint="Mend it, or use the agent's own Python."
        ) from error
    if joined is not None:
        plan.changes.append(Change(path, source, joined, "Python looks for ad_seller.storage elsewhere, too"))


def _requirement(types: set[str]) -> str:
    extras = sorted({extra for each in types for extra in _EXTRAS.get(each, [])})
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"ad-seller-storage{chosen}>={version('ad-seller-storage')}"


def _depend(plan: Plan, requirement: str) -> None:
    """Add the dependency to ``pyproject.toml``, and to each requirements file that names a driver."""
    found = False
    why = "the new dependency"
    pyproject = plan.checkout.root / "pyproject.toml"
    if pyproject.is_file():
        source = pyproject.read_bytes()
        changed = None if names_us(source) else in_pyproject(source, requirement)
        found = names_us(source) or changed is not None
        if changed is not None:
            plan.changes.append(Change(pyproject, source, changed, why))
    for path in plan.checkout.files():
        if not is_requirements(path):
            continue
        source = path.read_bytes()
        changed = None if names_us(source) else in_requirements(source, requirement)
        found = found or names_us(source) or changed is not None
        if changed is not None:
            plan.changes.append(Change(path, source, changed, why))
    if any((plan.checkout.root / lock).is_file() for lock in _LOCKS):
        plan.notes.append("There is a lock file; after --apply renew it with its tool: it lacks the dependency.")
    if not found:
        plan.notes.append(f"No place for the dependency was found; add it by hand: {requirement}")


def difference(change: Change, name: str) -> Iterator[str]:
    """Return the lines of a unified diff; for a removed file its header only."""
    if change.after is None:
        count = len((change.before or b"").splitlines())
        yield from (f"--- a/{name}", "+++ /dev/null", f"    the whole file is removed: {count} lines, {change.why}")
        return
    before, after = (redact((source or b"").decode("utf-8", "replace")) for source in (change.before, change.after))
    yield from difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
