"""Sellers in processes of their own, as tests start and kill them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.adcp_library.processes import PROCESSES
from tests.adcp_library.serving import run
from tests.atomic.support import Address


@contextmanager
def seller(address: Address, fault: str | None = None, **how: Any) -> Iterator[str]:
    """Run a seller in a process of its own; yield its URL."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=run, args=(address, theirs, fault, how))
    process.start()
    theirs.close()  # so that nobody waits for one that has failed
    try:
        yield f"http://127.0.0.1:{ours.recv()}/mcp"
    finally:
        process.kill()
        process.join()
        process.close()
