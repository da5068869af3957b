"""The backend of examples/custom_backend.py as `ad-seller-storage conform` gets it."""

from __future__ import annotations

from pathlib import Path

from ad_seller.storage import encode
from examples.custom_backend import DirectoryBackend


class TestedDirectory(DirectoryBackend):
    """With a way to put any text into the store, so that the checks can damage values."""

    __test__ = False  # pytest: no tests in here

    async def store_raw(self, key: str, text: bytes) -> None:
        self._path(key).write_bytes(encode([key, None]) + b"\n" + text)


def backend(folder: Path) -> TestedDirectory:
    """Return a backend on a new folder, which each check gets from the kit."""
    return TestedDirectory(f"directory:///{folder}/store")
