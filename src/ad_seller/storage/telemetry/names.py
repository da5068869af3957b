"""What a call is called: operation, kind of record and number of entries, and never a key.

Source of the names: https://opentelemetry.io/docs/specs/semconv/db/database-spans/ (stable since version 1.33).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from ..atomic.transaction import PlainTransaction
from ..seller.kinds import PREFIXES

#: What stands before the first colon of keys of this package, besides the kinds of record.
OWN_KINDS: Final = frozenset(
    (
        *PREFIXES,
        *("session_index", "agent_url_index", "idempotency", "effect", "lease"),
        *("log", "outbox", "outbox_lane", "outbox_failed", "damaged", "erasure"),
    )
)

_PLURALS: Final = {f"{kind}s": kind for kind in PREFIXES}
_PLAIN: Final = frozenset({"get", "set", "delete", "update", "list"})

#: The kinds of methods whose names do not end in one.
_KINDS: Final = {
    "run_once": "idempotency",
    "run_once_detailed": "idempotency",
    "effect": "effect",
    "open_effects": "effect",
    "resolve_effect": "effect",
    "history": "order",
    "change_request_history": "change_request",
    "get_buyer_sessions": "session",
    "save_buyer_session": "session",
    "delete_buyer_session": "session",
    "get_buyer_session_ids": "session_index",
    "add_session_to_buyer_index": "session_index",
    "remove_session_from_buyer_index": "session_index",
    "get_agent_id_by_url": "agent_url_index",
}


#: What one call is about: the kind of the records, if that is known and no part of a key; the key, for who knows
#: where it lives, and told to nobody; how many entries, where it is about several. Then the arguments of the call.
Read = tuple[str | None, str | None, int, tuple[Any, ...], dict[str, Any]]


#: What it is called to enter and to leave a block.
_BLOCKS: Final = {
    ("lease", "__aenter__"): "take",
    ("lease", "__aexit__"): "release",
    ("transaction", "__aexit__"): "commit",
}


class Form:
    """How the calls of one method are told.

    Args:
        method: the method.
        group: what its object is, where that is no backend: "log", "outbox", "lease" or "transaction".

    Attributes:
        kind: of the records that its calls are about, as the name says.
        kind_of: returns of most positional arguments soon what kind they are about, and raises `LookupError`,
            `TypeError` or `ValueError` for the rest; None: it is not soon seen.
    """

    def __init__(self, method: Callable[..., Any], group: str = "") -> None:
        """Look at the name and the parameters."""
        name = _BLOCKS.get((group, method.__name__)) or method.__name__.strip("_").removesuffix("_in_thread")
        operation, self.kind = named(name)
        self.operation = f"{group}.{operation}" if group else operation
        self._group = group
        parameters = list(inspect.signature(method).parameters)[1:2]
        self._about = next((each for each in parameters if each in ("key", "pattern", "keys", "mapping")), None)
        self.kind_of = None if group else self._soon()

    def _soon(self) -> Callable[[tuple[Any, ...]], str | None] | None:
        if self._about is None:
            return lambda args: self.kind
        return {"key": kind_of_key, "pattern": kind_of_key, "keys": kind_of_keys}.get(self._about)

    def size(self, args: tuple[Any, ...]) -> int:
        """Return how many entries a call is about that ``kind_of`` has seen; 0: it is not about several."""
        return len(args[0]) if self.kind_of is kind_of_keys and args and type(args[0]) is list else 0

    def is_told(self, owner: Any, args: tuple[Any, ...]) -> bool:
        """Tell whether a call on something that is no backend asks the store.

        In a transaction only reads and the end do: helpers of records call the former, and writes wait for the
        latter. A block that an exception leaves commits nothing.
        """
        if not isinstance(owner, PlainTransaction):
            return True
        ends = self.operation == "transaction.commit"
        return (args[0] is None) if ends else self._group == "transaction" or self.operation == "list"

    def read(self, owner: Any, args: tuple[Any, ...], named: dict[str, Any], kinds: Collection[str]) -> Read:
        """Return what a call is about, and its arguments, of which an iterator has become a list.

        Args:
            owner: the object whose method is called.
            args: positional arguments.
            named: the others.
            kinds: what may be told as kind of record.
        """
        if self._group and (told := self._of_part(owner, kinds)) is not None:
            return (*told, args, named)
        if self._about is None:
            return self.kind, None, 0, args, named
        value = args[0] if args else named.get(self._about)
        if isinstance(value, str):
            kind = value.partition(":")[0]
            return kind if kind in kinds else None, value, 0, args, named
        if type(value) is list:  # as a rule; to ask abstract classes takes a microsecond
            return common_kind(value, kinds), None, len(value), args, named
        if isinstance(value, Iterator):
            value = list(value)
            args, named = ((value, *args[1:]), named) if args else (args, {**named, self._about: value})
        if not isinstance(value, Collection):
            return None, None, 0, args, named
        return common_kind(value, kinds), None, len(value), args, named

    def _of_part(self, owner: Any, kinds: Collection[str]) -> tuple[str | None, str | None, int] | None:
        if self._group == "lease":
            return "lease", owner.key, 0
        if self._group in ("log", "outbox"):
            return owner.name if owner.name in kinds else self._group, None, 0
        if self.operation == "transaction.commit":
            return common_kind(owner._writes, kinds), next(iter(owner._writes), None), len(owner._writes)
        return None


def named(method: str) -> tuple[str, str | None]:
    """Return the operation and the kind of record of a method: ``set_deal`` sets a deal."""
    if method in _KINDS:
        return method, _KINDS[method]
    verb, _, rest = method.partition("_")
    kind = rest if rest in PREFIXES else _PLURALS.get(rest)
    return (verb if kind and verb in _PLAIN else method), kind


def kind_of_key(args: tuple[Any, ...]) -> str:
    """Return what stands before the first colon of a key or a pattern."""
    return str.partition(args[0], ":")[0]


def kind_of_keys(args: tuple[Any, ...]) -> str | None:
    """Return what all keys of a list have before their first colon; None if they differ.

    What lies between two texts that begin alike begins like them.
    """
    keys = args[0]
    if type(keys) is not list:
        raise TypeError
    kind, colon, _ = str.partition(min(keys), ":")
    if not colon:
        raise ValueError
    return kind if max(keys).startswith(f"{kind}:") else None


def common_kind(keys: Collection[Any], kinds: Collection[str]) -> str | None:
    """Return the kind that all keys have; None if they differ, or it is not one of ``kinds``."""
    found: str | None = None
    for key in keys:
        kind = key.partition(":")[0] if isinstance(key, str) else ""
        if kind not in kinds or (found is not None and kind != found):
            return None
        found = kind
    return found
