"""Bookings with two calls to an ad server, killed at any step: ``python -m tests.effects --backend redis``.

In each round four processes send the same request and deliver the messages of its commit; most of them are killed
at a step of their own, new ones come, and at the end two are left alone. The ad server, which makes an order for
every call, must have made one; each message came under one id and in order,
was acknowledged once, as the traces in the commits of the acknowledgements say, and nothing waits any more.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.effects.crashing import NEVER, Answers, ad_server, at_once, check, made, offer

STEPS = 28  #: who meets nobody has 14 until the answer, and 27 in all
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
    seen, began = Counter[str](), time.monotonic()
    answers: Answers = {}
    with store(kind) as url, ad_server() as ads_url:
        asyncio.run(offer(url, range(count)))
        for number in range(count):
            answers[number] = []
            for _ in range(chance.randint(1, 3)):
                steps = [chance.randint(0, STEPS) for _ in range(processes)]
                seen["killed"] += _add(answers, at_once(url, ads_url, [number], steps))
            _add(answers, at_once(url, ads_url, [number], [NEVER, NEVER]))
        asyncio.run(check(url, ads_url, answers))
        seen["deliveries"] = len(made(ads_url, "deliveries"))
    print(
        f"{kind}: {count} rounds of {processes} processes in {time.monotonic() - began:.0f} s, {seen['killed']:,} "
        f"killed, {sum(map(len, answers.values())):,} answers. One order, one line and one deal in each, and every "
        f"answer the same. {2 * count:,} messages, none lost, all in order: {seen['deliveries']:,} deliveries, "
        f"{2 * count:,} acknowledgements, one of each message. Seed {seed}.",
        flush=True,
    )


def _add(answers: Answers, seen: tuple[Answers, int]) -> int:
    """Add what was answered, and return how many were killed."""
    some, killed = seen
    for number, given in some.items():
        answers[number] += given
    return killed


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
