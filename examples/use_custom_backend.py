"""The backend of custom_backend.py, by a name of its own."""

import asyncio
from pathlib import Path

from ad_seller.storage import get_storage_backend, register_backend

register_backend("directory", "custom_backend:DirectoryBackend")  # imported when it is first asked for


async def main() -> None:
    async with get_storage_backend("directory", database_url="directory:///./seller") as storage:
        await storage.set_deal("DEMO-1", {"cpm": 28.0})
        await storage.set_quote("qt-1", {"status": "available"}, ttl=3600)
        await asyncio.gather(*(storage.add_session_to_buyer_index(f"s{n}", "gold") for n in range(3)))
        print(await storage.list_deals(), await storage.get_buyer_session_ids("gold"))
        print(await storage.keys("[dq]*"))


asyncio.run(main())
for path in sorted(Path("seller").iterdir()):
    print(path.name, path.read_text().splitlines()[-1])
