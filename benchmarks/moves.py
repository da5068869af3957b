"""Moves at size, with a comparison of their own: ``python -m benchmarks.moves [live] [killed] [--entries N]``.

`live`: a SQLite store is copied to Redis and to PostgreSQL while four processes set, delete and renew in it; passes
follow them, then they stop, and a last pass ends the move. `killed`: the copy is killed in each tenth of the keys,
and goes on. All by the command line. What every writer was acknowledged is compared with what the target holds, as
its driver reads it: `lost` is missing, `stale` has another value, `late` another deadline, `more` should be gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .engines import started
from .moves_writers import GONE, WRITERS, Acknowledged, Held, filled, write

KILLS = 10
SLACK = 0.02  # seconds of a deadline, as the contract promises
TARGETS = ("redis", "postgres")
_LEFT = "local left = {} for i, key in ipairs(KEYS) do left[i] = redis.call('PTTL', key) end return left"


class Writers:
    """Processes that change a store until they are stopped."""

    def __init__(self, url: str, entries: int, folder: Path) -> None:
        self._logs = [folder / f"writer-{number}.json" for number in range(WRITERS)]
        me = [sys.executable, "-m", "benchmarks.moves", "--entries", str(entries), "--writer"]
        self._jobs = [
            subprocess.Popen([*me, url, str(n), str(log)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for n, log in enumerate(self._logs)
        ]
        for job in self._jobs:
            assert job.stdout is not None
            if job.stdout.readline() != "writes\n":
                raise SystemExit("A writer did not begin")

    def stop(self) -> tuple[Acknowledged, Counter[str]]:
        """Return what was acknowledged, and how many calls of each kind there were."""
        for job in self._jobs:
            job.communicate("stop\n")
        if failed := [job.returncode for job in self._jobs if job.returncode]:
            raise SystemExit(f"Writers failed: {failed}")
        held: Acknowledged = {}
        done: Counter[str] = Counter()
        for log in self._logs:
            told = json.loads(log.read_text())
            held |= {key: Held(*each) for key, each in told["held"].items()}
            done.update(told["done"])
        return held, done


# --- what the target holds ---------------------------------------------------------------------------------


async def read(url: str) -> Acknowledged:
    """Return what a target holds, by its own driver."""
    return await (_read_redis(url) if url.startswith("redis") else _read_postgres(url))


async def _read_redis(url: str) -> Acknowledged:
    from redis.asyncio import Redis

    found: Acknowledged = {}
    redis: Any = Redis.from_url(url)
    async with redis:
        cursor = -1
        while cursor:
            cursor, names = await redis.scan(max(cursor, 0), match="ad_seller:*:*", count=1_000, _type="string")
            if not names:
                continue
            async with redis.pipeline(transaction=True) as ask:  # PEXPIRETIME came with Redis 7
                ask.time().mget(names).eval(_LEFT, len(names), *names).time()
                first, texts, left, last = await ask.execute()
            before, after = (seconds + micro / 1e6 for seconds, micro in (first, last))
            for name, text, ms in zip(names, texts, left, strict=True):
                if text is not None:
                    moments = (None, None) if ms < 0 else (before + ms / 1000, after + ms / 1000)
                    found[name.decode().removeprefix("ad_seller:")] = Held(json.loads(text), *moments)
    return found


async def _read_postgres(url: str) -> Acknowledged:
    import asyncpg

    from ad_seller.storage.postgres.statements import TABLE

    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(f"SELECT key, value, extract(epoch FROM expires_at)::float8 FROM {TABLE}")
    finally:
        await connection.close()
    return {key: Held(json.loads(text), moment, moment) for key, text, moment in rows}


def compared(wanted: Acknowledged, found: Acknowledged) -> dict[str, Any]:
    """Return how many entries are not as they should be, and some of them."""
    now = time.time()
    counts: Counter[str] = Counter({"lost": 0, "stale": 0, "late": 0, "more": 0})
    named: dict[str, list[str]] = {}
    for key in wanted.keys() | found.keys():
        is_, should = found.get(key, GONE), wanted.get(key, GONE)
        if is_.last is not None and is_.last <= now:
            is_ = GONE  # a row that is not reclaimed yet
        if should.last is not None and should.last <= now + 2:  # over, or about to be
            should = GONE if should.last <= now - 1 else is_
        if is_ == should:
            continue
        if is_.value is None or should.value is None:
            kind = "lost" if is_.value is None else "more"
        elif is_.value != should.value:
            kind = "stale"
        elif not _same_moment(is_, should):
            kind = "late"
        else:
            continue
        counts[kind] += 1
        named.setdefault(kind, []).append(f"{key}: {is_} for {should}"[:200])
    return {**counts, "named": {kind: some[:3] for kind, some in named.items()}}


def _same_moment(one: Held, other: Held) -> bool:
    if None in (one.first, one.last, other.first, other.last):
        return one.last == other.last
    return max(one.first, other.first) <= min(one.last, other.last) + SLACK  # type: ignore[type-var,operator]


# --- the two parts -----------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[dict[str, Any], float]:
    """Run a command; return what it told, with its exit code, and the seconds."""
    began = time.perf_counter()
    done = subprocess.run(_command(*arguments, "--json"), text=True, capture_output=True, check=False)
    took = round(time.perf_counter() - began, 2)
    if not done.stdout:
        raise SystemExit(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return {**json.loads(done.stdout), "exit": done.returncode}, took


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ad_seller.storage.cli", *arguments]


def live(source: str, target: str, held: Acknowledged, folder: Path, passes: int) -> dict[str, Any]:
    """Copy, follow and end a move beside writers; ``held`` gets what they were acknowledged."""
    how = (source, target, "--checkpoint", str(folder / f"{time.time_ns()}.json"))
    writers = Writers(source, len(held), folder)
    told: dict[str, Any] = {"passes": []}
    try:
        for again in ([], *([["--again"]] * passes)):
            done, took = command("copy", *how, *again)
            told["passes"].append({"seconds": took} | {key: done[key] for key in ("stored", "deleted", "faults")})
    finally:
        changed, told["calls"] = writers.stop()
    held |= changed
    began = _computed()
    last, told["stop_seconds"] = command("copy", *how, "--again", "--final")
    told["stop_computing"] = round(_computed() - began, 2)  # ours; the servers' is beside it
    told["last"] = {key: last[key] for key in ("stored", "deleted", "passes", "faults", "exit")}
    began = _computed()
    subprocess.run(_command("copy", "--help"), capture_output=True, check=True)
    told["computing_of_a_start"] = round(_computed() - began, 2)
    told["verify"] = {key: command("verify", source, target)[0][key] for key in ("compared", "faults", "exit")}
    return told | compared(held, asyncio.run(read(target)))


def _computed() -> float:
    """Seconds that processes which have ended have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def killed(source: str, target: str, held: Acknowledged, folder: Path) -> dict[str, Any]:
    """Kill a copy once in each tenth of the keys, and have it go on; ``held`` is in the source."""
    file = folder / f"{time.time_ns()}.json"
    how = (source, target, "--checkpoint", str(file))
    keys, rnd = sorted(held), random.Random()
    tenth = len(keys) // KILLS
    at: list[float] = []
    for number in range(KILLS):
        point = keys[number * tenth + rnd.randrange(tenth // 2)]  # it is noticed some time after
        job = subprocess.Popen(_command("copy", *how, *(["--resume"] if at else [])))
        while job.poll() is None and _after(file) < point:
            time.sleep(0.02)
        time.sleep(rnd.random() / 2)
        job.kill()
        if job.wait() != -9:
            raise SystemExit(f"The copy ended with {job.returncode} before it was killed at {point}")
        at.append(round(keys.index(_after(file)) / len(keys), 3) if _after(file) else 0.0)
    last, _ = command("copy", *how, "--resume")
    told = {"killed_after": at, "last": {key: last[key] for key in ("stored", "faults", "exit")}}
    return told | compared(held, asyncio.run(read(target)))


def _after(file: Path) -> str:
    return (json.loads(file.read_text())["after"] or "") if file.exists() else ""


def main() -> None:
    """Print what was found as JSON; exit code 1 if an entry is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=("live", "killed", []), help="both, if none is named")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=3, help="of `copy --again` while the writers are at work")
    parser.add_argument("--to", action="append", choices=TARGETS)
    parser.add_argument("--writer", nargs=3, metavar=("URL", "NUMBER", "LOG"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.writer:
        url, number, log = chosen.writer
        Path(log).write_text(json.dumps(asyncio.run(write(url, int(number), chosen.entries))))
        return
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for engine in chosen.to or TARGETS:
            with started(engine) as places:
                for part in chosen.parts or ("live", "killed"):
                    source = f"sqlite:///{tempfile.mkdtemp(dir=folder)}/store.db"
                    held = asyncio.run(filled(source, chosen.entries))
                    place = source, places.new(part), held, folder
                    told = live(*place, chosen.passes) if part == "live" else killed(*place)
                    faults += sum(told[kind] for kind in ("lost", "stale", "late", "more"))
                    print(json.dumps({"entries": chosen.entries, "to": engine, part: told}), flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
