"""What a health endpoint of an agent may answer."""

import asyncio

from ad_seller.storage import StorageBackend, open_url


async def answer(storage: StorageBackend) -> dict[str, object]:
    health = await storage.health()  # asks the store
    stats = storage.stats()  # asks nobody
    return {
        "reachable": health.is_reachable,
        "slow": health.seconds > 1,
        "doubts": health.doubts,
        "waiting": stats.writes.waiting if stats.writes else None,
        "largest batch": stats.writes.largest if stats.writes else None,
    }


async def main() -> None:
    async with open_url("sqlite:///./healthy.db") as storage:
        await asyncio.gather(*(storage.set(f"deal:{number}", {"status": "booked"}) for number in range(20)))
        for name, value in (await answer(storage)).items():
            print(f"{name}: {value}")


asyncio.run(main())
