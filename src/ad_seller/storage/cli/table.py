"""Records as a table that fits the width of the terminal: for people, who see columns rather than lines of JSON."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import compact, printable

_FIRST = ("status", "name", "product_id", "buyer_id")  #: fields that say most, before those that come first
_NARROW = 14  #: characters that a column wants at least
_BETWEEN = 3  #: characters between two columns
_LONG = 60  #: characters of a value that anybody reads in a table


def print_table(console: Console, prefix: str, rows: list[tuple[str, Any]]) -> int:
    """Write records as a table.

    Args:
        console: where to; its width counts.
        prefix: the prefix of the kind, which the column of ids leaves out.
        rows: keys and values.

    Returns:
        How many fields no column was left for.
    """
    ids = [printable(key.removeprefix(prefix)) for key, _ in rows]
    fields = _fields([value for _, value in rows])
    id_width = min(max(map(len, ids)), console.width // 2)
    shown = fields[: max(1, (console.width - id_width) // _NARROW)]
    width = max(1, (console.width - id_width) // max(1, len(shown)) - _BETWEEN)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("id", no_wrap=True, overflow="ellipsis", min_width=id_width, max_width=id_width)
    for name in shown:
        table.add_column(Text(printable(name)), no_wrap=True, overflow="ellipsis", max_width=width)
    for record_id, (_, value) in zip(ids, rows, strict=True):
        table.add_row(Text(record_id), *(Text(text) for text in _cells(value, shown)))
    console.print(table, soft_wrap=False)
    return len(fields) - len(shown)


def _fields(values: list[Any]) -> list[str]:
    """Return the names of fields that hold something short, the telling ones first; others after those."""
    found: dict[str, bool] = {}
    for value in values:
        for name, content in value.items() if isinstance(value, dict) else ():
            found[name] = found.get(name, False) or not isinstance(content, dict | list)
    order = {name: position for position, name in enumerate(_FIRST)}
    return sorted(found, key=lambda name: (not found[name], order.get(name, len(order))))


def _cells(value: Any, fields: list[str]) -> list[str]:
    """Return the text for each field; what is no record stands in the first column."""
    if not isinstance(value, dict):
        return [compact(value)[:_LONG], *("" for _ in fields[1:])] if fields else []
    return [_cell(value[name]) if name in value else "" for name in fields]


def _cell(value: Any) -> str:
    return printable(value[:_LONG]) if isinstance(value, str) else compact(value)[:_LONG]
