"""Lines that `adopt` puts into files that stay: whatever form they have, only the line is new."""

from __future__ import annotations

import ast
import tomllib

import pytest

from ad_seller.storage.cli.adopt.edits import PATH_LINE, in_pyproject, in_requirements, joining, names_us

OURS = "ad-seller-storage[redis]>=1"

PROJECTS = {
    "lines": b'[project]\nname = "a"\ndependencies = [\n    "x>=1",\n    "y", # why\n]\n',
    "one line": b'[project]\ndependencies = ["x>=1", "y"]\n',
    "empty": b"[project]\ndependencies = []\n",
    "empty lines": b"[project]\ndependencies = [\n]\n",
    "a comment first": b'[project]\ndependencies = [ # all of them\n  # the first\n  "x"\n]',
    "tabs": b'[project]\ndependencies = [\n\t"x",\n]\n',
    "other line ends": b'[project]\r\ndependencies = [\r\n    "x",\r\n]\r\n',
    "a table before": b'[tool.x]\ndependencies = ["z"]\n\n[project] # ours\ndependencies = ["x"]\n',
    "brackets inside": b"[project]\ndependencies = [\"x[a,b]>=1; python_version < '3.12'\"]\n",
    "first line goes on": b'[project]\ndependencies = ["x",\n  "y"]\n',
}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_gets_the_dependency(name: str) -> None:
    source = PROJECTS[name]
    changed = in_pyproject(source, OURS)
    assert changed is not None
    before, after = (tomllib.loads(each.decode())["project"]["dependencies"] for each in (source, changed))
    assert after == [OURS, *before]
    assert (b"\r\n" in changed) == (b"\r\n" in source)
    assert only_inserted(source, changed)
    assert names_us(changed)
    assert not names_us(source)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"[project",
        b'[project]\nname = "a"\ndynamic = ["dependencies"]\n',
        b'[tool.poetry.dependencies]\npython = "^3.11"\n',
        b'[project]\nname = "\xfc"\n',
        b'project = { dependencies = ["x"] }\n',
    ],
)
def test_a_project_of_another_form_is_left_alone(source: bytes) -> None:
    assert in_pyproject(source, OURS) is None


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        (b"ad-seller-storage\n", True),
        (b"AD_Seller.Storage[redis]==1\n", True),
        (b'dependencies = ["x", "ad-seller-storage>=0.1"]\n', True),
        (b"  ad-seller-storage @ file:///x.whl\n", True),
        (b"ad-seller-storage-tools\n", False),
        (b'description = "moves to ad-seller-storage soon"\n', False),
        (b"my-ad-seller-storage==1\n", False),
    ],
)
def test_who_demands_us(source: bytes, ours: bool) -> None:
    assert names_us(source) is ours


def test_requirements() -> None:
    assert in_requirements(b"fastapi\r\nRedis>=5\r\n", OURS) == b"fastapi\r\n" + OURS.encode() + b"\r\nRedis>=5\r\n"
    assert in_requirements(b"asyncpg", OURS) == OURS.encode() + b"\nasyncpg"
    assert in_requirements(b"# redis\nredis-om\nfastapi\n", OURS) is None


INITS = {
    "empty": b"",
    "a docstring": b'"""An agent."""\n',
    "no line end": b'"""An agent."""',
    "imports": b"import os\nfrom ad_seller import x\n",
    "future": b'"""An agent.\n\nOf two\nlines."""\n\nfrom __future__ import annotations\n\nimport os\n',
    "comments": b"#!/usr/bin/env python\n# -*- coding: latin-1 -*-\n# \xfc\n\nimport os\n",
    "other line ends": b'"""An agent."""\r\n\r\nimport os\r\n',
    "only a comment": b"# nothing\n",
    "a mark first": b'\xef\xbb\xbf"""An agent."""\nimport os\n',
}


@pytest.mark.parametrize("name", INITS)
def test_an_init_gets_its_line_before_the_first_import(name: str) -> None:
    source = INITS[name]
    changed = joining(source)
    assert changed is not None
    assert changed.count(PATH_LINE) == 1
    assert only_inserted(source, changed)
    body = [node for node in ast.parse(changed).body if not isinstance(node, ast.Expr)]
    first = next(node for node in body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    assert isinstance(first, ast.Assign)
    assert ast.get_docstring(ast.parse(changed)) == ast.get_docstring(ast.parse(source))
    assert joining(changed) is None


def only_inserted(before: bytes, after: bytes) -> bool:
    """Tell whether ``after`` is ``before`` with something put in at one place."""
    more = len(after) - len(before)
    return any(after[:place] + after[place + more :] == before for place in range(len(before) + 1))
