"""What is shipped and what is not, how long a file may be, and which tests bring a defect back."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.adoption.environment import ROOT, build_wheel
from tests.defects import DEFECTS


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


#: A tutorial in one script, to be read from top to bottom; the wheel carries it as it is.
TUTORIAL = ROOT / "examples/seller_day.py"


def test_no_file_has_more_than_300_lines() -> None:
    folders = ("src", "tests", "benchmarks", "examples")
    lengths = {path: path.read_text().count("\n") for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert len(lengths) > 700
    assert {str(path): lines for path, lines in lengths.items() if lines > 300 and path != TUTORIAL} == {}


def test_each_command_of_the_tables_of_defects_has_a_test_to_run() -> None:
    """Tests are split and get other names; a command that chooses none of them brings no defect back."""
    text = (ROOT / "docs/testing.md").read_text()
    commands = [
        shlex.split(command) for command in re.findall(r"`(?:\.venv/bin/)?pytest ([^`\n]*tests/[^`\n]*)`", text)
    ]
    assert len(commands) > 40
    assert {command[3] for command in commands if "--defect" in command} <= set(DEFECTS)
    folders = {word for command in commands for word in command if word.startswith("tests/")}
    collect = [sys.executable, "-m", "pytest", "-n0", "-q", "--collect-only", *sorted(folders)]
    run = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout
    found = [line for line in run.stdout.splitlines() if "::" in line]
    assert [command for command in commands if not any(chooses(command, test) for test in found)] == [
        ["tests/broken", "-k", "NameOfTheClass"]  # stands for each of them
    ]


def chooses(command: list[str], test: str) -> bool:
    """Tell whether a command of pytest runs a test, by its paths and by the words after -k."""
    paths = tuple(word for word in command if word.startswith("tests/"))
    words = command[command.index("-k") + 1] if "-k" in command else ""
    return test.startswith(paths) and any(word.lower() in test.lower() for word in words.split(" or "))
