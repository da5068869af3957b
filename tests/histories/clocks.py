"""The clock of a machine that somebody sets back: the system's, less what stands in a file that all map."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ad_seller.storage import StorageBackend
from ad_seller.storage.records import expiry

_SECONDS = struct.Struct("d")


def set_back(shift: Path, seconds: float) -> None:
    """Set the clock back by so many seconds, for all who read this file; 0 sets it right."""
    if not shift.exists():
        shift.write_bytes(_SECONDS.pack(0.0))
    with shift.open("r+b") as file:
        file.write(_SECONDS.pack(seconds))


def on_clock(
    shift: Path, make: Callable[..., StorageBackend], *arguments: object, **settings: Any
) -> StorageBackend:
    """Return a backend that takes this clock for the system's."""
    with shift.open("rb") as file:
        memory = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)

    def now() -> float:
        back: float = _SECONDS.unpack_from(memory)[0]
        return time.time() - back

    with patch.object(expiry, "system_clock", now):
        return make(*arguments, clock=now, **settings)
