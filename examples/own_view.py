"""A view of one's own, beside those of this package, read by a plain client."""

import asyncio
import sqlite3

from ad_seller.storage import open_url
from ad_seller.storage.operations import Column, View, create_views

CURATORS = View("seller_curators", "curator:", "curator_id", (Column("name", "text", (("name",),)),))


async def main() -> None:
    async with open_url("sqlite:///./own-view.db") as storage:
        await storage.set("curator:cur-1", {"name": "Sports desk"})
        await create_views(storage, (CURATORS,))


asyncio.run(main())
db = sqlite3.connect("own-view.db")
print(db.execute("SELECT curator_id, name FROM seller_curators").fetchall())
db.close()
