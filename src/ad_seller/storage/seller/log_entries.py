"""How a log stands in the store: the keys of its entries, of their fields, and what may stand in a field."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..driver.followed import LOG_PREFIX
from ..errors import InvalidArgumentError, InvalidCursorError, InvalidKeyError, InvalidValueError, shown
from ..records.filters import Condition, matches
from ..records.ids import new_id
from ..records.keys import check_key
from ..records.several import several
from .host import Host

LOG_FIELD_PREFIX = "log_by:"
LOG_TRIMMED_PREFIX = "log_trimmed:"
#: A text of a field that is longer, in bytes, or holds what no key can hold, stands in its key as a digest.
LONGEST_SPELLED = 200
FIELD_MARK = 1  #: what stands under the key of a field: nothing is read from it
_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_KEY = re.compile("[\0\ud800-\udfff]")  #: stands in no key
_AFTER_ALL_DIGITS = "~"  #: sorts after every hexadecimal digit


class LogForm(NamedTuple):
    """Which keys a log has.

    Attributes:
        name: the name of the log, as its user gave it.
        fields: the fields that it can be read by, in the order of their declaration, each as its path.
    """

    name: str
    fields: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, name: object, by: object) -> LogForm:
        """Check what a user declares.

        Raises:
            InvalidArgumentError: the name or a field is no non-empty str, or ``by`` is a lone str.
        """
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"The name of a log is a non-empty str, not {shown(name)}")
        fields: dict[str, tuple[str, ...]] = {}
        for field in several("The fields of by=", by):
            path = tuple(field.split(".")) if isinstance(field, str) else ()
            if not all(path) or not path:
                raise InvalidArgumentError(
                    f"A field of the log {name!r} is a name or a path with dots, not {shown(field)}"
                )
            fields[field] = path
        check_key(LOG_PREFIX + escaped(name))
        form = cls(name, fields)
        for field in fields:
            try:
                check_key(form.field_prefix(field, ""))
            except InvalidKeyError as error:
                raise InvalidArgumentError(f"The log {name!r} cannot be read by {shown(field)}: {error}") from error
        return form

    @property
    def prefix(self) -> str:
        """With what the keys of its entries begin; the id follows."""
        return f"{LOG_PREFIX}{escaped(self.name)}:"

    @property
    def trimmed_key(self) -> str:
        """Where it stands up to which time the log was trimmed."""
        return check_key(LOG_TRIMMED_PREFIX + escaped(self.name))

    def field_prefix(self, field: str, value: Any) -> str:
        """With what the keys begin that lead to the entries with ``value`` in ``field``; the id follows."""
        return f"{LOG_FIELD_PREFIX}{escaped(self.name)}:{escaped(field)}:{spelled(value)}:"

    def keys_of(self, entry_id: str, value: Any) -> list[str]:
        """Return the key of the entry, and one for each field that it has.

        Raises:
            InvalidValueError: a field is missing, or holds something that cannot be looked for.
        """
        key = check_key(self.prefix + entry_id)
        found = [(field, self._held(field, value, key)) for field in self.fields]
        return [
            key,
            *(check_key(self.field_prefix(field, one) + entry_id) for field, one in found if one is not None),
        ]

    def known_keys(self, entry_id: str, value: Any) -> list[str]:
        """Return the keys that an entry as it is stored can have; odd ones have fewer."""
        found = ((field, held(value, path)) for field, path in self.fields.items())
        scalars = [(field, one) for field, one in found if one is not None and not isinstance(one, dict | list)]
        return [self.prefix + entry_id, *(self.field_prefix(field, one) + entry_id for field, one in scalars)]

    def _held(self, field: str, value: Any, key: str) -> Any:
        record, *names = value, *self.fields[field]
        for name in names:
            if not isinstance(record, Mapping) or name not in record:
                raise InvalidValueError(
                    f"The log {self.name!r} is read by {field!r}, and this entry has no such field; nothing was "
                    "written. Where an entry has none, let it hold None there.",
                    key=key,
                )
            record = record[name]
        if record is not None and not isinstance(record, str | int | float):
            raise InvalidValueError(
                f"The log {self.name!r} is read by {field!r}, which holds {type(record).__name__} here; nothing "
                "was written. A text, a number, True, False or None can be looked for.",
                key=key,
            )
        return record

    def conditions(self, where: object, fields: Mapping[str, Any]) -> list[tuple[str, Condition]]:
        """Return what is asked for in either way, by field, in the order of the declaration.

        Raises:
            InvalidArgumentError: ``where`` is no dict, a field is not declared, or no entry is found by its value.
        """
        if where is not None and not isinstance(where, Mapping):
            raise InvalidArgumentError(
                f"What to look for is a dict of fields, such as {{'session_id': 's1'}}; not {shown(where)}"
            )
        asked = {**(where or {}), **fields}
        if unknown := [field for field in asked if field not in self.fields]:
            raise InvalidArgumentError(
                f"The log {self.name!r} is not read by {shown(unknown[0])}, but by "
                f"{', '.join(self.fields) or 'nothing'}"
            )
        for field, value in asked.items():
            if not _can_be_found(value):
                raise InvalidArgumentError(
                    f"Entries are found by a text, a number or a bool in {field!r}, not {shown(value)}"
                )
        return [(field, Condition(path, asked[field])) for field, path in self.fields.items() if field in asked]

    def inner(self, cursor: str | None, prefix: str) -> str | None:
        """Return the cursor of the scan under ``prefix`` that a cursor of a reading stands for.

        Raises:
            InvalidCursorError: it is none of this log, or of another question to it.
        """
        if cursor is None:
            return None
        try:
            of, inner = unpacked(cursor)
            if of != prefix or not isinstance(inner, str):
                raise ValueError("of another question")
        except (TypeError, ValueError) as error:
            raise InvalidCursorError(
                f"The cursor is not of this reading of the log {self.name!r}: {shown(cursor)}"
            ) from error
        return inner


def fits(value: Any, conditions: Iterable[tuple[str, Condition]]) -> bool:
    """Tell whether an entry fulfils all conditions, compared as Python does."""
    return matches(value, tuple(condition for _, condition in conditions))


def held(value: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at ``path``, None if nothing does."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def marks_of_any_field(key: str, value: Any) -> list[str]:
    """Return the keys that may lead to an entry of a log, whatever fields it is read by; none for other keys."""
    log, _, entry_id = key.rpartition(":")
    if not log.startswith(LOG_PREFIX) or not is_id(entry_id):
        return []
    name = log.removeprefix(LOG_PREFIX)
    found = (
        f"{LOG_FIELD_PREFIX}{name}:{escaped(field)}:{spelled(one)}:{entry_id}" for field, one in _scalars(value, "")
    )
    return [mark for mark in found if _is_key(mark)]  # others no entry was stored with


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what a field can be declared for, with its path."""
    if not isinstance(value, dict):
        if path and value is not None and not isinstance(value, list):
            yield path, value
        return
    for name, one in value.items():
        if name and "." not in name:  # nothing else can be declared
            yield from _scalars(one, f"{path}.{name}" if path else name)


