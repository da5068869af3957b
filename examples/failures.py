"""What goes wrong, and what to do about it."""

import asyncio

from ad_seller.storage import (
    ConflictError,
    InvalidValueError,
    StorageBackend,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    UnknownOutcomeError,
    open_url,
)


async def save_deal(storage: StorageBackend, deal_id: str, deal: dict[str, object]) -> str:
    try:
        await storage.set_deal(deal_id, deal)
    except InvalidValueError as error:
        return f"a mistake of the caller, at {error.path}: repair the code"
    except UnknownOutcomeError:
        stored = await storage.get_deal(deal_id)  # it may have been written or not: look
        return "written" if stored == deal else "not written, or something else is there"
    except (StorageConnectionError, StorageTimeoutError, ConflictError):
        return "nothing was written: try again later"
    except StorageError as error:
        return f"needs a person: {error}"
    return "written"


async def main() -> None:
    async with open_url("memory://") as storage:
        print(await save_deal(storage, "DEMO-1", {"price": 28.0}))
        print(await save_deal(storage, "DEMO-1", {"price": float("nan")}))
        print(await storage.get_deal("DEMO-1"))  # what was there before
    print(await save_deal(storage, "DEMO-1", {"price": 28.0}))


asyncio.run(main())
