"""A look at a store from a program, e.g. a job of the monitoring."""

import asyncio

from ad_seller.storage import open_url
from ad_seller.storage.operations import examine, fixes


async def main() -> None:
    async with open_url("sqlite:///./watched.db") as storage:
        await storage.set("session_index:buyer:acme", ["s-1"])
        found = [each for each in await examine(storage) if each.severity != "note" and each.fixable]
        for finding in found:
            print(finding.rule, finding.examples)
        async for step in fixes(storage, found):
            print(step.what, "-", await step.apply())


asyncio.run(main())
