"""A child after a fork works, and never touches the parent's sessions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_connected_backend_in_a_forked_child(postgres_url: str) -> None:
    job = Path(__file__).with_name("fork_job.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", job, postgres_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
