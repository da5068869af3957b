"""What open deals refer to: it is never removed."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from ..base import StorageBackend
from ..seller.kinds import PREFIXES
from .fields import Place, values_at

_PAGE: Final = 1000

#: A deal in any other status is open.
CLOSED_DEALS: Final = frozenset(
    (
        "cancelled", "canceled", "closed", "completed", "declined", "deprecated", "ended", "expired", "failed",
        "rejected", "terminated",
    )
)  # fmt: skip

#: Fields of deals, and the prefix of what they name.
_REFERENCES: Final[tuple[tuple[Place, str], ...]] = (
    (("quote_id",), PREFIXES["quote"]),
    (("quote_id",), PREFIXES["negotiation"]),  # which is stored by the id of what is negotiated
    (("proposal_id",), PREFIXES["proposal"]),
    (("proposal_id",), PREFIXES["negotiation"]),
    (("negotiation_id",), PREFIXES["negotiation"]),
    (("product_id",), PREFIXES["product"]),
    (("product", "product_id"), PREFIXES["product"]),
    (("package_id",), PREFIXES["package"]),
    (("session_id",), PREFIXES["session"]),
    (("order_id",), PREFIXES["order"]),
    (("parent_deal_id",), PREFIXES["deal"]),
    (("replacement_deal_id",), PREFIXES["deal"]),
)


def is_open(deal: Any) -> bool:
    """Tell whether a deal is open; what is no record counts as open."""
    status = deal.get("status") if isinstance(deal, dict) else None
    return not (isinstance(status, str) and status.lower() in CLOSED_DEALS)


class OpenDeals:
    """The open deals and what they refer to, as a number for each key: two keys of one number are both kept."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._numbers: set[int] = set()

    @classmethod
    async def read(cls, store: StorageBackend) -> OpenDeals:
        """Look at all deals.

        Raises:
            CorruptValueError: a deal cannot be read, so nobody knows what it refers to; `repair` sets it aside.
        """
        found, cursor = cls(), None
        while True:
            page = await store.scan(f"{PREFIXES['deal']}*", limit=_PAGE, cursor=cursor)
            for key, deal in page.items:
                if is_open(deal):
                    found._numbers.update(map(_number, (key, *_targets(deal))))
            cursor = page.cursor
            if cursor is None:
                return found

    def need(self, key: str) -> bool:
        """Tell whether a key is an open deal, or what one refers to."""
        return _number(key) in self._numbers


def _targets(deal: Any) -> list[str]:
    return [
        prefix + one
        for place, prefix in _REFERENCES
        for one in values_at(deal, place)
        if isinstance(one, str) and one
    ]


def _number(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
