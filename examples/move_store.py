"""A store moved while it is used: copied, followed, and checked once nobody writes any more."""

import asyncio

from ad_seller.storage import open_url
from ad_seller.storage.operations import copy_entries, verify


async def main() -> None:
    async with open_url("sqlite:///./old.db") as old, open_url("sqlite:///./new.db") as new:
        await old.set_many({"deal:1": {"status": "active"}, "deal:2": {"status": "active"}})
        done = await copy_entries(old, new, checkpoint="move.json")
        print("copied", done.stored)
        await old.set("deal:1", {"status": "paused"})  # the agent goes on ...
        await old.delete("deal:2")
        print("differ", dict((await verify(old, new)).counts))
        done = await copy_entries(old, new, checkpoint="move.json", again=True)  # ... until it is stopped
        print("stored", done.stored, "deleted", done.deleted, "differ", done.verified.faults)


asyncio.run(main())