def _is_key(text: str) -> bool:
    try:
        return check_key(text) == text
    except InvalidKeyError:
        return False


def escaped(part: str) -> str:
    """Return ``part`` so that no ``:`` is left in it, and no two parts become one."""
    return part.replace("%", "%25").replace(":", "%3A")


def spelled(value: str | float) -> str:
    """Return how a value stands in a key: what is equal in Python is spelled alike (1, 1.0 and True are)."""
    if isinstance(value, str):
        text = "s" + escaped(value)
    elif isinstance(value, float) and not value.is_integer():
        text = f"f{value.hex()}"
    else:
        text = f"i{int(value):x}"
    if len(text.encode(errors="surrogatepass")) <= LONGEST_SPELLED and not _NO_KEY.search(text):
        return text
    return "h" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _can_be_found(value: Any) -> bool:
    """Tell whether an entry may hold it: NaN, infinity and texts with lone surrogates are no JSON."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and not _SURROGATE.search(value))


# --- cursors -------------------------------------------------------------------------------------------


def packed(*parts: str | int) -> str:
    """Return an opaque cursor that holds ``parts``."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def unpacked(cursor: object) -> list[Any]:
    """Return the parts of a cursor.

    Raises:
        ValueError: it is none.
        TypeError: likewise.
    """
    if not isinstance(cursor, str):
        raise TypeError(f"a cursor is a str, not {type(cursor).__name__}")
    parts = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    if not isinstance(parts, list):
        raise TypeError("no list")
    return parts


# --- ids and time --------------------------------------------------------------------------------------


def is_id(text: str) -> bool:
    """Tell whether it is an id as `new_id` makes them."""
    return _ID.fullmatch(text) is not None


def milliseconds_of(entry_id: str) -> int:
    """Return the time in an id, in milliseconds since 1970 (RFC 9562, section 5.7)."""
    return int(entry_id[:8] + entry_id[9:13], 16)


def last_of(milliseconds: int) -> str:
    """Return a text that sorts after every id made up to this millisecond, and before all later ones."""
    digits = f"{max(0, milliseconds):012x}"
    return f"{digits[:8]}-{digits[8:]}-{_AFTER_ALL_DIGITS}"


class TransactionLog:
    """A log as a transaction has it: what is appended is stored with everything else, or not at all.

    Args:
        host: the transaction.
        form: the log's name and fields.
        retention_ms: milliseconds after which an entry is removed; None for never.
    """

    def __init__(self, host: Host, form: LogForm, retention_ms: int | None) -> None:
        """Keep them."""
        self._host = host
        self._form = form
        self._retention_ms = retention_ms

    async def append(self, value: Any) -> str:
        """Store ``value`` as the log's newest entry at the end of the transaction and return its id.

        A transaction that takes longer than the log's ``commit_seconds`` may be missed by those who follow.

        Raises:
            InvalidValueError: a field that the log is read by is missing, or holds a dict or a list.
        """
        entry_id = new_id()
        ttl = None if self._retention_ms is None else self._retention_ms / 1000
        key, *marks = self._form.keys_of(entry_id, value)
        await self._host.set(key, value, ttl)
        for mark in marks:
            await self._host.set(mark, FIELD_MARK, ttl)
        return entry_id
