"""What the doctor can do without a decision of anybody: each step is shown before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ...base import StorageBackend
from ...errors import CrossStoreError
from ...records.globs import escape
from ...records.several import all_of_kind
from ...seller.kinds import AGENT_URL_INDEX_PREFIX, SESSION_INDEX_PREFIX
from ...seller.transaction import Transaction
from ..repair import DAMAGED_PREFIX, repair
from .data import missing, references_of
from .findings import Finding
from .sides import sides_of

#: Seconds for which a session must be gone: agents add it to the index first, and store it afterwards.
GRACE: Final = 1.0

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Fix:
    """One step.

    Attributes:
        rule: of the finding that it is about.
        what: what it will do, in a sentence.
        apply: does it; returns what came of it.
    """

    rule: str
    what: str
    apply: Callable[[], Awaitable[str]]


async def fixes(store: StorageBackend, findings: Iterable[Finding], *, grace: float = GRACE) -> AsyncIterator[Fix]:
    """Yield the steps that the findings ask for; nothing is done unless the step's ``apply`` is called.

    Args:
        store: connected; it may be in use.
        findings: what `examine` found.
        grace: seconds for which a session must be gone before it leaves its index.
    """
    rules = {finding.rule for finding in all_of_kind("findings", findings, Finding) if finding.fixable}
    if "filter-walks" in rules:
        for side in sides_of(store):
            if hasattr(side, "build_indexes") and (what := await _building(side)):
                yield Fix("filter-walks", what, partial(_build, side))
    if "value-unreadable" in rules:
        async for found in repair(store, dry_run=True):
            what = f"Move {found.key} to {DAMAGED_PREFIX}{found.key}: {found.reason}"
            yield Fix("value-unreadable", what, partial(_set_aside, store, found.key))
    if "index-dangling" in rules:
        for prefix in (SESSION_INDEX_PREFIX, AGENT_URL_INDEX_PREFIX):
            async for fix in _dangling(store, prefix, grace):
                yield fix


async def _building(side: Any) -> str:
    """Return what is to be built, in a sentence; "" if nothing is."""
    facts = await side.facts()
    kept = facts.get("constraints", [])
    wrong = {name: what for name, what in facts["wrong_indexes"].items() if name not in kept}
    names = [name for name in facts["missing_indexes"] if name not in kept]
    if not names:
        return ""
    dropped = f", in place of what has the name and is dropped: {'; '.join(wrong.values())}" if wrong else ""
    if undeclared := facts.get("unwanted_indexes"):
        definitions = "; ".join(what or name for name, what in undeclared.items())
        dropped += f"; and drop what nobody declares any more: {definitions}"
    how = "beside the work" if facts["engine"] == "postgres" else "while writers wait"
    return f"Build {', '.join(names)} in {side!r}, {how}{dropped}"


async def _build(side: Any) -> str:
    if not await side.build_indexes():
        return "another process is building them"
    facts = await side.facts()
    left = [name for name in facts["missing_indexes"] if name not in facts.get("constraints", [])]
    if not left:
        return "built"
    names = ", ".join(left)
    return f"not built, because something else has the name: {names}. Rename that, then run `doctor --fix` again"


async def _set_aside(store: StorageBackend, key: str) -> str:
    return (
        ", ".join([f"{done.what}: {done.to or done.reason}" async for done in repair(store, escape(key))]) or "gone"
    )


async def _dangling(store: StorageBackend, prefix: str, grace: float) -> AsyncIterator[Fix]:
    cursor: str | None = None
    while True:
        page = await store.scan(f"{prefix}*", limit=_PAGE, cursor=cursor, on_corrupt=lambda error: None)
        wanted = {key: [t for r in references_of(key) for t in r.targets(value)] for key, value in page.items}
        gone = await missing(store, [target for targets in wanted.values() for target in targets])
        if gone:
            await asyncio.sleep(grace)
            gone = await missing(store, sorted(gone))
        for key, value in page.items:
            dead = [target for target in wanted[key] if target in gone]
            if dead:
                yield _taking_out(store, key, value, dead)
        cursor = page.cursor
        if cursor is None:
            return


def _taking_out(store: StorageBackend, key: str, value: Any, dead: list[str]) -> Fix:
    if isinstance(value, list):
        what = f"Take {len(dead)} of {len(value)} ids out of {key}: {', '.join(dead[:3])}{', …' * (len(dead) > 3)}"
        return Fix("index-dangling", what, partial(_commit, store, partial(_prune, key, dead)))
    what = f"Delete {key}: {dead[0]} is gone"
    return Fix("index-dangling", what, partial(_commit, store, partial(_remove, key, value, dead[0])))


async def _commit(store: StorageBackend, work: Callable[[Transaction], Awaitable[str]]) -> str:
    try:
        return await store.transact(work)
    except CrossStoreError:
        return "left: the keys lie in several slots of the cluster, which no commit spans"


async def _prune(key: str, dead: list[str], tx: Transaction) -> str:
    """Take out what is still gone at the commit."""
    current = await tx.get(key)
    gone = {target.partition(":")[2] for target in dead if not await tx.exists(target)}
    if not isinstance(current, list) or not gone.intersection(current):
        return "changed meanwhile"
    kept = [one for one in current if one not in gone]
    await tx.update(key, lambda _: kept)
    return f"{len(current) - len(kept)} taken out"


async def _remove(key: str, value: Any, target: str, tx: Transaction) -> str:
    if await tx.get(key) != value or await tx.exists(target):
        return "changed meanwhile"
    await tx.delete(key)
    return "deleted"
