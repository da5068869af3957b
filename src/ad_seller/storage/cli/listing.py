"""Commands on many entries: keys, list, count. They page through the store, so that any size fits in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from ad_seller.storage import PREFIXES, CorruptValueError, Page, StorageBackend, redact

from .completion import ENTITIES, complete_entity, complete_prefix
from .output import Output, compact
from .running import CommandError, Exit, with_store
from .table import print_table

commands = typer.Typer()

_KINDS = ", ".join(f"{name}s" for name in PREFIXES)
PAGE = 1_000  #: entries that are in memory at the same time

Pattern = Annotated[
    str,
    typer.Argument(
        metavar="[PATTERN]",
        help="A glob: * ? [abc] [a-z] [^a], \\ before a literal one. Quote it for the shell.",
        autocompletion=complete_prefix,
    ),
]


@commands.command()
@with_store
async def keys(
    store: StorageBackend,
    out: Output,
    pattern: Pattern = "*",
    nul: Annotated[bool, typer.Option("--null", "-0", help="End each key with NUL, for xargs -0.")] = False,
) -> int:
    """Print the keys that match PATTERN, sorted, one on a line."""
    async with store:
        if out.as_json:
            await out.array(_keys(store, pattern), "[", lambda: "]")
            return Exit.OK
        async for key in _keys(store, pattern):
            out.text(key, end="\0") if nul else out.key(key)
    return Exit.OK


@commands.command("list")
@with_store
async def list_(
    store: StorageBackend,
    out: Output,
    what: Annotated[
        str,
        typer.Argument(metavar="ENTITY|PATTERN", help="E.g. orders, or 'order:*'.", autocompletion=complete_entity),
    ],
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N entries.")] = None,
    newest: Annotated[
        bool,
        typer.Option("--newest", help="Begin with the greatest key: the newest, where ids sort by time (new_id)."),
    ] = False,
    cursor: Annotated[str | None, typer.Option(metavar="C", help="Go on where the page before ended.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FIELD=VALUE",
            help="Only such records, e.g. status=booked or product.product_id=display; repeatable.",
        ),
    ] = None,
) -> int:
    """Print entries with their keys, in the order of the keys."""
    conditions = [parse_filter(text) for text in filters or []]
    listing = Listing(store, _pattern(what), conditions, limit, cursor, newest)
    async with store:
        if out.as_json:
            await out.array(listing.records(), '{"items":[', lambda: f'],"cursor":{compact(listing.cursor)}}}')
        else:
            await _write_lines(listing, what, out)
    return _end_of(listing, what, out)


async def _write_lines(listing: Listing, what: str, out: Output) -> None:
    """Write a table of a kind of record where somebody looks, and else a line for each entry."""
    if not (out.is_terminal and what in ENTITIES):
        async for key, value in listing.items():
            out.key(key, end="\t")
            out.coloured(compact(value))
        return
    rows = [item async for item in listing.items()]
    if rows and (more := print_table(out.console, ENTITIES[what], rows)):
        out.note(f"{more} more fields: wider, `get KEY`, or --json.")


@commands.command()
@with_store
async def count(store: StorageBackend, out: Output, pattern: Pattern = "*") -> int:
    """Print how many keys match PATTERN."""
    async with store:
        out.text(str(await store.count(pattern)))
    return Exit.OK


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on records.

    Attributes:
        path: the names on the way to the field.
        value: its text, or the JSON of what is no text.
    """

    path: tuple[str, ...]
    value: str

    def matches(self, record: Any) -> bool:
        """Tell whether the record has the field with this value; a null never matches."""
        for name in self.path:
            if not isinstance(record, dict) or record.get(name) is None:
                return False
            record = record[name]
        return (record if isinstance(record, str) else compact(record)) == self.value


@dataclass(slots=True)
class Listing:
    """The entries that a `list` asks for.

    Attributes:
        store: where they are.
        pattern: what their keys match.
        filters: what their values match.
        room: how many more are wanted; None for all.
        cursor: where the next page begins; None after the last one.
        newest: whether the greatest key comes first.
        corrupt: the errors of entries that cannot be decoded and were left out.
        found: how many entries came.
    """

    store: StorageBackend
    pattern: str
    filters: list[Filter] = field(default_factory=list)
    room: int | None = None
    cursor: str | None = None
    newest: bool = False
    corrupt: list[CorruptValueError] = field(default_factory=list)
    found: int = 0

    async def items(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield keys and values."""
        while True:
            page = await self._page()
            for key, value in page.items:
                if self._wants(value):
                    self.found += 1
                    yield key, value
                    self.room = None if self.room is None else self.room - 1
            self.cursor = page.cursor
            if self.cursor is None or self.room == 0:
                return

    async def records(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the same for programs."""
        async for key, value in self.items():
            yield {"key": key, "value": value}

    async def _page(self) -> Page:
        """Fetch the next page; it ends with the last entry that there is room for, and so does its cursor."""
        size = PAGE if self.room is None or self.filters else min(PAGE, self.room)
        while True:
            corrupt: list[CorruptValueError] = []
            page = await self.store.scan(
                self.pattern, limit=size, cursor=self.cursor, reverse=self.newest, on_corrupt=corrupt.append
            )
            fitting = [end for end, (_, value) in enumerate(page.items, start=1) if self._wants(value)]
            if self.room is None or len(fitting) <= self.room:
                self.corrupt += corrupt
                return page
            size = fitting[self.room - 1]

    def _wants(self, value: Any) -> bool:
        return all(condition.matches(value) for condition in self.filters)


async def _keys(store: StorageBackend, pattern: str) -> AsyncIterator[str]:
    """Yield the keys that match; an entry that cannot be decoded has one too."""
    cursor: str | None = None
    while True:
        corrupt: list[CorruptValueError] = []
        page = await store.scan(pattern, limit=PAGE, cursor=cursor, on_corrupt=corrupt.append)
        for key in sorted([*dict(page.items), *(error.key for error in corrupt if error.key)]):
            yield key
        cursor = page.cursor
        if cursor is None:
            return


def _pattern(what: str) -> str:
    return f"{ENTITIES[what]}*" if what in ENTITIES else what


def parse_filter(text: str) -> Filter:
    """Return the condition that ``FIELD=VALUE`` stands for."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CommandError(f"Not a filter: {text!r}", hint="Write --filter FIELD=VALUE, e.g. status=booked.")
    return Filter(tuple(name.split(".")), value)


def _end_of(listing: Listing, what: str, out: Output) -> Exit:
    """Say what a reader of the entries does not see in them; return the exit code."""
    if listing.cursor is not None and not out.as_json:
        out.note(f"more: --cursor {listing.cursor}")
    if what.isidentifier() and what not in ENTITIES:
        if not listing.found and not listing.corrupt:
            return _no_such_kind(what, out)
        out.note(f"{what!r} is a key here, not an entity; those are {_KINDS}.")
    for error in listing.corrupt:
        out.note(redact(f"error: {error}"))
    return Exit.FAILED if listing.corrupt else Exit.OK


def _no_such_kind(what: str, out: Output) -> Exit:
    near = get_close_matches(what.lower(), ENTITIES, n=1)
    meant = f" Did you mean {near[0].removesuffix('s')}s?" if near else ""
    out.note(f"not found: {what!r} is no kind of record, and no key.{meant} The kinds are {_KINDS}.")
    return Exit.NOT_FOUND
