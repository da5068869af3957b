"""Several things that a caller gives at once: a lone text is none of them, though it iterates, by character."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InvalidArgumentError, shown


def several(what: str, given: object, error: Callable[[str], Exception] = InvalidArgumentError) -> tuple[Any, ...]:
    """Return the elements of what a caller gives.

    Args:
        what: what they are, in the plural, for the error.
        given: a list, a tuple, or anything else that has elements.
        error: makes the error.

    Raises:
        InvalidArgumentError: it is a lone text, or nothing that has elements.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise error(f"{what} are several, in a list or a tuple; not {shown(given)}")
    return tuple(given)


def all_of_kind(what: str, given: object, kind: type[Any]) -> tuple[Any, ...]:
    """Return the elements of what a caller gives, if all are of one kind; see `several`."""
    found = several(what, given)
    for one in found:
        if not isinstance(one, kind):
            raise InvalidArgumentError(f"{what} are {kind.__name__} each, not {shown(one)}")
    return found
