"""Several publishers in one store: each has a namespace, and sees nothing of the others."""

from __future__ import annotations

import asyncio
import sys

from ad_seller.storage import NamespacedBackend, StorageBackend, open_url


async def sell(storage: StorageBackend, order_id: str) -> None:
    """What an agent does for one publisher; it knows of no other."""
    await storage.set_order(order_id, {"status": "draft"})
    await storage.transition_order(order_id, "submitted", actor="agent")


async def main(url: str) -> None:
    async with open_url(url) as store:  # one connection for all of them
        for name in ("publisher-a", "publisher-b"):
            async with NamespacedBackend(store, name) as publisher:
                await sell(publisher, "ORD-1")
        async with NamespacedBackend(store, "publisher-a") as publisher:
            print(await publisher.keys("*"))
            print([order["status"] for order in await publisher.list_orders({"status": "submitted"})])
            print(await publisher.delete_order("ORD-1"))
        print(await store.keys("*"))  # who has the store itself sees all


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "memory://"))
