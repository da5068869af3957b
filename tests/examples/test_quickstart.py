"""The README's sample does what the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.py"


def test_no_change_is_lost_and_the_quote_expires(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", QUICKSTART], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    record, _, seconds = run.stdout.rpartition(" ")
    assert record == "{'impressions': 2000000, 'notes': 100}"
    assert 3590 < float(seconds) <= 3600
    assert (tmp_path / "quickstart.db").stat().st_mode & 0o777 == 0o600
