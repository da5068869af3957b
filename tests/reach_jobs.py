"""What the tests of `test_reach.py` have done by processes of their own."""

from __future__ import annotations

import asyncio
import sys

from ad_seller.storage import open_url
from benchmarks.stalls import growth
from tests.processes import do_job


def grow(url: str) -> None:
    """Print the megabytes by which a process grows over 20,000 operations."""

    async def run() -> float:
        async with open_url(url) as store:
            return await growth(store)

    print(asyncio.run(run()))


JOBS = {"grow": grow}

if __name__ == "__main__":
    do_job(JOBS, sys.argv[1:])
