"""What may go wrong with a store, before it does: its configuration, its engine, its data.

`examine_settings`, `examine` and `examine_unopened` look and change nothing; `fixes` are the steps that need no
decision of anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from ...base import StorageBackend
from ...errors import StorageError
from .data import examine_data, findings_of
from .deployment import Place, Texts, scan_texts
from .engines import judge, undeclared
from .environment import examine_settings
from .findings import Finding, Tally
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
    "examine_unopened",
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
        StorageError: the store cannot be read; of a cluster that is a finding.
    """
    facts = await _told(store)
    found = _judged(facts)
    if not data:
        return found
    tally = Tally()
    try:
        await examine_data(store, progress, tally)
    except StorageError as error:
        if all(told.get("engine") != "cluster" for told in facts.values()):
            raise
        if all(each.rule not in _PARTLY_THERE for each in found):  # it has broken since
            with suppress(StorageError):
                found = _judged(await _told(store))
        what = f"{tally.kinds.total():,} entries were looked at, then: {error}"
        return [*found, *findings_of(tally), Finding("data-unread", what, repr(store))]
    found += findings_of(tally)
    found += (each for where, told in facts.items() for each in undeclared(told, tally.kinds, where))
    return found


async def _told(store: StorageBackend) -> dict[str, dict[str, Any]]:
    """Return what each server says of itself, by where it is."""
    return {
        where: told
        for side in sides_of(store)
        if isinstance(side, _TellsFacts)
        for where, told in _by_place(side, await side.facts()).items()
    }


def _judged(facts: dict[str, dict[str, Any]]) -> list[Finding]:
    return [each for where, told in facts.items() for each in judge(told, where)]


async def examine_unopened(store: StorageBackend, *, data: bool = True) -> list[Finding]:
    """Look at what can be looked at of a store that could not be connected: the servers of a cluster that answer.

    Their entries cannot be: while a slot has no master, Redis refuses to read any other, too.

    Args:
        store: not connected.
        data: False if nobody wants to know that the entries are left out.
    """
    found: list[Finding] = []
    for side in sides_of(store):
        if isinstance(side, _TellsUnopened):
            with suppress(StorageError):  # nobody answers
                places = _by_place(side, await side.facts_unopened())
                judged = _judged(places)
                found += judged
                if data and any(each.rule in _PARTLY_THERE for each in judged):
                    found.append(Finding("data-unread", "No entry was looked at, on any server", repr(side)))
    return found


#: What keeps a part of a cluster's entries from being read.
_PARTLY_THERE: Final = ("slots-uncovered", "master-silent")


def _by_place(side: StorageBackend, told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what there is to judge, by where that is: a cluster and each of its masters, else the server."""
    servers = {f"{side!r}, {one['server']}": one for one in told.get("servers", ())}
    return {repr(side): told["cluster"], **servers} if "cluster" in told else servers or {repr(side): told}


@runtime_checkable
class _TellsFacts(Protocol):
    async def facts(self) -> dict[str, Any]: ...


@runtime_checkable
class _TellsUnopened(Protocol):
    async def facts_unopened(self) -> dict[str, Any]: ...
