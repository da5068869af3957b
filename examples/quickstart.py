import asyncio

from ad_seller.storage import open_url


def add_note(order: dict[str, int]) -> dict[str, int]:
    return order | {"notes": order["notes"] + 1}


async def main() -> None:
    async with open_url("sqlite:///./quickstart.db") as storage:
        await storage.set_order("ORD-1", {"impressions": 2_000_000, "notes": 0})
        await storage.set_quote("qt-1", {"order_id": "ORD-1", "cpm": 28.0}, ttl=3600)
        # 100 tasks change one record at the same time, and no change is lost.
        await asyncio.gather(*(storage.update_order("ORD-1", add_note) for _ in range(100)))
        print(await storage.get_order("ORD-1"), await storage.ttl("quote:qt-1"))


asyncio.run(main())
