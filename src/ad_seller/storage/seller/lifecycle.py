"""State machines as data: which status may follow which, and the audit trail of each step."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidArgumentError, InvalidTransitionError, InvalidValueError, MissingKeyError, shown
from ..records.several import all_of_kind, several
from .access import Record, entity_key
from .host import Host

#: Called with the record and the next status; returns why the step is refused, or None.
Guard = Callable[[Record, str], str | None]


class Lifecycle(Struct, frozen=True):
    """The statuses of a kind of record and the steps between them.

    Attributes:
        name: what messages call such a record.
        transitions: the statuses that may follow each status.
        guards: further conditions of each step.
    """

    name: str
    transitions: Mapping[str, tuple[str, ...]]
    guards: tuple[Guard, ...] = ()

    def __post_init__(self) -> None:
        """Check what others would take letter by letter, or find out at the first step only."""
        _steps(self.transitions)
        several("guards", self.guards)

    @property
    def statuses(self) -> frozenset[str]:
        """All statuses."""
        return frozenset(self.transitions).union(*self.transitions.values())

    def allowed(self, status: str) -> tuple[str, ...]:
        """Return the statuses that may follow ``status``."""
        return self.transitions.get(status, ())

    def extended(
        self, transitions: Mapping[str, Iterable[str]] | None = None, *, guards: Iterable[Guard] = ()
    ) -> Self:
        """Return a lifecycle with more transitions and guards; this one stays as it is."""
        merged = dict(self.transitions)
        for status, following in _steps(transitions or {}).items():
            merged[status] = tuple(dict.fromkeys((*merged.get(status, ()), *following)))
        return replace(self, transitions=merged, guards=(*self.guards, *several("guards", guards)))

    def check(self, key: str, record: Record, to: str) -> None:
        """Raise `InvalidTransitionError` unless the record may take the status ``to`` now."""
        status = record["status"]
        reasons = [reason for guard in self.guards if (reason := guard(record, to)) is not None]
        if to in self.allowed(status) and not reasons:
            return
        allowed = self.allowed(status)
        why = "; ".join(reasons) or f"allowed next: {', '.join(allowed) or 'nothing'}"
        raise InvalidTransitionError(
            f"{self.name} {key!r} is {status!r} and cannot become {to!r} ({why})",
            key=key,
            current=status,
            allowed=allowed,
        )


def _steps(transitions: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return which statuses may follow each, if it says that."""
    if not isinstance(transitions, Mapping):
        raise InvalidArgumentError(f"transitions are a dict of statuses, not {shown(transitions)}")
    all_of_kind("Statuses", transitions, str)
    return {
        status: all_of_kind(f"The statuses that may follow {status!r}", following, str)
        for status, following in transitions.items()
    }


ORDER_LIFECYCLE = Lifecycle(
    "Order",
    {
        "draft": ("submitted", "cancelled"),
        "submitted": ("pending_approval", "approved", "cancelled", "failed"),
        "pending_approval": ("approved", "rejected", "cancelled"),
        "approved": ("in_progress", "cancelled"),
        "rejected": ("draft",),
        "in_progress": ("syncing", "failed", "cancelled"),
        "syncing": ("booked", "failed"),
        "booked": ("completed", "unbooked"),
        "failed": ("draft",),
        "unbooked": ("draft",),
        "completed": (),
        "cancelled": (),
    },
)

CHANGE_REQUEST_LIFECYCLE = Lifecycle(
    "Change request",
    {
        "pending": ("validating",),
        "validating": ("failed", "pending_approval", "approved"),
        "pending_approval": ("approved", "rejected"),
        "approved": ("applied",),
        "failed": (),
        "rejected": (),
        "applied": (),
    },
)


