"""What `test_fork` runs in a process of its own: a connected backend used in a forked child and in its parent."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading

from ad_seller.storage.postgres_backend import PostgresBackend

logging.getLogger("ad_seller.storage").setLevel(logging.ERROR)  # that servers of tests keep little is no news
storage = PostgresBackend(sys.argv[1])


def in_child() -> bool:
    """Use it in an event loop of a thread: the one that was forked still counts as running here."""
    answers: list[object] = []

    async def use() -> None:
        answers.append(await storage.get("a"))
        await storage.set("b", 2)

    def work() -> None:
        asyncio.run(use())
        asyncio.run(storage.disconnect())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    gc.collect()
    return answers == [1]


async def main() -> None:
    await storage.connect()
    await storage.set("a", 1)
    sessions = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'ad_seller_storage'"
    )
    engine = (await storage._here()).engine
    before = await engine._client.read(sessions)  # type: ignore[attr-defined]
    child = os.fork()
    if child == 0:
        os._exit(0 if in_child() else 1)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert await storage.get_many(["a", "b"]) == {"a": 1, "b": 2}
    for _ in range(1500):
        if await engine._client.read(sessions) == before:  # type: ignore[attr-defined]
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("the child has ended sessions of the parent, or left its own")
    await storage.disconnect()


asyncio.run(main())
