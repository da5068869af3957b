"""The documentation tells the truth: samples, links, commands, names, defaults."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import ad_seller.storage
import ad_seller.storage.fastapi
import ad_seller.storage.operations
import ad_seller.storage.sync
import ad_seller.storage.telemetry
from ad_seller.storage.cli.app import app
from ad_seller.storage.cli.running import Exit
from ad_seller.storage.registry import ENTRY_POINT_GROUP
from ad_seller.storage.settings import DEFAULT_DATABASE_URL, SETTINGS
from tests.docs_samples import EXAMPLES, ROOT, filled, output_of, pages

every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


class TestSamples:
    @every_page
    def test_are_the_tested_files(self, page: Path) -> None:
        assert filled(page.read_text()) == page.read_text(), "renew them: python tests/docs_samples.py"

    @every_page
    def test_python_is_shown_from_files_only(self, page: Path) -> None:
        unmarked = re.findall(r"(?<! -->)\n```python\n(.*?)```", page.read_text(), re.DOTALL)
        assert unmarked == []

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
    def test_every_example_runs_without_a_warning(self, example: Path) -> None:
        output_of(f"examples/{example.name}")

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
    def test_examples_use_what_is_public(self, example: Path) -> None:
        ours = [
            node
            for node in ast.walk(ast.parse(example.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ad_seller")
        ]
        for node in ours:
            assert not any(alias.name.startswith("_") for alias in node.names)
            if node.module == "ad_seller.storage":
                assert {alias.name for alias in node.names} <= set(ad_seller.storage.__all__)


class TestLinks:
    @every_page
    def test_lead_somewhere(self, page: Path) -> None:
        for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
            if "://" in link:
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name} leads to {link}, which is not there"
            if anchor:
                assert anchor in anchors(target), f"{target.name} has no heading for #{anchor}"

    def test_every_page_is_in_the_navigation(self) -> None:
        listed = re.findall(r"^  - .*: (\S+\.md)$", text_of("mkdocs.yml"), re.MULTILINE)
        assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


class TestCommandLine:
    @every_page
    def test_every_command_and_option_exists(self, page: Path) -> None:
        for words in shell_commands(page):
            check_command(words)

    @every_page
    def test_every_make_target_exists(self, page: Path) -> None:
        shown = re.findall(r"\bmake ([a-z]+)\b(?=[^`\n]*`|.*$)", "\n".join(code_of(page)))
        targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
        assert set(shown) <= targets

    def test_the_page_lists_every_command(self) -> None:
        listed = set(re.findall(r"^\| `([a-z-]+)", text_of("docs/cli.md"), re.MULTILINE))
        assert listed == set(commands())

    def test_the_page_shows_every_option(self) -> None:
        page = text_of("docs/cli.md")
        for command in commands().values():
            for option in options(command) - {"--help", "-h", "-0"}:
                assert option in page, f"docs/cli.md does not say {option} of {command.name}"

    def test_the_page_lists_every_exit_code(self) -> None:
        listed = re.findall(r"^\| (\d+) \|", text_of("docs/cli.md"), re.MULTILINE)
        assert [int(code) for code in listed] == sorted(Exit)


@cache
def program() -> Any:
    return typer.main.get_command(app)  # typer brings a copy of click, whose types are not public


def commands() -> dict[str, Any]:
    found: dict[str, Any] = program().commands
    return found


def options(command: Any) -> set[str]:
    shown = {name for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("-")}
    return shown | {"--help", "-h"}


def code_of(page: Path) -> list[str]:
    """Every line of a shell block, and every piece in code style."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (\S.*)$", prose(page), re.MULTILINE)
    return [*"\n".join(blocks).splitlines(), *indented, *re.findall(r"`([^`\n]+)`", prose(page))]


def shell_commands(page: Path) -> list[list[str]]:
    words = [shlex.split(line) for line in code_of(page) if re.match(r"(\.venv/bin/)?ad-seller-storage ", line)]
    return [arguments for _, *arguments in words]


def check_command(words: list[str]) -> None:
    group = program()
    name = next((word for word in words if word in commands()), None)
    known = options(group) | (options(commands()[name]) if name else set())
    for word in words:
        assert not word.startswith("-") or word == "-" or word in known, f"{' '.join(words)}: no option {word}"
    if name is None:
        assert set(words) <= known | {"COMMAND"}, f"{' '.join(words)}: no such command"


class TestConfiguration:
    @pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
    def test_every_variable_is_explained(self, page: str) -> None:
        rows = re.findall(r"^ *\| (?:`[a-z_]+` \| )?(`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", text_of(page), re.MULTILINE)
        shown = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
        assert shown == set(SETTINGS) if page.startswith("docs") else {"STORAGE_TYPE"} < shown < set(SETTINGS)
        assert DEFAULT_DATABASE_URL in text_of(page)

    def test_the_entry_point_group_is_right(self) -> None:
        assert f'[project.entry-points."{ENTRY_POINT_GROUP}"]' in text_of("docs/configuration.md")


class TestNamespace:
    """What the README says of an application that has a package `ad_seller` of its own."""

    [EXTEND_PATH] = re.findall(r"__path__ = .*", text_of("README.md"))

    @pytest.mark.parametrize(
        ("init", "complaint"),
        [
            (None, ""),
            ("", "No module named 'ad_seller.storage'"),
            (EXTEND_PATH, ""),
        ],
        ids=["no __init__.py", "an empty one", "with the line"],
    )
    def test_both_parts_of_the_package_are_found(self, init: str | None, complaint: str, tmp_path: Path) -> None:
        (tmp_path / "ad_seller" / "services").mkdir(parents=True)
        if init is not None:
            (tmp_path / "ad_seller" / "__init__.py").write_text(init)
        code = "import ad_seller.services, ad_seller.storage; print(ad_seller.storage.StorageBackend)"
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert complaint in run.stderr
        assert (run.returncode == 0) is not bool(complaint)