class LifecycleHelpers(Host):
    """Steps of orders and change requests, on top of get and update; in a transaction part of its commit."""

    async def transition_order(
        self,
        order_id: str,
        to: str,
        *,
        actor: str,
        reason: str = "",
        expect: str | None = None,
        metadata: Record | None = None,
        lifecycle: Lifecycle = ORDER_LIFECYCLE,
    ) -> Record:
        """Take an order to another status and append the audit entry, in one commit; return the order.

        Args:
            order_id: the order.
            to: the next status.
            actor: who does it.
            reason: why.
            expect: the status that the caller saw; if the order has another one by now, nothing is done.
            metadata: kept in the audit entry.
            lifecycle: the allowed steps; extend `ORDER_LIFECYCLE` for more.

        Raises:
            InvalidTransitionError: not allowed, or not the expected status; lists what is allowed.
            MissingKeyError: there is no such order.
            InvalidValueError: the entry has no status, or an audit log of another form.
        """
        key = entity_key("order", order_id)
        step = Step(lifecycle, key, to, actor, reason, expect, metadata)
        record: Record = await self.update(key, step.bound())
        return record

    async def transition_change_request(
        self,
        change_request_id: str,
        to: str,
        *,
        actor: str,
        reason: str = "",
        expect: str | None = None,
        metadata: Record | None = None,
        lifecycle: Lifecycle = CHANGE_REQUEST_LIFECYCLE,
    ) -> Record:
        """Take a change request to another status; see `transition_order`."""
        key = entity_key("change_request", change_request_id)
        step = Step(lifecycle, key, to, actor, reason, expect, metadata)
        record: Record = await self.update(key, step.bound())
        return record

    async def history(self, order_id: str) -> list[Record]:
        """Return the audit entries of an order, oldest first.

        Raises:
            MissingKeyError: there is no such order.
            InvalidValueError: its audit log has another form.
        """
        return _trail(await self.get(key := entity_key("order", order_id)), key)

    async def change_request_history(self, change_request_id: str) -> list[Record]:
        """Return the audit entries of a change request, oldest first; raises as `history` does."""
        return _trail(await self.get(key := entity_key("change_request", change_request_id)), key)


class Step(NamedTuple):
    """One transition of one record: a function for `update` that checks it and appends its audit entry."""

    lifecycle: Lifecycle
    key: str
    to: str
    actor: str
    reason: str
    expect: str | None
    metadata: Record | None

    def check(self) -> None:
        """Check what can be checked without the record."""
        if not isinstance(self.lifecycle, Lifecycle):
            raise InvalidArgumentError(f"lifecycle is a Lifecycle, not {shown(self.lifecycle)}", key=self.key)
        known = self.lifecycle.statuses
        for name, status in (("expect", self.expect), ("to", self.to)):
            if (status is not None or name == "to") and (not isinstance(status, str) or status not in known):
                raise InvalidArgumentError(
                    f"{name}={shown(status)} is no status of an {self.lifecycle.name.lower()}; "
                    f"known: {', '.join(sorted(known))}",
                    key=self.key,
                )
        if not isinstance(self.actor, str) or not self.actor or not isinstance(self.reason, str):
            raise InvalidArgumentError("actor is a non-empty str, reason a str", key=self.key)
        if self.metadata is not None and not isinstance(self.metadata, dict):
            raise InvalidArgumentError("metadata is a dict or None", key=self.key)

    def bound(self) -> Callable[[Any], Any]:
        """Return the change; its id and time are fixed, however often a conflict makes it run."""
        self.check()
        transition_id = str(uuid.uuid4())
        # The recorded orders carry UTC without an offset.
        timestamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")

        def change(record: Any) -> Any:
            status = check_record(record, self.key)["status"]
            if self.expect is not None and status != self.expect:
                raise InvalidTransitionError(
                    f"{self.lifecycle.name} {self.key!r} is {status!r}, no longer {self.expect!r}; "
                    "read it again and decide anew",
                    key=self.key,
                    current=status,
                    allowed=self.lifecycle.allowed(status),
                )
            self.lifecycle.check(self.key, record, self.to)
            entry = {
                "transition_id": transition_id,
                "from_status": status,
                "to_status": self.to,
                "timestamp": timestamp,
                "actor": self.actor,
                "reason": self.reason,
                "metadata": self.metadata or {},
            }
            audit = record.get("audit_log") or {}
            trail = [*trail_of(record, self.key), entry]
            return dict(record) | {"status": self.to, "audit_log": audit | {"transitions": trail}}

        return change


def _trail(record: Any, key: str) -> list[Record]:
    return trail_of(check_record(record, key), key)


def check_record(record: Any, key: str) -> Record:
    """Return a record that has a status.

    Raises:
        MissingKeyError: there is none.
        InvalidValueError: it has another form.
    """
    if record is None:
        raise MissingKeyError(f"There is no entry under {key!r}", key=key)
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise InvalidValueError(f"{key!r} holds no record with a status; repair it first", key=key)
    return dict(record)


def trail_of(record: Record, key: str) -> list[Record]:
    """Return the audit entries of a record, oldest first.

    Raises:
        InvalidValueError: ``audit_log`` has another form.
    """
    audit = record.get("audit_log")
    trail = audit.get("transitions", []) if isinstance(audit, dict) else [] if audit is None else None
    if not isinstance(trail, list):
        raise InvalidValueError(f"{key!r}: audit_log.transitions is no list; repair it first", key=key)
    return trail
