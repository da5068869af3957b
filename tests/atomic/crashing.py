"""A process whose children book quotes and are killed at a chosen moment: ``python -m tests.atomic.crashing``.

Children come by fork, which is fast; this process itself has no event loop and no connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from typing import Any

from ad_seller.storage import StorageBackend, Transaction

from .support import Address, watched

CLAIM_TTL = 0.3
NEVER = 1_000


async def book_once(storage: StorageBackend, number: int) -> Any:
    """Book quote ``number`` as request ``number``; the same from whichever process it comes."""

    async def work(tx: Transaction) -> dict[str, Any]:
        deal = {"deal_id": f"d-{number}-{os.getpid()}", "quote_id": f"qt-{number}"}
        await tx.set_deal(deal["deal_id"], deal)
        await tx.update_quote(f"qt-{number}", lambda quote: quote | {"deal_id": deal["deal_id"]})
        return deal

    return await storage.run_once("crash", str(number), number, work, claim_ttl=CLAIM_TTL)


async def book_and_die(address: Address, number: int, step: int) -> None:
    """Book, and be killed at await ``step``; with a negative one, at a random moment instead."""

    def on_await(reached: int, _: object) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async with address.open() as storage:
        if step < 0:
            delay = random.Random(number).uniform(0, 0.012)
            threading.Thread(target=kill_after, args=(delay,), daemon=True).start()
        await watched(book_once(storage, number), on_await)


def step_of(number: int) -> int:
    """Every second round at some step, most others at some moment, and a few live, however slow the machine is."""
    return NEVER if number % 10 == 8 else number // 2 % 8 if number % 2 else -1


def kill_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    logging.getLogger("ad_seller.storage").setLevel(logging.ERROR)  # that servers of tests keep nothing is no news
    parts, rounds = json.loads(sys.argv[1])
    killed = 0
    for number in range(rounds):
        child = os.fork()
        if child == 0:
            asyncio.run(book_and_die(Address(*parts), number, step_of(number)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit(f"round {number} failed")
    print(killed)


if __name__ == "__main__":
    main()
