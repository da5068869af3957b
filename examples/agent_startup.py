"""An agent opens the store of its settings once, shares it, and closes it at the end."""

import asyncio

from ad_seller.storage.factory import close_storage, get_storage


async def handle_request(order_id: str) -> None:
    storage = await get_storage()  # the same, connected one for everybody
    await storage.set_order(order_id, {"status": "draft"})


async def main() -> None:
    try:
        await asyncio.gather(*(handle_request(f"ORD-{number}") for number in range(10)))
        storage = await get_storage()
        print(storage.capabilities.durable, await storage.count("order:*"))
    finally:
        await close_storage()


asyncio.run(main())
