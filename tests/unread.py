"""What a frozen server has been sent and did not read: the system keeps it."""

from __future__ import annotations

import asyncio
from pathlib import Path


def unread(port: int) -> int:
    """Return how many bytes the connections to a port of this machine hold that their server did not read."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if (row[1][-5:], row[3]) == (f":{port:04X}", "01"))


async def more_unread(port: int, before: int, least: int) -> None:
    """Wait until a frozen server was sent so many bytes more."""
    async with asyncio.timeout(30):
        while unread(port) < before + least:  # noqa: ASYNC110 - the system tells nobody
            await asyncio.sleep(0.005)
