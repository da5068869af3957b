"""How an outbox stands in the store: the keys of waiting messages, of their lanes, and of those set aside."""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

from ..driver.followed import OUTBOX_PREFIX
from ..errors import InvalidArgumentError, InvalidKeyError, shown
from ..records.ids import new_id
from ..records.keys import check_key
from .host import Host
from .log_entries import escaped, milliseconds_of

OUTBOX_LANE_PREFIX = "outbox_lane:"
OUTBOX_TRACE_PREFIX = "outbox_trace:"
OUTBOX_FAILED_PREFIX = "outbox_failed:"
#: Lanes of an outbox. The messages of one key are in one lane; one worker at a time has a lane.
LANES = 32
_ID_LENGTH = 36


class OutboxForm(NamedTuple):
    """Which keys an outbox has.

    Attributes:
        name: the name of the outbox, as its user gave it.
    """

    name: str

    @classmethod
    def of(cls, name: object) -> OutboxForm:
        """Check a name.

        Raises:
            InvalidArgumentError: it is no non-empty str, or too long.
        """
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"The name of an outbox is a non-empty str, not {shown(name)}")
        check_key(f"{OUTBOX_FAILED_PREFIX}{escaped(name)}:{'x' * _ID_LENGTH}")
        return cls(name)

    @property
    def prefix(self) -> str:
        """With what the keys of waiting messages begin; lane and id follow."""
        return f"{OUTBOX_PREFIX}{escaped(self.name)}:"

    @property
    def failed_prefix(self) -> str:
        """With what the keys of the messages begin that were set aside; the id follows."""
        return f"{OUTBOX_FAILED_PREFIX}{escaped(self.name)}:"

    def lane_prefix(self, lane: int) -> str:
        """With what the keys of the messages of a lane begin; the id follows."""
        return f"{self.prefix}{lane:02x}:"

    def lane_key(self, lane: int) -> str:
        """Return the key of the entry that stands for the worker who has the lane."""
        return f"{OUTBOX_LANE_PREFIX}{escaped(self.name)}:{lane:02x}"

    def trace_key(self, lane: int) -> str:
        """Return the key of the entry by which a worker is missed that never gave the lane up."""
        return f"{OUTBOX_TRACE_PREFIX}{escaped(self.name)}:{lane:02x}"

    def message_key(self, message_id: str, key: str | None) -> str:
        """Return where a message waits."""
        return f"{self.lane_prefix(lane_of(message_id if key is None else key))}{message_id}"

    def failed_key(self, message_id: object) -> str:
        """Return where a message lies that was set aside.

        Raises:
            InvalidKeyError: the id is no non-empty str.
        """
        if not isinstance(message_id, str) or not message_id:
            raise InvalidKeyError(f"The id of a message is a non-empty str, not {shown(message_id)}")
        return check_key(self.failed_prefix + message_id)


def lane_of(key: str) -> int:
    """Return the lane of a message key, the same in every process."""
    return zlib.crc32(key.encode()) % LANES


def check_message_key(key: object) -> str | None:
    """Return the key of a message, or None.

    Raises:
        InvalidArgumentError: it is no non-empty str.
    """
    if key is None:
        return None
    if not isinstance(key, str) or not key:
        raise InvalidArgumentError(f"The key of a message is a non-empty str or None, not {shown(key)}")
    check_key(key)
    return str.__str__(key)


class Waiting(NamedTuple):
    """A message as it waits.

    Attributes:
        id: its id; the same at each delivery.
        key: those with the same key are delivered one after the other; None for no order.
        value: what was put.
        attempts: how often a delivery has failed.
        due: when it may be delivered again, in seconds since 1970; 0 for at once.
        error: what the last failure said, or None.
        since: when it was put, or put anew by an operator, in seconds since 1970.
        deaths: how many workers in a row have died, or hung, while they had it; counted once one is missed.
    """

    id: str
    key: str | None
    value: Any
    attempts: int
    due: float
    error: str | None
    since: float
    deaths: int = 0

    @classmethod
    def new(cls, value: Any, key: object) -> Waiting:
        """Return a message that is to be put.

        Raises:
            InvalidArgumentError: the key is no non-empty str.
        """
        message_id = new_id()
        return cls(message_id, check_message_key(key), value, 0, 0.0, None, milliseconds_of(message_id) / 1000)

    def record(self) -> dict[str, Any]:
        """Return what is stored."""
        record = {
            "key": self.key,
            "value": self.value,
            "attempts": self.attempts,
            "due": self.due,
            "error": self.error,
            "since": self.since,
        }
        return record | {"deaths": self.deaths} if self.deaths else record

    @classmethod
    def read(cls, message_id: str, record: Any) -> Waiting | None:
        """Return the message of a record; None if it is not one of ours."""
        if not isinstance(record, dict) or "value" not in record or len(message_id) != _ID_LENGTH:
            return None
        try:
            found = cls(
                message_id,
                check_message_key(record.get("key")),
                record["value"],
                int(record.get("attempts", 0)),
                float(record.get("due", 0)),
                record.get("error"),
                float(record.get("since", 0)),
                int(record.get("deaths", 0)),
            )
        except (TypeError, ValueError, OverflowError):
            return None
        return found if math.isfinite(found.due) and math.isfinite(found.since) else None


class TransactionOutbox:
    """An outbox as a transaction has it.

    Args:
        host: the transaction.
        form: the outbox's name.
    """

    def __init__(self, host: Host, form: OutboxForm) -> None:
        """Keep both."""
        self._host = host
        self._form = form

    async def put(self, message: Any, key: str | None = None) -> str:
        """Have ``message`` delivered once the transaction is committed, and return its id.

        Args:
            message: a JSON value.
            key: messages with the same key are delivered one after the other, in the order of their ids; None for
                no order.

        Raises:
            InvalidArgumentError: the key is no non-empty str.
            InvalidValueError: JSON cannot carry the message.
        """
        waiting = Waiting.new(message, key)
        await self._host.set(self._form.message_key(waiting.id, waiting.key), waiting.record())
        return waiting.id
