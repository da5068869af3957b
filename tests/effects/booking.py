"""One process of a booking: it books, with two messages in the commit of the deal, and delivers what waits."""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ad_seller.storage import StorageBackend, StorageTimeoutError, Transaction
from ad_seller.storage.driver.commit import Delete, Put, Write
from ad_seller.storage.seller.outbox_entries import OutboxForm
from ad_seller.storage.seller.outbox_message import Claim, Message
from ad_seller.storage.seller.outbox_work import Patience, Worker
from examples import ad_server
from examples.ad_server import Ads, AdServer, Record

CLAIM_TTL = 1.5  #: seconds; also of the lease of a worker
ACKNOWLEDGED_PREFIX = "acknowledged:"  #: of the traces of acknowledgements that took effect; id and a number follow
TOLD = ("booked", "invoice")  #: what the messages of a booking say, in order
_PATIENCE = Patience(int(CLAIM_TTL * 1000), first=0.02, longest=0.1, horizon=3600, idle=0.05)


class Telling:
    """A store that puts messages into the commit of each deal; all else it has from the store that it is given."""

    def __init__(self, storage: StorageBackend, outbox: str) -> None:
        self._storage = storage
        self._outbox = outbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def run_once(
        self, scope: str, key: str, request: Any, work: Callable[[Any], Awaitable[Any]], **terms: Any
    ) -> Any:
        async def and_tell(tx: Transaction) -> Any:
            deal = await work(tx)
            for told in TOLD:
                await tx.outbox(self._outbox).put({"told": told, "deal": deal["deal_id"]}, key=scope)
            return deal

        return await self._storage.run_once(scope, key, request, and_tell, **terms)


async def told_later(self: Telling, *request: Any, **terms: Any) -> Any:
    """Do it as one does without an outbox, after the commit: who is killed in between tells nobody."""
    deal = await self._storage.run_once(*request, **terms)
    for told in TOLD:
        await self._storage.outbox(self._outbox).put({"told": told, "deal": deal["deal_id"]}, key=self._outbox)
    return deal


async def done_twice(self: Message) -> None:
    """Acknowledge a message as one does who believes an answer to be lost and writes once more."""
    for _ in range(2):
        await self._claim.commit(Delete(self._place))
    self.is_settled = self.is_delivered = True


class _NothingWaitsError(Exception):
    """There is nothing left to deliver."""


class _Counting:
    """The claim of a message's worker, which leaves a trace of its own in each commit that removes the message.

    Whether a commit took effect is what its trace tells, also where its worker was killed before it knew.
    """

    def __init__(self, claim: Claim, message_id: str) -> None:
        self._claim = claim
        self._message_id = message_id

    async def commit(self, *writes: Write) -> None:
        if isinstance(writes[0], Delete):
            trace = f"{ACKNOWLEDGED_PREFIX}{self._message_id}:{uuid.uuid4().hex}"
            writes = (*writes, Put(trace, b"1"))
        await self._claim.commit(*writes)


def outbox_of(number: int) -> str:
    """Return the outbox of a request: each has its own, so that no process has work left by another request."""
    return f"hooks-{number}"


async def book(storage: StorageBackend, ads_url: str, number: int) -> Record:
    """Book as request ``number``; ask again as a buyer does where the machine was too slow for the claims."""
    telling: Any = Telling(storage, outbox_of(number))
    buyer, quote = f"buyer-{number}", f"qt-{number}"
    while True:
        with suppress(StorageTimeoutError):
            return await ad_server.book(telling, Ads(ads_url), buyer, "key", quote, claim_ttl=CLAIM_TTL)


async def deliver(storage: StorageBackend, ads_url: str, number: int) -> None:
    """Deliver the messages of request ``number`` until none waits."""
    ads, outbox = Ads(ads_url), outbox_of(number)

    async def pause(seconds: float) -> None:
        if not await storage.outbox(outbox).waiting():
            raise _NothingWaitsError
        await asyncio.sleep(seconds)

    worker = Worker(storage, OutboxForm.of(outbox), _PATIENCE, sleep=pause)
    with suppress(_NothingWaitsError):
        async for message in worker.messages():
            message._claim = _Counting(message._claim, message.id)  # type: ignore[assignment]
            async with message:
                await ads.make("deliveries", message.id, {"outbox": outbox, **message.value})


def serve() -> None:
    """Be an ad server, which also takes messages, until standard input ends."""
    with AdServer() as server:
        server.made["deliveries"] = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        print(server.url, flush=True)
        sys.stdin.read()
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    serve()
