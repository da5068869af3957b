"""Processes that book one deal and are killed at a chosen step; forked by a parent without loop or connection."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ad_seller.storage import open_url
from examples.ad_server import Ads, book
from tests.atomic.support import ROOT, watched

CLAIM_TTL = 0.3


async def _book(url: str, ads_url: str, number: int, step: int) -> Any:
    """Book as request ``number``, killed at await ``step``; a negative one is never reached."""

    def on_await(reached: int, _: object) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async with open_url(url) as storage:
        booking = book(storage, Ads(ads_url), f"buyer-{number}", "key", f"qt-{number}", claim_ttl=CLAIM_TTL)
        return await watched(booking, on_await)


def at_once(url: str, ads_url: str, number: int, steps: Sequence[int]) -> list[Any]:
    """Let a process for each step book; return the answers of those that were not killed.

    Raises:
        AssertionError: one ended otherwise.
    """
    children: list[tuple[int, int]] = []
    for step in steps:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                answer = asyncio.run(_book(url, ads_url, number, step))
                os.write(writing, json.dumps(answer).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        children.append((child, reading))
    return [answer for child, reading in children for answer in _ended(child, reading)]


def _ended(child: int, reading: int) -> list[Any]:
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return []
    assert status == 0, f"a process ended with {status}"
    return [json.loads(said)]


@contextmanager
def ad_server() -> Iterator[str]:
    """Run an ad server as a process; yield its URL."""
    command = [sys.executable, "-m", "examples.ad_server", "--serve"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()


def made(ads_url: str, kind: str) -> list[dict[str, Any]]:
    """Return what the ad server has made."""
    with urllib.request.urlopen(f"{ads_url}/{kind}", timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


async def offer(url: str, numbers: Sequence[int]) -> None:
    """Store the quotes that are booked."""
    async with open_url(url) as storage:
        await storage.set_many({f"quote:qt-{number}": {"status": "available"} for number in numbers})


async def check(url: str, ads_url: str, answers: dict[int, list[Any]]) -> None:
    """One order, one line and one deal for each request, and the same answer for all who asked."""
    orders, lines = made(ads_url, "orders"), made(ads_url, "lines")
    async with open_url(url) as storage:
        deals = await storage.list_deals()
        for number, given in answers.items():
            [order] = [one for one in orders if one["buyer"] == f"buyer-{number}"]
            [line] = [one for one in lines if one["quote"] == f"qt-{number}"]
            [deal] = [one for one in deals if one["order"] == order["id"]]
            assert line["order"] == order["id"]
            assert deal["line"] == line["id"]
            assert given, "somebody was answered"
            assert all(json.dumps(answer) == json.dumps(deal) for answer in given), (number, given, deal)
            quote = await storage.get_quote(f"qt-{number}") or {}
            assert (quote["status"], quote["deal_id"]) == ("booked", deal["deal_id"])
        assert len(deals) == len(orders) == len(lines) == len(answers)
        assert await storage.open_effects() == []
        assert await storage.keys("effect_claim:*") == []


def every_step(url: str) -> int:
    """Kill a booking at its first, second, ... step, until one has as few; return how many there are."""
    steps = 60
    asyncio.run(offer(url, range(steps)))
    with ad_server() as ads_url:
        answers: dict[int, list[Any]] = {}
        for step in range(steps):
            answers[step] = at_once(url, ads_url, step, [step])
            if answers[step]:
                break
        else:
            raise AssertionError("a booking has no end")
        first = dict(answers)
        for number in answers:  # all claims have ended, but those of the last ones
            answers[number] = [*first[number], *at_once(url, ads_url, number, [-1, -1])]
        asyncio.run(check(url, ads_url, answers))
        return len(answers) - 1


if __name__ == "__main__":
    print(every_step(sys.argv[1]))
