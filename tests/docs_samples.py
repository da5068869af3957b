"""Samples in the documentation are copies of tested files: `python tests/docs_samples.py` renews them.

A page says ``<!-- file: examples/x.py -->`` where the file stands, and ``<!-- output: examples/x.py -->`` where
what it prints stands; the fenced block that follows is the copy. ``examples/x.py#book`` is the function ``book`` of
it. After ``<!-- report: ad-seller-storage … -->`` stands what that command prints.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

_SAMPLE = re.compile(r"^<!-- (file|output): (\S+) -->\n(?:```\w*\n.*?\n```\n)?", re.MULTILINE | re.DOTALL)
_REPORT = re.compile(
    r"^<!-- report: ad-seller-storage ([^\n]+) -->\n(?:```text\n.*?\n```\n)?", re.MULTILINE | re.DOTALL
)


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def filled(page: str) -> str:
    """Return the text of a page with every sample as it is now."""

    def sample(match: re.Match[str]) -> str:
        kind, name = match.groups()
        text = source_of(name) if kind == "file" else output_of(name)
        return f"<!-- {kind}: {name} -->\n```{'python' if kind == 'file' else 'text'}\n{text.rstrip()}\n```\n"

    return _SAMPLE.sub(sample, page)


def with_reports(page: str) -> str:
    """Return the text of a page with the report of every command as it is now; that takes a while."""

    def report(match: re.Match[str]) -> str:
        command = [sys.executable, "-m", "ad_seller.storage.cli", *shlex.split(match[1])]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        if run.returncode:
            raise RuntimeError(f"{match[1]} failed:\n{run.stdout}{run.stderr}")
        lines = "\n".join(line.rstrip() for line in run.stdout.rstrip().splitlines())
        return f"<!-- report: ad-seller-storage {match[1]} -->\n```text\n{lines}\n```\n"

    return _REPORT.sub(report, page)


def source_of(name: str) -> str:
    """Return a file, or the function of it that is named after a ``#``."""
    file, _, function = name.partition("#")
    text = (ROOT / file).read_text()
    if not function:
        return text
    nodes = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    [segment] = [ast.get_source_segment(text, node) for node in nodes if node.name == function]
    return segment or ""


@cache
def output_of(name: str) -> str:
    """Run an example in an empty folder and return what it prints; a warning or an error stops it."""
    with TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-W", "error", ROOT / name], cwd=folder, capture_output=True, text=True, timeout=60
        )
    if run.returncode or run.stderr:
        raise RuntimeError(f"{name} failed:\n{run.stderr}")
    return run.stdout


if __name__ == "__main__":
    for path in pages():
        path.write_text(with_reports(filled(path.read_text())))
