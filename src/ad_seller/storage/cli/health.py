"""The command health: whether a store answers, how fast, and what speaks against relying on it."""

from __future__ import annotations

from typing import Any

import typer

from ad_seller.storage import Health, StorageBackend, redact

from .output import Output, printable
from .running import Exit, with_store

commands = typer.Typer()


@commands.command()
@with_store
async def health(store: StorageBackend, out: Output) -> int:
    """Ask whether the store answers, how fast, and what it may lose of what it acknowledged.

    Exit code 0: it answers; 3: it does not; 1: there is no store. For probes of containers and load balancers.
    What a running agent has counted (pool, waiting calls, batches, conflicts) only that process knows:
    `storage.stats()`.
    """
    async with store:
        found = await store.health()
    sides = found.sides
    if out.as_json:
        out.json({**_told(found), "sides": {name: _told(side) for name, side in sides.items()}})
    else:
        for name, side in {"": found, **sides}.items():
            _write(out, name, side)
    return Exit.OK if found.is_reachable else Exit.UNAVAILABLE


def _told(found: Health) -> dict[str, Any]:
    return {
        "backend": found.backend,
        "reachable": found.is_reachable,
        "seconds": round(found.seconds, 6),
        "doubts": [redact(doubt) for doubt in found.doubts],
        "error": found.error and redact(str(found.error)),
    }


def _write(out: Output, name: str, found: Health) -> None:
    state = f"answers after {found.seconds * 1000:.1f} ms" if found.is_reachable else "does not answer"
    out.text(f"{name}{': ' if name else ''}{found.backend} {state}")
    if found.error is not None:
        out.text(f"  {printable(redact(str(found.error)))}")
    for doubt in found.doubts if not name else ():
        out.text(f"  {printable(redact(doubt))}")
