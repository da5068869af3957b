"""A helper for every kind of record that a seller offers with: products, packages, media kits, proposals, quotes.

`entities` says what each of them does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records.expiry import TTL
from ..records.markers import KEEP
from .access import NewTTL, Record, RecordChange, entity_key, list_records, record_of, update_record
from .host import Host
from .kinds import QuoteFilters, conditions

if TYPE_CHECKING:
    from ..records.pages import OnCorrupt

QUOTE_TTL = 86_400  #: seconds that a price quote is valid


class OfferHelpers(Host):
    """What is on offer, by id, on top of get, set, delete, scan and update."""

    # --- products ----------------------------------------------------------------------------------

    async def get_product(self, product_id: str) -> Record | None:
        """Return the product catalogue entry, or None."""
        return await self.get(entity_key("product", product_id))

    async def set_product(self, product_id: str, product_data: Record) -> None:
        """Store the product catalogue entry."""
        await self.set(*record_of("product", product_id, product_data))

    async def delete_product(self, product_id: str) -> bool:
        """Remove the product catalogue entry; tell whether there was one."""
        return await self.delete(entity_key("product", product_id))

    async def update_product(
        self, product_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the product catalogue entry by ``change(current)``; see `update`."""
        return await update_record(self, "product", product_id, change, start, ttl)

    async def list_products(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all product catalogue entries."""
        return await list_records(self, "product", limit, reverse, on_corrupt)

    # --- packages ----------------------------------------------------------------------------------

    async def get_package(self, package_id: str) -> Record | None:
        """Return the media kit package, or None."""
        return await self.get(entity_key("package", package_id))

    async def set_package(self, package_id: str, package_data: Record) -> None:
        """Store the media kit package."""
        await self.set(*record_of("package", package_id, package_data))

    async def delete_package(self, package_id: str) -> bool:
        """Remove the media kit package; tell whether there was one."""
        return await self.delete(entity_key("package", package_id))

    async def update_package(
        self, package_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit package by ``change(current)``; see `update`."""
        return await update_record(self, "package", package_id, change, start, ttl)

    async def list_packages(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kit packages."""
        return await list_records(self, "package", limit, reverse, on_corrupt)

    # --- media kits --------------------------------------------------------------------------------

    async def get_media_kit(self, seller_org_id: str) -> Record | None:
        """Return the media kit metadata of a seller organisation, or None."""
        return await self.get(entity_key("media_kit", seller_org_id))

    async def set_media_kit(self, seller_org_id: str, data: Record) -> None:
        """Store the media kit metadata of a seller organisation."""
        await self.set(*record_of("media_kit", seller_org_id, data))

    async def delete_media_kit(self, seller_org_id: str) -> bool:
        """Remove the media kit metadata of a seller organisation; tell whether there was one."""
        return await self.delete(entity_key("media_kit", seller_org_id))

    async def update_media_kit(
        self, seller_org_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit metadata of a seller organisation by ``change(current)``; see `update`."""
        return await update_record(self, "media_kit", seller_org_id, change, start, ttl)

    async def list_media_kits(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kits."""
        return await list_records(self, "media_kit", limit, reverse, on_corrupt)

    # --- proposals ---------------------------------------------------------------------------------

    async def get_proposal(self, proposal_id: str) -> Record | None:
        """Return the buyer proposal, or None."""
        return await self.get(entity_key("proposal", proposal_id))

    async def set_proposal(self, proposal_id: str, proposal_data: Record) -> None:
        """Store the buyer proposal."""
        await self.set(*record_of("proposal", proposal_id, proposal_data))

    async def delete_proposal(self, proposal_id: str) -> bool:
        """Remove the buyer proposal; tell whether there was one."""
        return await self.delete(entity_key("proposal", proposal_id))

    async def update_proposal(
        self, proposal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the buyer proposal by ``change(current)``; see `update`."""
        return await update_record(self, "proposal", proposal_id, change, start, ttl)

    async def list_proposals(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all buyer proposals."""
        return await list_records(self, "proposal", limit, reverse, on_corrupt)

    # --- quotes ------------------------------------------------------------------------------------

    async def get_quote(self, quote_id: str) -> Record | None:
        """Return the price quote, or None."""
        return await self.get(entity_key("quote", quote_id))

    async def set_quote(self, quote_id: str, quote_data: Record, ttl: TTL | None = QUOTE_TTL) -> None:
        """Store the price quote; ``ttl`` in seconds, 24 h unless given, None for no expiry."""
        await self.set(*record_of("quote", quote_id, quote_data), ttl)

    async def delete_quote(self, quote_id: str) -> bool:
        """Remove the price quote; tell whether there was one."""
        return await self.delete(entity_key("quote", quote_id))

    async def update_quote(
        self, quote_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the price quote by ``change(current)``; see `update`."""
        return await update_record(self, "quote", quote_id, change, start, ttl)

    async def list_quotes(
        self,
        filters: QuoteFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the price quotes that match ``filters`` on ``status``, ``buyer_id`` and ``product_id``."""
        return await list_records(self, "quote", limit, reverse, on_corrupt, conditions("quote", filters))
