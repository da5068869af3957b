"""What an index knows of a search."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_LARGEST: Final = 1e300  #: numbers of more are looked for in all records


class Narrowing(NamedTuple):
    """What an index knows of a search.

    Attributes:
        name: the index.
        where: what the rows fulfil that match one of the conditions, as SQLite understands it.
        odd: a query of the row ids that Python may understand differently.
        parameters: of both.
        wanted: the statements that make indexes for it which are made when they are first needed, by name.
        is_all: whether what SQLite has found of a text that we wrote fulfils all conditions.
        is_sorted: whether the index holds rows of the same field in the order of their keys.
    """

    name: str
    where: str
    odd: str
    parameters: dict[str, Any]
    wanted: dict[str, str]
    is_all: bool
    is_sorted: bool

    @property
    def found(self) -> str:
        """A query of the row ids that SQLite finds."""
        return f"SELECT rowid FROM kv_store WHERE {self.where}"  # noqa: S608

    @property
    def candidates(self) -> str:
        """A query of the row ids that may fulfil the conditions; all that do are among them."""
        return f"{self.found} UNION ALL {self.odd}"

    @property
    def test(self) -> str:
        """A condition for the row ``e.id``, which the index answers without reading the row."""
        asked = self.found.replace("FROM kv_store", f"FROM kv_store INDEXED BY {self.name}", 1)
        return f"(EXISTS ({asked} AND rowid = e.id) OR e.id IN ({self.odd}))"


class Demand(NamedTuple):
    """What the field of each record that equals a value fulfils in SQL.

    Attributes:
        parameters: ``:wanted``, which it is, and those of ``near``.
        near: further conditions, with ``{0}`` for the field, of which it may fulfil one.
    """

    parameters: dict[str, Any]
    near: tuple[str, ...] = ()


_NEAR: Final = ("{0} >= :least AND {0} < :wanted", "{0} > :wanted AND {0} <= :most")


def demanded(value: Any) -> Demand | None:
    """Return what is to be looked for; None if that cannot be said.

    SQLite reads numbers a little differently from Python, so they are looked for with their neighbours.
    """
    if type(value) is str:
        is_usable = "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
        return Demand({"wanted": value}) if is_usable else None
    if isinstance(value, int | float) and abs(value) < _LARGEST:
        number = float(value)
        slack = abs(number) * 1e-9 + 1e-300
        return Demand({"wanted": number, "least": number - slack, "most": number + slack}, _NEAR)
    return None
