"""Records by their fields, and the newest of something."""

from __future__ import annotations

import asyncio

from ad_seller.storage import DEFAULT_INDEXES, Index, StorageBackend, new_id
from ad_seller.storage.memory_backend import MemoryBackend

#: On SQLite and PostgreSQL a search by one of these fields costs what it finds.
INDEXES = [*DEFAULT_INDEXES, Index("event", "session_id"), Index("quote", "product.product_id")]


async def newest_of_session(storage: StorageBackend, session_id: str) -> list[dict[str, object]]:
    """Return the newest two events of a session, in pages."""
    page = await storage.find("event", {"session_id": session_id}, reverse=True, limit=1)
    events = [event for _, event in page.items]
    page = await storage.find("event", {"session_id": session_id}, reverse=True, limit=1, cursor=page.cursor)
    return events + [event for _, event in page.items]


async def main() -> None:
    async with MemoryBackend(indexes=INDEXES) as storage:
        for number in range(6):
            event = {"session_id": f"s{number % 2}", "n": number}
            await storage.set(new_id("event:"), event)  # ids that sort by the time of their making
        print(await newest_of_session(storage, "s1"))
        await storage.set_quote("q1", {"product": {"product_id": "display"}, "cpm": 4.5})
        print((await storage.find("quote", {"product.product_id": "display"})).items)
        print((await storage.scan("event:*", reverse=True, limit=1)).items[0][1])
        print(await storage.list_quotes(limit=1, reverse=True))


if __name__ == "__main__":
    asyncio.run(main())
