"""Processes that book one deal and are killed at a chosen step; forked by a parent without loop or connection."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ad_seller.storage import open_url
from ad_seller.storage.seller.outbox_message import Message
from tests.atomic.support import ROOT, watched
from tests.effects import booking
from tests.effects.booking import ACKNOWLEDGED_PREFIX, CLAIM_TTL, TOLD, book, deliver, outbox_of

NEVER = -1  #: a step that is not reached
_MOST_STEPS = 120

#: From the number of a request to all that was answered.
Answers = dict[int, list[Any]]


async def _act(url: str, ads_url: str, numbers: Sequence[int], step: int, told: int) -> None:
    """Book and deliver for each number, killed at await ``step``; write each answer to the pipe ``told``."""

    def on_await(reached: int, _: object) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def all_of_them() -> None:
        for number in numbers:
            deal = await book(storage, ads_url, number)
            os.write(told, json.dumps([number, deal]).encode() + b"\n")
            await deliver(storage, ads_url, number)

    async with open_url(url) as storage:
        await watched(all_of_them(), on_await)


def at_once(url: str, ads_url: str, numbers: Sequence[int], steps: Sequence[int]) -> tuple[Answers, int]:
    """Let a process for each step book and deliver; return what was answered, and how many were killed.

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
                asyncio.run(_act(url, ads_url, numbers, step, writing))
                code = 0
            except Exception:
                traceback.print_exc()  # nobody else tells: the process ends without cleaning up
            finally:
                os._exit(code)
        os.close(writing)
        children.append((child, reading))
    answers: Answers = {number: [] for number in numbers}
    killed = sum(_ended(child, reading, answers) for child, reading in children)
    return answers, killed


def _ended(child: int, reading: int, answers: Answers) -> bool:
    """Wait for a process, add what it answered, and tell whether it was killed."""
    with os.fdopen(reading, "rb") as pipe:
        for line in pipe:
            number, answer = json.loads(line)
            answers[number].append(answer)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"a process ended with {status}"
    return False


@contextmanager
def ad_server() -> Iterator[str]:
    """Run an ad server, which also takes messages, as a process; yield its URL."""
    command = [sys.executable, "-m", "tests.effects.booking"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()


def made(ads_url: str, kind: str) -> list[dict[str, Any]]:
    """Return what the ad server has made, in order."""
    with urllib.request.urlopen(f"{ads_url}/{kind}", timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


async def offer(url: str, numbers: Sequence[int]) -> None:
    """Store the quotes that are booked."""
    async with open_url(url) as storage:
        await storage.set_many({f"quote:qt-{number}": {"status": "available"} for number in numbers})


async def check(url: str, ads_url: str, answers: Answers) -> None:
    """One order, one line and one deal for each request, the same answer for all who asked, and its messages.

    Raises:
        AssertionError: something was made twice, was lost, or was answered otherwise.
    """
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
        async with asyncio.timeout(10 * CLAIM_TTL):  # until the claim of a lane ends whose process was killed
            while await storage.keys("outbox_lane:*"):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(CLAIM_TTL / 10)
        left = [*await storage.keys("outbox:*"), *await storage.keys("outbox_failed:*")]
        assert left == [], "messages that wait, or were set aside"
        acknowledged = await storage.keys(f"{ACKNOWLEDGED_PREFIX}*")
    check_messages(made(ads_url, "deliveries"), acknowledged, answers, deals)


def check_messages(
    deliveries: list[dict[str, Any]],
    acknowledged: list[str],
    answers: Answers,
    deals: list[dict[str, Any]],
) -> None:
    """Each message of each deal under one id, in their order, delivered at least and acknowledged exactly once.

    Args:
        deliveries: what came to the other system, in order.
        acknowledged: the traces of all acknowledgements that took effect.
        answers: what was answered, by the number of the request.
        deals: those that are stored.

    Raises:
        AssertionError: one was lost, came twice with different ids, out of order, or was acknowledged twice.
    """
    times = Counter(trace.split(":")[1] for trace in acknowledged)
    assert set(times.values()) == {1}, "acknowledged twice"
    assert times.keys() == {one["reference"] for one in deliveries}, "acknowledged is what was delivered"
    booked = {deal["deal_id"] for deal in deals}
    for number in answers:
        came = [one for one in deliveries if one["outbox"] == outbox_of(number)]
        ids = dict.fromkeys(one["reference"] for one in came)
        assert len(ids) == len(TOLD), (number, came)
        assert {one["deal"] for one in came} <= booked
        order = [TOLD.index(one["told"]) for one in came]
        assert order == sorted(order), "the second one before the first was acknowledged"
        assert list(dict.fromkeys(order)) == list(range(len(TOLD)))


def every_step(url: str) -> int:
    """Kill a booking at its first, second, ... step, until one has as few; return how many there are."""
    numbers = range(_MOST_STEPS)
    asyncio.run(offer(url, numbers))
    with ad_server() as ads_url:
        answers: Answers = {}
        for step in numbers:
            some, killed = at_once(url, ads_url, [step], [step])
            answers |= some
            if not killed:
                break
        else:
            raise AssertionError("a booking has no end")
        last, _ = at_once(url, ads_url, list(answers), [NEVER, NEVER])
        asyncio.run(check(url, ads_url, {number: [*answers[number], *last[number]] for number in answers}))
        return len(answers) - 1


if __name__ == "__main__":
    if sys.argv[2:] == ["--told-later"]:
        booking.Telling.run_once = booking.told_later  # type: ignore[method-assign]
    if sys.argv[2:] == ["--acknowledged-twice"]:
        Message.done = booking.done_twice  # type: ignore[method-assign]
    print(every_step(sys.argv[1]))
