"""Which records lead to which: a declared table, as the agents of this kind store them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ...atomic.idempotency import IDEMPOTENCY_PREFIX
from ...seller.kinds import AGENT_URL_INDEX_PREFIX, PREFIXES, SESSION_INDEX_PREFIX


class Reference(NamedTuple):
    """A field of a kind of record that holds the id of another.

    Attributes:
        prefix: of the records.
        field: the name of the member; None: the value itself is an id, or a list of ids.
        to: the prefix of the other.
        lasts: False where the other one's kind expires by itself.
    """

    prefix: str
    field: str | None
    to: str
    lasts: bool = True

    @property
    def is_index(self) -> bool:
        """Whether the entry is nothing but ids."""
        return self.field is None

    def targets(self, value: Any) -> list[str]:
        """Return the keys that a value leads to; none where it leads nowhere, or is none that could."""
        if self.field is not None:
            value = value.get(self.field) if isinstance(value, dict) else None
            return [self.to + value] if isinstance(value, str) and value else []
        ids = value if isinstance(value, list) else [value]
        return [self.to + one for one in ids if isinstance(one, str) and one]


REFERENCES: Final = (
    Reference(PREFIXES["deal"], "quote_id", PREFIXES["quote"], lasts=False),
    Reference(PREFIXES["quote"], "deal_id", PREFIXES["deal"]),
    Reference(PREFIXES["order"], "deal_id", PREFIXES["deal"]),
    Reference(PREFIXES["order"], "quote_id", PREFIXES["quote"], lasts=False),
    Reference(PREFIXES["change_request"], "order_id", PREFIXES["order"]),
    Reference(PREFIXES["change_request"], "deal_id", PREFIXES["deal"]),
    Reference(SESSION_INDEX_PREFIX, None, PREFIXES["session"]),
    Reference(AGENT_URL_INDEX_PREFIX, None, PREFIXES["agent"]),
)

#: Prefixes of entries that are meant to expire.
EXPIRING: Final = (PREFIXES["quote"], PREFIXES["session"], IDEMPOTENCY_PREFIX, "cache:", "lock:", "rate_limit:")
