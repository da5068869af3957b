"""Who uses a backend by way of namespaces: it is open as long as one of them is, and nobody closes another's."""

from __future__ import annotations

from functools import partial

from ..atomic.state import opening_of
from ..base import StorageBackend


async def open_for(holder: StorageBackend, backend: StorageBackend) -> None:
    """Open ``backend``, and keep it open for ``holder``."""
    await opening_of(backend).gate().opening(partial(_open, holder, backend))


async def _open(holder: StorageBackend, backend: StorageBackend) -> None:
    opening = opening_of(backend)
    if not opening.holders:
        opening.is_theirs = not backend._is_connected()
    is_new = holder not in opening.holders
    opening.holders.add(holder)  # first: another event loop may be about to close for the last one
    try:
        await backend.connect()
    except BaseException:
        if is_new:
            opening.holders.discard(holder)
        raise


async def close_for(holder: StorageBackend, backend: StorageBackend) -> None:
    """Close ``backend`` unless another namespace has it open, or somebody opened it before them all."""
    opening = opening_of(backend)
    async with opening.gate():
        if holder not in opening.holders:
            return
        opening.holders.discard(holder)
        if opening.is_theirs and not opening.holders:
            await backend.disconnect()
