"""An agent as it runs: ``examples/fastapi_app.py`` behind uvicorn, and buyers in a process of their own.

Each buyer looks at a quote, has it booked and looks at it again, over a connection that stays open.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from .telemetry_ways import Way

BUYERS = 16
SECONDS = 1.0  #: of a turn
_EXAMPLES = str(Path(__file__).parents[1] / "examples")


class Agent:
    """The application, which counts its requests, with a span of its own for each where there are traces.

    Args:
        app: the example's.
        store: what it stores in.
    """

    def __init__(self, app: Any, store: Any) -> None:
        self._app, self._store = app, store
        self.way = Way(is_on=False)
        self.answered = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request; one that no example answers makes a quote."""
        with self.way.span():
            if scope["path"].startswith("/new/"):
                await self._store.set_quote(scope["path"][5:], {"status": "available", "price": {"cpm": 12.5}})
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
                await send({"type": "http.response.body", "body": b"{}"})
            else:
                await self._app(scope, receive, send)
        self.answered += 1

    async def turn(self, way: Way, is_on: bool) -> tuple[float, float]:
        """Return how many requests are answered in a second, and the microseconds of computing time of one."""
        self.way = way
        with way.on(self._store) if is_on else nullcontext():
            await asyncio.sleep(SECONDS / 20)  # those that began before have ended
            began, cpu, before = time.perf_counter(), time.process_time(), self.answered
            await asyncio.sleep(SECONDS)
            done = self.answered - before
            return done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6


@asynccontextmanager
async def served(store: Any) -> AsyncIterator[Agent]:
    """Yield the agent while buyers ask it without a pause."""
    import uvicorn

    from ad_seller.storage.fastapi import storage

    sys.path.insert(0, _EXAMPLES)
    app = importlib.import_module("fastapi_app").app
    app.dependency_overrides[storage] = lambda: store
    agent = Agent(app, store)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(agent, lifespan="off", log_level="error"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        buyers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(listening.getsockname()[1]), cwd=Path(__file__).parents[1]
        )
        try:
            while agent.answered < 10 * BUYERS:
                await asyncio.wait_for(asyncio.sleep(0.05), 10)
                if buyers.returncode is not None:
                    raise RuntimeError("the buyers have ended")
            yield agent
        finally:
            if buyers.returncode is None:
                buyers.kill()
            await buyers.wait()
            server.should_exit = True
            await serving


async def buyer(port: int, name: str) -> None:
    """Book one quote after the other until the agent is gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def request(method: str, path: str, body: bytes = b"") -> None:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\nx-buyer: {name}\r\n"
            f"idempotency-key: {path}-{number}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"{method} {path}: {head!r}")
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))

    number = 0
    while True:
        number += 1
        quote_id = f"qt-{name}-{number}"
        await request("GET", f"/new/{quote_id}")
        await request("GET", f"/quotes/{quote_id}")
        await request("POST", "/bookings", json.dumps({"quote_id": quote_id}).encode())
        await request("GET", f"/quotes/{quote_id}")


async def buy(port: int) -> None:
    """Be all buyers."""
    await asyncio.gather(*(buyer(port, f"buyer-{number}") for number in range(BUYERS)))


if __name__ == "__main__":
    asyncio.run(buy(int(sys.argv[1])))
