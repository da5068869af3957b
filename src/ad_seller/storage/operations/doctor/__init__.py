"""What may go wrong with a store, before it does: its configuration, its engine, its data.

`examine_settings` and `examine` look and change nothing; `fixes` are the steps that need nobody's decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ...base import StorageBackend
from .data import examine_data, findings_of
from .deployment import Place, Texts, scan_texts
from .engines import judge, undeclared
from .environment import examine_settings
from .findings import Finding
from .fix import Fix, fixes
from .rules import RULES, Rule, Severity
from .sides import sides_of

__all__ = [
    "RULES",
    "Finding",
    "Fix",
    "Place",
    "Rule",
    "Severity",
    "Texts",
    "examine",
    "examine_settings",
    "fixes",
    "scan_texts",
]


async def examine(
    store: StorageBackend, *, data: bool = True, progress: Callable[[int], None] | None = None
) -> list[Finding]:
    """Look at a store's engine and at all its entries.

    Args:
        store: connected; it may be in use. Of a Redis Cluster each master is looked at, of a backend of somebody
            else only the entries.
        data: False to leave the entries out.
        progress: called with the number of entries so far.

    Raises:
        StorageError: the store cannot be read.
    """
    facts = {where: told for side in sides_of(store) for where, told in (await _told_by(side)).items()}
    found = [each for where, told in facts.items() for each in judge(told, where)]
    if data:
        tally = await examine_data(store, progress)
        found += findings_of(tally)
        found += (each for where, told in facts.items() for each in undeclared(told, tally.kinds, where))
    return found


async def _told_by(side: StorageBackend) -> dict[str, dict[str, Any]]:
    """Return what there is to judge, by where that is: of a cluster each master, of a Sentinel group the master."""
    if not isinstance(side, _TellsFacts):
        return {}
    told = await side.facts()
    return {f"{side!r}, {one['server']}": one for one in told.get("servers", ())} or {repr(side): told}


@runtime_checkable
class _TellsFacts(Protocol):
    async def facts(self) -> dict[str, Any]: ...
