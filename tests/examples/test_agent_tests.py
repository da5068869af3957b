"""`examples/agent_tests.py` passes as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs_samples import ROOT


def test_it_passes(tmp_path: Path) -> None:
    path = ROOT / "examples" / "agent_tests.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(path),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "2 passed" in run.stdout, run.stdout + run.stderr
