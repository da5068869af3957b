"""One record, many records, pages, and how long they are there."""

import asyncio

from ad_seller.storage import MissingKeyError, open_url


async def main() -> None:
    async with open_url("memory://") as storage:
        for number in range(5):
            await storage.set_quote(f"qt-{number}", {"status": "available", "buyer_id": f"b{number % 2}"})

        print(await storage.get_quote("qt-9"))  # None: there is no such quote
        print(len(await storage.list_quotes({"buyer_id": "b0"})))
        print(await storage.keys("quote:qt-[0-2]"))
        print(await storage.count("quote:*"))

        cursor = None
        while True:
            page = await storage.scan("quote:*", limit=2, cursor=cursor)
            print([key for key, _ in page.items])
            cursor = page.cursor
            if cursor is None:
                break

        await storage.expire("quote:qt-0", 3600)
        await storage.persist("quote:qt-1")
        print(await storage.ttl("quote:qt-1"))  # None: it never expires
        try:
            await storage.ttl("quote:qt-9")
        except MissingKeyError as error:
            print(error)


asyncio.run(main())
