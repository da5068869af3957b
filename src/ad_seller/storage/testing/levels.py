"""Where each check belongs: to a level, which a backend reaches as a whole, and to a section of the contract."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Callable[..., object])

_ATTRIBUTE = "_ad_seller_place"


class Level(StrEnum):
    """What a backend can be good at, from what all of them must do to what only some declare."""

    CORE = "core"
    ENTITIES = "entities"
    VALUES = "values"
    EXPIRY = "expiry"
    PATTERNS = "patterns"
    BATCH_AND_SCAN = "batch_and_scan"
    ATOMIC = "atomic"
    DURABLE = "durable"
    PROCESSES = "processes"
    FAULTS = "faults"
    LOAD = "load"


#: The capability that promises a level; the other levels are promised by every backend.
CAPABILITY = {Level.DURABLE: "durable", Level.PROCESSES: "shared"}


class Section(StrEnum):
    """The headings of docs/contract.md."""

    INTERFACE = "The interface"
    KEYS = "Keys"
    VALUES = "Values"
    TTL = "Time to live"
    PATTERNS = "Patterns"
    LISTINGS = "Listings"
    CHANGES = "Changes that nobody loses"
    CONCURRENCY = "Concurrency"
    DURABILITY = "Durability"
    ERRORS = "Errors"


class Place(NamedTuple):
    """The level and the section of a check."""

    level: Level
    section: Section


def belongs(level: Level, section: Section) -> Callable[[T], T]:
    """Return a decorator that puts a check, or all those of a class that say nothing else, into their place."""

    def put(target: T) -> T:
        setattr(target, _ATTRIBUTE, Place(level, section))
        return target

    return put


def place_of(tests: type, name: str) -> Place:
    """Return the place of the check ``name`` of a class: its own, or that of the class which defines it.

    Raises:
        LookupError: neither says anything.
    """
    for cls in tests.__mro__:
        if name in vars(cls):
            place = getattr(vars(cls)[name], _ATTRIBUTE, None) or vars(cls).get(_ATTRIBUTE)
            if isinstance(place, Place):
                return place
    raise LookupError(f"{tests.__name__}.{name} belongs to no level; decorate it, or its class, with @belongs")
