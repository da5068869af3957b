"""The fixtures for the tests of applications, in a project that has nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = """
import asyncio

from ad_seller.storage import get_storage, open_url


async def quote():
    storage = await get_storage()
    await storage.set_quote("q", {"cpm": 1}, ttl=60)
    return await storage.get_quote("q")


def test_memory(seller_storage, seller_clock, no_storage_left_open):
    assert asyncio.run(quote()) == {"cpm": 1}
    assert asyncio.run(seller_storage.keys()) == ["quote:q"]
    seller_clock.advance(61)
    assert asyncio.run(seller_storage.get_quote("q")) is None


def test_each_test_gets_an_empty_one(seller_storage):
    assert asyncio.run(seller_storage.keys()) == []


def test_file(seller_storage_file, tmp_path):
    assert asyncio.run(quote()) == {"cpm": 1}
    assert (tmp_path / "seller.db").exists()


def test_leak(no_storage_left_open):
    global kept
    kept = open_url("memory://")
    asyncio.run(kept.connect())
"""


def test_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "4 passed, 1 error" in run.stdout, run.stdout + run.stderr
    assert "left open: MemoryBackend" in run.stdout
