"""The idempotency store of the public AdCP library (`adcp` on PyPI), kept in a storage of this package.

It answers repeats from whichever process, lets one process run a request at a time, and can write what a request
changes in the commit of its answer. Needs `pip install "adcp>=8,<10"`.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from adcp.decisioning import AdcpError
from adcp.exceptions import IdempotencyExpiredError
from adcp.server import ADCPHandler, ToolContext
from adcp.server.idempotency import CachedResponse, IdempotencyBackend, IdempotencyStore

from ad_seller.storage import Lease, LeaseHeldError, LeaseLostError, StorageBackend, Transaction, open_url

Record = dict[str, Any]
Work = Callable[[Transaction], Awaitable[None]]


@dataclass
class Turn:
    """A request that runs: what it holds, and what is written together with its answer."""

    slot: str
    lease: Lease
    works: list[Work] = field(default_factory=list)


_turn: ContextVar[Turn | None] = ContextVar("adcp_turn", default=None)


def with_answer(work: Work) -> None:
    """Let `work` write in the commit of the answer: a request that dies before has changed nothing."""
    turn = _turn.get()
    if turn is None:
        raise RuntimeError("with_answer() is for handlers wrapped by an IdempotencyStore, in requests with a key")
    turn.works.append(work)


class StoredAnswers(IdempotencyBackend):
    """Where `IdempotencyStore` keeps its answers: SQLite, Redis, PostgreSQL, or memory for tests.

    Attributes:
        remember_expired: seconds for which a key is known to be used after its answer has expired, and refused.
        wait: seconds for which a repeat waits for the process that runs the request; then it is told to come back.
        max_seconds: after so many a request that hangs is cancelled; None for never.
        holder_ttl: seconds after which the request of a process that died may run again.
    """

    def __init__(
        self,
        storage: StorageBackend,
        *,
        remember_expired: float = 0.0,
        wait: float = 30.0,
        max_seconds: float | None = None,
        holder_ttl: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage = storage
        self.remember_expired = remember_expired
        self.wait = wait
        self.max_seconds = max_seconds
        self.holder_ttl = holder_ttl
        self._clock = clock

    async def get(self, scope_key: str, key: str) -> CachedResponse | None:
        record = await self.storage.get(_answer(_slot(scope_key, key)))
        return None if record is None else CachedResponse(**record)

    async def put(self, scope_key: str, key: str, entry: CachedResponse) -> None:
        slot, turn = _slot(scope_key, key), _turn.get()

        async def work(tx: Transaction) -> None:
            if turn is not None and turn.slot == slot:
                await tx.hold(turn.lease)  # a process that was replaced meanwhile writes nothing
                for write in turn.works:
                    await write(tx)
            await self._write(tx, slot, entry)

        await self.storage.transact(work)

    async def put_if_absent(self, scope_key: str, key: str, entry: CachedResponse) -> bool:
        slot = _slot(scope_key, key)

        async def work(tx: Transaction) -> bool:
            if await tx.get(_answer(slot)) is not None:
                return False
            await self._write(tx, slot, entry)
            return True

        return await self.storage.transact(work)

    async def _write(self, tx: Transaction, slot: str, entry: CachedResponse) -> None:
        left = entry.expires_at_epoch - self._clock()
        if left <= 0:
            await tx.delete(_answer(slot))
            return
        await tx.set(_answer(slot), asdict(entry), ttl=left)
        if self.remember_expired:
            await tx.set(_used(slot), True, ttl=left + self.remember_expired)

    @asynccontextmanager
    async def hold(self, scope_key: str, key: str) -> AsyncIterator[None]:
        slot, limit = _slot(scope_key, key), asyncio.timeout(self.max_seconds)
        try:
            async with AsyncExitStack() as stack:
                lease = await self._take(stack, slot)
                await self._refuse_expired(slot)
                token = _turn.set(Turn(slot, lease))
                try:
                    async with limit:
                        yield
                finally:
                    _turn.reset(token)
        except (LeaseLostError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise  # the handler's own
            raise _come_back("SERVICE_UNAVAILABLE", "The request took too long, and changed nothing") from error

    async def _take(self, stack: AsyncExitStack, slot: str) -> Lease:
        lease = self.storage.lease(slot, self.holder_ttl, wait=self.wait)
        try:
            return await stack.enter_async_context(lease)
        except LeaseHeldError as error:
            raise _come_back("IDEMPOTENCY_IN_FLIGHT", "The first request with this key still runs") from error

    async def _refuse_expired(self, slot: str) -> None:
        answer, used = _answer(slot), _used(slot)
        if self.remember_expired and (await self.storage.get_many([answer, used])).keys() == {used}:
            error = {"code": "IDEMPOTENCY_EXPIRED", "message": "The answer to this key has expired"}
            raise IdempotencyExpiredError("request", [error])

    async def delete_expired(self, now_epoch: float | None = None) -> int:
        """Remove nothing: the store removes what has expired by itself."""
        return 0


def idempotency(storage: StorageBackend, ttl_seconds: int = 86_400, **how: Any) -> IdempotencyStore:
    """Return a store whose answers are in `storage`; a request whose commit fails is an error, not a success."""
    return IdempotencyStore(StoredAnswers(storage, **how), ttl_seconds, raise_on_persist_error=True)


def _slot(scope_key: str, key: str) -> str:
    """Return a name that no other pair has, whatever characters they hold."""
    return f"adcp:{quote(scope_key, safe='')}:{quote(key, safe='')}"


def _answer(slot: str) -> str:
    return f"adcp_answer:{slot}"


def _used(slot: str) -> str:
    return f"adcp_used:{slot}"


def _come_back(code: str, message: str) -> AdcpError:
    return AdcpError(code, message=message, recovery="transient", retry_after=1)


def make_seller(storage: StorageBackend, answers: IdempotencyStore) -> ADCPHandler[ToolContext]:
    """Return a seller whose media buys are orders in `storage`."""

    class Seller(ADCPHandler[ToolContext]):
        @answers.wrap
        async def create_media_buy(self, params: Record, context: ToolContext | None = None) -> Record:
            order_id = f"mb-{uuid.uuid4().hex[:12]}"

            async def write(tx: Transaction) -> None:
                await tx.set_order(order_id, {"order_id": order_id, "status": "submitted", "packages": packages})
                await tx.outbox("webhooks").put({"event": "created", "order_id": order_id}, key=order_id)

            packages = params["packages"]
            with_answer(write)
            return {
                "media_buy_id": order_id,
                "revision": 1,
                "confirmed_at": datetime.now(UTC).isoformat(),
                "packages": [],
            }

    return Seller()


async def main() -> None:
    async with open_url("memory://") as storage:
        seller = make_seller(storage, idempotency(storage, remember_expired=30 * 86_400))
        request = {"idempotency_key": str(uuid.uuid4()), "packages": [{"product_id": "prod-1", "budget": 1000}]}
        buyer = ToolContext(caller_identity="buyer-1", tenant_id="tenant-1")
        answers = await asyncio.gather(*(seller.create_media_buy(request, buyer) for _ in range(8)))
        print("8 requests with one key:", len(await storage.list_orders()), "order,", end=" ")
        print(sum("replayed" in answer for answer in answers), "replayed")


if __name__ == "__main__":
    asyncio.run(main())
