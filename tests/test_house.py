"""What is shipped, what is not, and how long a file may be."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.adoption.environment import ROOT, build_wheel


def test_what_the_wheel_carries(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(ROOT, tmp_path)) as wheel:
        names = {name.removeprefix("ad_seller/storage/") for name in wheel.namelist()}
    sources = {
        str(path.relative_to(ROOT / "src/ad_seller/storage")) for path in (ROOT / "src").rglob("storage/**/*.py")
    }
    own = {f"testing/redis_{name}.py" for name in ("groups", "nodes", "sentinels")}
    assert sources - names == own, "servers that only our own tests start"
    assert {"py.typed", "_examples/seller_day.py", "ad_seller_storage_pytest.py"} <= names
    assert not any(name.startswith(("tests/", "ad_seller/__init__")) for name in names)


def test_no_module_has_more_than_300_lines() -> None:
    lengths = {path: path.read_text().count("\n") for path in (ROOT / "src").rglob("*.py")}
    assert len(lengths) > 300
    assert {str(path): lines for path, lines in lengths.items() if lines > 300} == {}
