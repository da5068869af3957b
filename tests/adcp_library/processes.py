"""Processes that are forked from one which has imported `adcp`, and answered a request: 16 s of one core.

conftest.py starts that one, so that it does so while the test process imports `adcp` itself.
"""

from __future__ import annotations

from multiprocessing import get_context

PROCESSES = get_context("forkserver")
