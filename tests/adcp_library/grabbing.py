"""Processes that reserve proposals."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from adcp.decisioning import AdcpError, ProposalState

from examples.adcp.proposals import StoredProposals
from tests.adcp_library.processes import PROCESSES
from tests.atomic.support import Address

ACME: Any = {"expected_account_id": "acme"}


async def reserve(proposals: StoredProposals, name: str) -> bool:
    try:
        record = await proposals.try_reserve_consumption(name, **ACME)
    except AdcpError as error:
        if error.code != "PROPOSAL_NOT_COMMITTED":
            raise
        return False
    assert record.state == ProposalState.CONSUMING
    return True


async def grab(address: Address, names: list[str], dies: bool) -> list[str]:
    async with address.open() as storage:
        proposals = StoredProposals(storage)
        got = [name for name in names for _ in range(4) if await reserve(proposals, name)]
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return got


def grab_in_process(address: Address, answer: Connection, *said: Any) -> None:
    answer.send(asyncio.run(grab(address, *said)))


def started(address: Address, names: list[str], *, dies: bool = False) -> tuple[ForkServerProcess, Connection]:
    """Start a process that reserves what it can; it sends what it has got, or dies before."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=grab_in_process, args=(address, theirs, names, dies))
    process.start()
    theirs.close()  # so that nobody waits for the answer of one that has failed
    return process, ours
