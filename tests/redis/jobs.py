"""What the Redis tests have done by processes of their own: ``python -m tests.redis.jobs NAME ARGUMENTS``."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from ad_seller.storage.redis_backend import RedisBackend
from tests.processes import do_job, in_the_child


def fork_while_connected(url: str) -> None:
    """Fork with calls under way: the child opens connections of its own, the parent gets its answers in time."""

    async def child(store: RedisBackend, number: int) -> None:
        assert await store.get("key") == 1
        await asyncio.gather(store.set(f"child:{number}", number), store.incr("of the children"))
        assert f"child:{number}" in await store.keys()
        await store.disconnect()

    async def run() -> None:
        async with RedisBackend(url) as store:
            await store.set("key", 1)
            for number in range(5):
                reads = [asyncio.create_task(store.get("key")) for _ in range(10)]
                reads += [asyncio.create_task(store.incr("counter")) for _ in range(3)]
                await asyncio.sleep(0)
                pid = os.fork()
                if pid == 0:
                    in_the_child(child(store, number))
                status = await asyncio.to_thread(os.waitpid, pid, 0)
                assert os.waitstatus_to_exitcode(status[1]) == 0
                started = time.monotonic()
                assert [await read for read in reads[:10]] == [1] * 10
                assert await store.get(f"child:{number}") == number
                await asyncio.gather(*reads)
                assert time.monotonic() - started < 2
            assert await store.get("counter") == 15

    asyncio.run(run())


JOBS = {job.__name__: job for job in (fork_while_connected,)}

if __name__ == "__main__":
    do_job(JOBS, sys.argv[1:])
