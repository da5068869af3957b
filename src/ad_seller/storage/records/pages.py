"""What listings return, and what they do with entries that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import CorruptValueError

#: What is done with an entry that cannot be decoded: None raises, a function is called with the error and the
#: entry is left out.
OnCorrupt = Callable[[CorruptValueError], object] | None


class Page(NamedTuple):
    """One page of a scan.

    Attributes:
        items: key and value, in the order of the keys.
        cursor: give it to the next `scan` with the same pattern; None after the last page.
    """

    items: list[tuple[str, Any]]
    cursor: str | None


def report_corrupt(error: CorruptValueError, on_corrupt: OnCorrupt) -> None:
    """Raise ``error``, or hand it to ``on_corrupt`` if there is one."""
    if on_corrupt is None:
        raise error
    on_corrupt(error)
