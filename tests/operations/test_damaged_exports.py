"""Exports that were cut off or changed, lines that cannot be stored, and what is said of either."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from ad_seller.storage import (
    DamagedExportError,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import BadLine, import_entries
from tests.operations.test_exports import sample, sealed
from tests.runtime.stores import store

__all__ = ["store"]


def cut(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-1])


def cut_in_a_line(lines: list[bytes]) -> bytes:
    return b"".join(lines)[:-90]


def changed(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b'{"n":3}', b'{"n":4}')


def left_out(lines: list[bytes]) -> bytes:
    return b"".join(lines[:2] + lines[3:])


def more(lines: list[bytes]) -> bytes:
    return b"".join([*lines, lines[1]])


def cut_gzip(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(lines))[:-30]


def wrong_gzip(lines: list[bytes]) -> bytes:
    data = bytearray(gzip.compress(b"".join(lines)))
    data[-6] ^= 255
    return bytes(data)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "Line 7: the end is missing, after 5 entries"),
        (cut_in_a_line, r"Line \d: "),
        (changed, "Line 7: the lines before it are not those that were written"),
        (left_out, "Line 6: the lines before it are not"),
        (more, "Line 8: line 7 says that it is the last one"),
        (cut_gzip, "cannot be unpacked"),
        (wrong_gzip, "cannot be unpacked.*CRC"),
        (lambda lines: sealed(lines[:-1], 4), "5 entries came, 4 were written"),
        (lambda lines: b"", "it is empty"),
        (lambda lines: b"{}\n", "no export"),
        (lambda lines: b"\xff\xfe\n", "This is no export"),
        (lambda lines: lines[0].replace(b"seller-storage", b"hoc"), "no export of ad-seller-storage, but"),
        (lambda lines: lines[0].replace(b'"version":1', b'"version":2'), "version 2 of the format.*Upgrade"),
    ],
)
async def test_a_damaged_file_changes_nothing(
    tmp_path: Path, damage: Callable[[list[bytes]], bytes], reason: str
) -> None:
    file = tmp_path / "export"
    file.write_bytes(damage(await sample()))
    async with MemoryBackend() as storage:
        with pytest.raises(DamagedExportError, match=reason):
            await import_entries(storage, file)
        assert await storage.keys() == []


BAD = [
    (b'{"key":"","value":1}\n', "A key must not be empty"),
    (b'{"key":"a\\u0000","value":1}\n', "NUL"),
    (b'{"key":"a","value":NaN}\n', "malformed"),
    (b'{"key":"a","value":1e999}\n', "out of range"),
    (b'{"key":"a"}\n', "value"),
    (b'{"key":"a","value":1,"expires_at":-1}\n', "expires_at"),
    (b'{"key":"a","value":1,"expires_at":1e300}\n', "expires_at"),
    (b'{"key":"a","value":1,"expires_at":"x"}\n', "expires_at"),
    (b'{"key":"a","value":1,"ttl":5}\n', "ttl"),
    (b"\xff\n", "malformed"),
    (b"\n", "truncated"),
]


async def test_bad_lines_are_named_and_left_out_as_told(tmp_path: Path) -> None:
    header, *entries, _ = await sample()
    file = tmp_path / "export"
    file.write_bytes(sealed([header, entries[0], *(line for line, _ in BAD), *entries[1:]]))
    async with MemoryBackend() as storage:
        with pytest.raises(DamagedExportError, match="Line 3: A key must not be empty"):
            await import_entries(storage, file)
        assert await storage.keys() == []
        bad: list[BadLine] = []
        done = await import_entries(storage, file, on_bad_line=bad.append)
        assert (done.stored, done.bad) == (5, len(BAD))
        assert [line.number for line in bad] == list(range(3, 3 + len(BAD)))
        for line, (_, reason) in zip(bad, BAD, strict=True):
            assert reason in line.reason, line
        file.write_bytes(header + entries[1])
        bad.clear()
        assert (await import_entries(storage, file, existing="keep", on_bad_line=bad.append)).kept == 1
        assert bad == [BadLine(3, "the end is missing, after 1 entries")]


async def test_of_a_stream_what_came_before_is_stored_and_that_is_said() -> None:
    lines = await sample()
    async with MemoryBackend() as storage:
        with pytest.raises(DamagedExportError, match=r"Line 4: .*2 entries before it were stored"):
            await import_entries(storage, io.BytesIO(b"".join([*lines[:3], b"{\n", *lines[3:]])))
        assert await storage.keys() == ["deal:0", "deal:1"]
