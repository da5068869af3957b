"""Markers that stand where a value or a time to live could stand."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Keep(Enum):
    """The marker for "leave the expiry as it is"."""

    KEEP = "keep"

    def __repr__(self) -> str:
        """Return the name under which it is exported."""
        return "KEEP"


KEEP: Final = Keep.KEEP


class Marker(Enum):
    """What the function given to `update` can return in place of a value."""

    DELETE = "delete"
    LEAVE = "leave"


DELETE: Final = Marker.DELETE
LEAVE: Final = Marker.LEAVE
