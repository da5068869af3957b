"""Every quote that was ever made, so that a price can be proved later."""

from ad_seller.storage.base import StorageBackend


class QuoteBook:
    def __init__(self, storage: StorageBackend):
        self._storage = storage

    async def note(self, quote: dict) -> None:
        await self._storage.set(
            "quote_history:" + quote["quote_id"], {"cpm": quote["cpm"], "buyer": quote["buyer_id"]}
        )
        index = f"quote_history_index:{quote['buyer_id']}:{quote['product']['product_id']}"
        ids = await self._storage.get(index) or []
        ids.append(quote["quote_id"])
        await self._storage.set(index, ids)

    async def proves(self, buyer_id: str, product_id: str, cpm: float) -> bool:
        ids = await self._storage.get(f"quote_history_index:{buyer_id}:{product_id}") or []
        quotes = [await self._storage.get("quote_history:" + each) for each in ids]
        return any(quote and abs(quote["cpm"] - cpm) < 0.005 for quote in quotes)
