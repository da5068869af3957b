"""State machines as data: which status may follow which, and the audit trail of each step."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from .errors import InvalidArgumentError, InvalidTransitionError, InvalidValueError, MissingKeyError, shown

Record = dict[str, Any]

#: Called with the record and the next status; returns why the step is refused, or None.
Guard = Callable[[Record, str], str | None]


@dataclass(frozen=True)
class Lifecycle:
    """The statuses of a kind of record and the steps between them.

    Attributes:
        name: what messages call such a record.
        transitions: the statuses that may follow each status.
        guards: further conditions of each step.
    """

    name: str
    transitions: Mapping[str, tuple[str, ...]]
    guards: tuple[Guard, ...] = field(default=())

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
        for status, following in (transitions or {}).items():
            merged[status] = tuple(dict.fromkeys((*merged.get(status, ()), *following)))
        return replace(self, transitions=merged, guards=(*self.guards, *guards))

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


@dataclass(frozen=True)
class Step:
    """One transition of one record: a function for `update` that checks it and appends its audit entry."""

    lifecycle: Lifecycle
    key: str
    to: str
    actor: str
    reason: str
    expect: str | None
    metadata: Record | None

    def __post_init__(self) -> None:
        """Check what can be checked without the record."""
        known = self.lifecycle.statuses
        for name, status in (("to", self.to), ("expect", self.expect)):
            if status is not None and status not in known:
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
