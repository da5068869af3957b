"""What instances that have listed cost a Redis server for each write: `python -m benchmarks.listeners OTHER/src`.

Eight instances, each in a process of its own, list once and then only hear; with ``--every 0.5`` each lists again
after so many seconds, with ``--pattern 'zz*'`` that, and with ``--names 20000`` there are so many entries. A plain
client writes, one command at a time; the server's computing time for each write is told for each ten thousand of
them. The first line is without any instance. Runs of several checkouts take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from ad_seller.storage.testing.servers import RedisServer

INSTANCES = 8
NAMES = 1_000
STEP, STEPS = 10_000, 4
ROUNDS = 3


async def listen(url: str, every: float, pattern: str) -> None:
    """List, once or every so many seconds, and hear what is told until the input ends."""
    from ad_seller.storage.redis_backend import RedisBackend

    async with RedisBackend(url, sweep_interval=None) as store:
        await store.count(pattern)
        print("ready", flush=True)
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        while not (await asyncio.wait([ended], timeout=every or None))[0]:
            await store.count(pattern)


@contextmanager
def listening(url: str, source: str, *how: str) -> Iterator[None]:
    """An instance of the checkout ``source``, in a process of its own."""
    command = [sys.executable, __file__, "listen", url, *how]
    environment = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.communicate("\n")


def measure(source: str | None, every: float, pattern: str, names: int) -> list[float]:
    """Return microseconds of the server for a write, for each `STEP` writes."""
    with TemporaryDirectory() as folder, RedisServer(folder) as server, redis.Redis.from_url(server.url) as client:
        for number in range(names):
            client.set(f"ad_seller:order:{number}", "1")
        found = []
        with ExitStack() as instances:
            for _ in range(INSTANCES if source else 0):
                instances.enter_context(listening(server.url, str(source), str(every), pattern))
            for _ in range(STEPS):
                before = client.info("cpu")
                for number in range(STEP):
                    client.set(f"ad_seller:order:{number % names}", "2")
                after = client.info("cpu")
                spent = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
                found.append(spent / STEP * 1e6)
        return found


def main(arguments: list[str]) -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listeners", description=__doc__)
    parser.add_argument("sources", nargs="*", default=[str(Path(__file__).parents[1] / "src")])
    parser.add_argument("--every", type=float, default=0.0, help="seconds after which each instance lists again")
    parser.add_argument("--pattern", default="order:1*", help="what they list then")
    parser.add_argument("--names", type=int, default=NAMES, help="entries that there are")
    options = parser.parse_args(arguments)
    for _ in range(ROUNDS):
        for source in (None, *options.sources):
            found = measure(source, options.every, options.pattern, options.names)
            print(f"{source or 'nobody listens':40}", *(f"{us:5.1f} us  " for us in found), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        asyncio.run(listen(sys.argv[2], float(sys.argv[3]), sys.argv[4]))
    else:
        main(sys.argv[1:])
