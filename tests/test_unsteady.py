"""The second try in CI: few tests may need it, each is shown, and what fails twice is red."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import warm

TESTS = Path(__file__).parent
SUITE = """
    import pathlib
    import pytest

    @pytest.mark.parametrize("number", range({unsteady}))
    def test_passes_the_second_time(number):
        tried = pathlib.Path(f"tried-{{number}}")
        if not tried.exists():
            tried.touch()
            raise AssertionError(f"the first try of number {{number}}")

    def test_is_right():
        assert {right}
"""


@pytest.mark.parametrize(
    ("unsteady", "right", "green"), [(1, True, True), (3, True, True), (4, True, False), (1, False, False)]
)
def test_what_a_second_try_is_good_for(tmp_path: Path, unsteady: int, right: bool, green: bool) -> None:
    code, told = run(tmp_path, unsteady, right)
    assert (code == 0) is green, told
    for number in range(unsteady):
        assert f"UNSTEADY, a defect to be mended: test_suite.py::test_passes_the_second_time[{number}]" in told
        assert f"the first try of number {number}" in told
    assert ("More than 3 tests failed at their first try." in told) is (unsteady > 3)


def run(folder: Path, unsteady: int, right: bool) -> tuple[int, str]:
    lines = SUITE.format(unsteady=unsteady, right=right).splitlines()
    (folder / "test_suite.py").write_text("\n".join(line[4:] for line in lines))
    (folder / "conftest.py").write_text("from tests.conftest import pytest_configure\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    ended = warm.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns", "1", "."],
        cwd=folder,
        env={**os.environ, "CI": "true", "PYTHONPATH": str(TESTS.parent), "COLUMNS": "200"},
        text=True,
        timeout=110,
    )
    return ended.returncode, ended.stdout + ended.stderr
