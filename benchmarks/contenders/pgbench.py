"""The limit on PostgreSQL: the server's own load generator with prepared statements, in C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from typing import TYPE_CHECKING

from ..data import ORDER_PREFIX, WORK, value, work_key
from ..results import Burst
from .postgres_plain import ENTRIES, KEYS, Prepared, after

if TYPE_CHECKING:
    from ..workloads import Workload

_SECONDS = 0.3  #: at least, because starting its clients disturbs a shorter run
_CLIENTS = (8, 16, 32, 64)  #: of more than one client, the number that is fastest is used
# pgbench takes every colon that a name follows for a variable, even inside quotes.
_KEY = "'bench' || chr(58) || '{size}' || chr(58) || lpad(:i::text, 7, '0')"
_LIVE = "(expires_at IS NULL OR expires_at > extract(epoch FROM clock_timestamp()))"


class Pgbench(Prepared):
    """It does not look at what it reads, and knows the mean latency only."""

    async def open(self) -> None:
        program = shutil.which("pgbench")
        if program is None:
            raise FileNotFoundError("no pgbench on PATH")
        self.program = program
        self._best: dict[str, tuple[int, float]] = {}  # by workload: clients, and their rate
        await super().open()

    @classmethod
    def offers(cls, operation: str) -> bool:
        return operation in ("get", "set", "keys", "entries")

    async def burst(self, workload: Workload, seconds: float) -> Burst:
        name = workload.name
        if name not in self._best:
            tries = [1] if workload.tasks == 1 else _CLIENTS
            found = {clients: await self._rate(workload, clients) for clients in tries}
            self._best[name] = max(found.items(), key=lambda pair: pair[1])
        clients, expected = self._best[name]
        each = max(10, int(expected * max(seconds, _SECONDS) / clients))
        rate, latency = await self._run(workload, clients, each)
        return Burst(ops=each * clients, seconds=each * clients / rate, p50=latency * 1_000, clients=clients)

    async def _rate(self, workload: Workload, clients: int) -> float:
        """Transactions per second, after a shorter run that tells how many make a run of some length."""
        rate, _ = await self._run(workload, clients, 20)
        rate, _ = await self._run(workload, clients, max(20, int(rate * _SECONDS / clients)))
        return rate

    async def _run(self, workload: Workload, clients: int, each: int) -> tuple[float, float]:
        """Transactions per second, and the mean latency in ms."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(_script(workload))
            file.flush()
            process = await asyncio.create_subprocess_exec(
                *(self.program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2))),
                *("-t", str(each), "-f", file.name, "-D", f"value={_text(workload.size)}", self.place),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
            )
            output, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"pgbench: {errors.decode()[-300:]}")
        text = output.decode()
        rate = re.search(r"tps = ([\d.]+)", text)
        latency = re.search(r"latency average = ([\d.]+) ms", text)
        if rate is None or latency is None:
            raise RuntimeError(f"pgbench said nothing of its speed: {text[-300:]}")
        return float(rate[1]), float(latency[1])


def _script(workload: Workload) -> str:
    size = workload.size
    key = _KEY.format(size=size)
    pick = f"\\set i random(0, {WORK[size] - 1})\n"
    ends = (ORDER_PREFIX, after(ORDER_PREFIX))
    match workload.kind:
        case "get":
            return f"{pick}SELECT value FROM kv WHERE key = {key} AND {_LIVE};\n"
        case "set":
            return (
                f"{pick}INSERT INTO kv VALUES ({key}, :value, NULL) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at;\n"
            )
        case "keys" | "entries":
            statement = KEYS if workload.kind == "keys" else ENTRIES
            return statement.replace("$1", f"'{ends[0]}'").replace("$2", f"'{ends[1]}'") + ";\n"
    raise ValueError(workload.kind)


def _text(size: str) -> str:
    return json.dumps(value(work_key(size, 0), size), separators=(",", ":"))
