"""Taking into a log what an agent kept in records and in lists, each entry under an id made from its own time."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidArgumentError, InvalidValueError, shown
from ..records.ids import TICKS_PER_SECOND, id_at
from ..records.pages import OnCorrupt
from ..records.times import seconds_of
from .log_entries import LogForm, held
from .stored import Stored

_AT_ONCE = 200


@dataclass
class Taken:
    """What `Log.take_in` did.

    Attributes:
        added: entries that are in the log now and were not before.
        known: entries that were in the log already.
        left_out: the places that were left out, and why.
    """

    added: int = 0
    known: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


Source = tuple[str, Any]  #: where an entry comes from, which makes its id, and the entry


async def take_in(
    store: Stored,
    form: LogForm,
    put: Callable[[str, Any], Awaitable[None]],
    pattern: str,
    at: str,
    records: str | None,
    on_corrupt: OnCorrupt,
) -> Taken:
    """Put the entries that the keys matching ``pattern`` hold or name; see `Log.take_in`."""
    if not isinstance(at, str) or not all(at.split(".")):
        raise InvalidArgumentError(f"at= is the name of the field with an entry's time, not {shown(at)}")
    taken, path = Taken(), tuple(at.split("."))
    async for sources in _sources(store, pattern, records, taken, on_corrupt):
        entries: dict[str, Source] = {}
        for place, value in sources:
            moment = seconds_of(held(value, path))
            if moment is None:
                taken.left_out[place] = f"{at!r} holds no time between 1990 and 3000: {shown(held(value, path))}"
            else:
                entries[_id_of(place, moment)] = place, value
        stored = await store.get_many([form.prefix + one for one in entries])
        taken.known += len(stored)
        for entry_id, (place, value) in entries.items():
            if form.prefix + entry_id not in stored:
                await _put(put, entry_id, place, value, taken)
    return taken


async def _put(
    put: Callable[[str, Any], Awaitable[None]], entry_id: str, place: str, value: Any, taken: Taken
) -> None:
    try:
        await put(entry_id, value)
    except InvalidValueError as error:
        taken.left_out[place] = str(error)
    else:
        taken.added += 1


async def _sources(
    store: Stored, pattern: str, records: str | None, taken: Taken, on_corrupt: OnCorrupt
) -> AsyncIterator[list[Source]]:
    """Yield the entries with the places that they come from, some at a time."""
    cursor: str | None = None
    while True:
        page = await store.scan(pattern, limit=_AT_ONCE, cursor=cursor, on_corrupt=on_corrupt)
        cursor = page.cursor
        for key, value in page.items:
            members = value if isinstance(value, list) else [value]
            places = [key] if members is not value else [f"{key}#{number}" for number in range(len(members))]
            for start in range(0, len(members), _AT_ONCE):
                some = list(zip(places[start : start + _AT_ONCE], members[start : start + _AT_ONCE], strict=True))
                yield some if records is None else await _named(store, some, records, taken, on_corrupt)
        if cursor is None:
            return


async def _named(
    store: Stored, named: list[Source], records: str, taken: Taken, on_corrupt: OnCorrupt
) -> list[Source]:
    """Return the records whose ids the lists hold; one that stands in several lists is one entry."""
    keys: list[str] = []
    for place, entry_id in named:
        if isinstance(entry_id, str) and entry_id:
            keys.append(records + entry_id)
        else:
            taken.left_out[place] = f"no id of a record: {shown(entry_id)}"
    found = await store.get_many(keys, on_corrupt=on_corrupt)
    taken.left_out.update((key, "there is no such record") for key in keys if key not in found)
    return list(found.items())


def _id_of(place: str, seconds: float) -> str:
    """Return the id of an entry, always the same: its time, then what only its place makes."""
    digest = hashlib.sha256(place.encode(errors="surrogatepass")).digest()
    return id_at(int(seconds * TICKS_PER_SECOND), int.from_bytes(digest[:8]))
