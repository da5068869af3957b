"""What listings return, and what they do with entries that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import CorruptValueError, InvalidArgumentError, shown

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


def check_limit(limit: object) -> None:
    """Raise `InvalidArgumentError` unless ``limit`` is None or a positive int."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidArgumentError(f"A limit is a positive int or None, not {shown(limit)}")


def report_corrupt(error: CorruptValueError, on_corrupt: OnCorrupt) -> None:
    """Raise ``error``, or hand it to ``on_corrupt`` if there is one.

    Without its tracebacks: whoever keeps the error would keep all that was being decoded with it. What the caller
    is handling meanwhile, which Python hangs to the end of them, is none of ours.
    """
    if on_corrupt is None:
        raise error
    error.__traceback__ = None
    if (cause := error.__cause__) is not None:
        cause.__traceback__ = cause.__context__ = None
    on_corrupt(error)
