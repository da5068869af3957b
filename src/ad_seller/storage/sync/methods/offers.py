"""Made by `python -m tests.sync.generate` from `OfferHelpers`; not to be edited."""

from __future__ import annotations

from typing import Any

from ad_seller.storage import KEEP, TTL, NewTTL, OnCorrupt, QuoteFilters, Record, RecordChange

from ..handover import Inner, Methods, in_loop, reported


class OfferMethods(Methods[Inner]):
    """The methods of `OfferHelpers` without await."""

    def get_product(self, product_id: str) -> Record | None:
        """Return the product catalogue entry, or None."""
        return self._read(self._inner.get_product, product_id)

    def set_product(self, product_id: str, product_data: Record) -> None:
        """Store the product catalogue entry."""
        return self._run(self._inner.set_product, product_id, product_data)

    def delete_product(self, product_id: str) -> bool:
        """Remove the product catalogue entry; tell whether there was one."""
        return self._run(self._inner.delete_product, product_id)

    def update_product(
        self, product_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the product catalogue entry by ``change(current)``; see `update`."""
        return self._run(self._inner.update_product, product_id, in_loop(change), start=start, ttl=ttl)

    def list_products(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all product catalogue entries."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_products, limit=limit, reverse=reverse, on_corrupt=report)

    def get_package(self, package_id: str) -> Record | None:
        """Return the media kit package, or None."""
        return self._read(self._inner.get_package, package_id)

    def set_package(self, package_id: str, package_data: Record) -> None:
        """Store the media kit package."""
        return self._run(self._inner.set_package, package_id, package_data)

    def delete_package(self, package_id: str) -> bool:
        """Remove the media kit package; tell whether there was one."""
        return self._run(self._inner.delete_package, package_id)

    def update_package(
        self, package_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit package by ``change(current)``; see `update`."""
        return self._run(self._inner.update_package, package_id, in_loop(change), start=start, ttl=ttl)

    def list_packages(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kit packages."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_packages, limit=limit, reverse=reverse, on_corrupt=report)

    def get_media_kit(self, seller_org_id: str) -> Record | None:
        """Return the media kit metadata of a seller organisation, or None."""
        return self._read(self._inner.get_media_kit, seller_org_id)

    def set_media_kit(self, seller_org_id: str, data: Record) -> None:
        """Store the media kit metadata of a seller organisation."""
        return self._run(self._inner.set_media_kit, seller_org_id, data)

    def delete_media_kit(self, seller_org_id: str) -> bool:
        """Remove the media kit metadata of a seller organisation; tell whether there was one."""
        return self._run(self._inner.delete_media_kit, seller_org_id)

    def update_media_kit(
        self, seller_org_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit metadata of a seller organisation by ``change(current)``; see `update`."""
        return self._run(self._inner.update_media_kit, seller_org_id, in_loop(change), start=start, ttl=ttl)

    def list_media_kits(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kits."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_media_kits, limit=limit, reverse=reverse, on_corrupt=report)

    def get_proposal(self, proposal_id: str) -> Record | None:
        """Return the buyer proposal, or None."""
        return self._read(self._inner.get_proposal, proposal_id)

    def set_proposal(self, proposal_id: str, proposal_data: Record) -> None:
        """Store the buyer proposal."""
        return self._run(self._inner.set_proposal, proposal_id, proposal_data)

    def delete_proposal(self, proposal_id: str) -> bool:
        """Remove the buyer proposal; tell whether there was one."""
        return self._run(self._inner.delete_proposal, proposal_id)

    def update_proposal(
        self, proposal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the buyer proposal by ``change(current)``; see `update`."""
        return self._run(self._inner.update_proposal, proposal_id, in_loop(change), start=start, ttl=ttl)

    def list_proposals(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all buyer proposals."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_proposals, limit=limit, reverse=reverse, on_corrupt=report)

    def get_quote(self, quote_id: str) -> Record | None:
        """Return the price quote, or None."""
        return self._read(self._inner.get_quote, quote_id)

    def set_quote(self, quote_id: str, quote_data: Record, ttl: TTL | None = 86400) -> None:
        """Store the price quote; ``ttl`` in seconds, 24 h unless given, None for no expiry."""
        return self._run(self._inner.set_quote, quote_id, quote_data, ttl)

    def delete_quote(self, quote_id: str) -> bool:
        """Remove the price quote; tell whether there was one."""
        return self._run(self._inner.delete_quote, quote_id)

    def update_quote(
        self, quote_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the price quote by ``change(current)``; see `update`."""
        return self._run(self._inner.update_quote, quote_id, in_loop(change), start=start, ttl=ttl)

    def list_quotes(
        self,
        filters: QuoteFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the price quotes that match ``filters`` on ``status``, ``buyer_id`` and ``product_id``."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_quotes, filters, limit=limit, reverse=reverse, on_corrupt=report)
