"""The second type checker on `usage.py`; mypy checks it in `make check`, with everything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

PYRIGHT = [str(Path(sys.executable).with_name("basedpyright")), "--outputjson"]


def pyright(*paths: str) -> list[str]:
    """Return what it reports."""
    done = subprocess.run([*PYRIGHT, *paths], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] > len(paths)
    return [
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in found["generalDiagnostics"]
    ]


def test_pyright_sees_the_types_and_would_see_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "mistake.py").write_text(
        "from ad_seller.storage.sync import open_url\nn: str = open_url('memory://').increment('n')\n"
    )
    said = pyright("tests/types", str(tmp_path / "mistake.py"))
    assert len(said) == 1, said
    assert said[0].startswith("mistake.py:2: ")
    assert '"int" is not assignable to "str"' in said[0]
