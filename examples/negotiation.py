"""A negotiation: the number of a round and the answer to an offer come from what is stored at that moment.

Offers that arrive together are answered one after the other, each with a number of its own, and none is lost.
"""

import asyncio
from typing import Any

from ad_seller.storage import MissingKeyError, StorageBackend, open_url

Record = dict[str, Any]
MAX_ROUNDS = 6


class NegotiationOverError(Exception):
    """The negotiation has been agreed, has ended, or never began."""


async def open_negotiation(storage: StorageBackend, quote_id: str, asked: float, floor: float) -> None:
    negotiation = {"proposal_id": quote_id, "status": "active", "asked": asked, "floor": floor, "rounds": []}
    if not await storage.create(f"negotiation:{quote_id}", negotiation):
        raise NegotiationOverError(f"There is a negotiation about {quote_id} already")


async def counter_offer(storage: StorageBackend, quote_id: str, buyer_price: float) -> Record:
    """Answer an offer, and return the round.

    `answer` may run several times, when somebody else was faster, so it does nothing but compute.
    """

    def answer(negotiation: Record) -> Record:
        if negotiation["status"] != "active":
            raise NegotiationOverError(f"No offers are taken for {quote_id}")
        rounds = negotiation["rounds"]
        asked = rounds[-1]["seller_price"] if rounds else negotiation["asked"]
        agreed = buyer_price >= negotiation["floor"]
        seller_price = buyer_price if agreed else max(negotiation["floor"], round((asked + buyer_price) / 2, 2))
        number = len(rounds) + 1
        new_round = {"round_number": number, "buyer_price": buyer_price, "seller_price": seller_price}
        status = "agreed" if agreed else "ended" if number == MAX_ROUNDS else "active"
        return negotiation | {"status": status, "rounds": [*rounds, new_round]}

    try:
        negotiation = await storage.update_negotiation(quote_id, answer)
    except MissingKeyError as error:
        raise NegotiationOverError(f"There is no negotiation about {quote_id}") from error
    last: Record = negotiation["rounds"][-1]
    return last


async def main() -> None:
    async with open_url("memory://") as storage:
        await open_negotiation(storage, "qt-1", asked=22.0, floor=12.0)
        for offer in await asyncio.gather(*(counter_offer(storage, "qt-1", price) for price in (8.0, 10.0, 12.0))):
            print(offer)
        try:
            await counter_offer(storage, "qt-1", 19.0)
        except NegotiationOverError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
