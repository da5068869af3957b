"""What the examples print, as docs/adcp.md says."""

from __future__ import annotations

import pytest

from examples.adcp import idempotency, proposals


async def test_idempotency(capsys: pytest.CaptureFixture[str]) -> None:
    await idempotency.main()
    assert capsys.readouterr().out == "8 requests with one key: 1 order, 7 replayed\n"


async def test_proposals(capsys: pytest.CaptureFixture[str]) -> None:
    await proposals.main()
    said = "8 buyers at once, reserved: 1\nmb-1 came from p-1 which is consumed\n"
    assert capsys.readouterr().out == said
