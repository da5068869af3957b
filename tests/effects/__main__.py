"""Bookings with two calls to an ad server, killed at any step: ``python -m tests.effects --backend redis``.

In each round four processes send the same request; most of them are killed at a step of their own, new ones come,
and at the end two are left alone. The ad server, which makes an order for every call, must have made one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.effects.crashing import ad_server, at_once, check, offer

STEPS = 16  #: a booking that meets nobody has 14
BACKENDS = ("sqlite", "redis", "postgres")


@contextmanager
def store(kind: str) -> Iterator[str]:
    """Yield the URL of a new store."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/effects.db"
        elif kind == "redis":
            with RedisServer(Path(folder), config={"appendonly": "yes"}) as redis:
                yield redis.url
        else:
            with PostgresServer() as postgres:
                yield postgres.url()


def rounds(kind: str, count: int, processes: int, seed: int) -> None:
    """Run the rounds and print what was seen."""
    chance = random.Random(f"{kind} {seed}")
    killed, began = 0, time.monotonic()
    answers: dict[int, list[Any]] = {}
    with store(kind) as url, ad_server() as ads_url:
        asyncio.run(offer(url, range(count)))
        for number in range(count):
            given: list[Any] = []
            for _ in range(chance.randint(1, 3)):
                steps = [chance.randint(0, STEPS) for _ in range(processes)]
                answered = at_once(url, ads_url, number, steps)
                killed += processes - len(answered)
                given += answered
            answers[number] = [*given, *at_once(url, ads_url, number, [-1, -1])]
        asyncio.run(check(url, ads_url, answers))
    told = sum(map(len, answers.values()))
    print(
        f"{kind}: {count} rounds of {processes} processes in {time.monotonic() - began:.0f} s, {killed} killed, "
        f"{told} answers; one order, one line and one deal in each, every answer the same. Seed {seed}.",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Bookings at an ad server, killed at any step.")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="all of them unless given")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for kind in arguments.backend or BACKENDS:
        rounds(kind, arguments.rounds, arguments.processes, arguments.seed)


if __name__ == "__main__":
    main()
