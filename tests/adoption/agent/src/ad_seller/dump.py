"""``python -m ad_seller.dump``: every key and value that this agent's storage reads, as JSON."""

import asyncio
import json

from .storage import get_storage_backend


async def main() -> None:
    storage = get_storage_backend()
    await storage.connect()
    print(json.dumps({key: await storage.get(key) for key in await storage.keys("*")}))
    await storage.disconnect()


asyncio.run(main())
