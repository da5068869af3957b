"""The mutator makes the defects that it should, each a module that Python takes."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from .mutants import Mutant, mutants
from .subsets import LEFT_OUT, PACKAGE, SUBSETS, WINGS, Subset, modules, reason, subset_of
from .trials import Verdict, benches
from .verdicts import Verdicts


def changes(folder: Path, source: str) -> list[tuple[str, str]]:
    """Return what each mutant of a source has changed."""
    path = folder / "some.py"
    path.write_text(source)
    return [(mutant.old, mutant.new) for mutant in mutants(path)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('LIVE = "expires_at > :now"', [(">", ">=")]),
        (
            'Q = "SELECT 1 FROM t WHERE a = ? AND b IS NULL"',
            [("=", "<>"), ("AND", "OR"), ("IS NULL", "IS NOT NULL")],
        ),
        ('Q = f"UPDATE {a and 1} SET value = $1 WHERE key = $1"  # AND', [("=", "<>")]),
        ('"""SELECT 1 WHERE 2 > 1."""', []),
        ('MESSAGE = "wait and see = 1"', []),
        (
            'SCRIPT = """\nif a == 1 then redis.call(\'SET\', KEYS[1]) end\n"""',
            [("==", "~="), ("1", "2"), ("redis.call('SET', KEYS[1])", ""), ("1", "2")],
        ),
    ],
)
def test_defects_of_texts(source: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    assert changes(tmp_path, source) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a < b", [("return a < b", "return None"), ("a < b", "(a <= b)")]),
        ("return", []),
        ("if not a: b()", [("not a", "(a)"), ("b()", "pass")]),
        ("if a: pass", [("a", "not a")]),
        ("a += 2", [("a += 2", "a -= 2"), ("a += 2", "a = 2"), ("2", "(3)")]),
        ("x: Literal[1] = b", []),
        ("'é'; a and b", [("a and b", "(a or b)"), ("a and b", "pass")]),
    ],
)
def test_defects_of_code(line: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    assert sorted(changes(tmp_path, f"LIMIT = 1\ndef f(n=1):\n    {line}\n")) == sorted(expected)


@pytest.mark.parametrize("module", SUBSETS)
def test_every_mutant_is_another_program(module: str) -> None:
    found = list(mutants(PACKAGE / f"{module}.py"))
    assert len({mutant.id for mutant in found}) == len(found) > 10
    read = functools.cache(lambda statement: ast.dump(ast.parse(statement)))
    for mutant in found:
        before, after = mutant.statement  # what else is in the module is the same
        assert after.removeprefix(b"if 1:\n") in mutant.source
        assert read(before) != read(after), mutant


def test_verdicts_are_kept(tmp_path: Path) -> None:
    one, two, three = (Mutant("some", "code", n, "a", "b", "a", b"%d" % n) for n in range(3))
    verdicts = Verdicts(tmp_path, "some")
    verdicts.add(one, Verdict("survived", "", 1.0))
    verdicts.add(two, Verdict("found", "FAILED", 0.5))
    Verdicts(tmp_path, "some").add(one, Verdict("timed out", "", 9.0))
    assert Verdicts(tmp_path, "some").counts([one, two, three]) == {
        "mutants": 3,
        "tried": 2,
        "found at first": 1,
        "found": 2,
        "timed out": 1,
        "survived": 0,
    }


def test_a_mutant_that_nothing_survives_is_found() -> None:
    with benches(Subset(("tests/records/test_ids.py",)), 1) as [bench]:
        bench.calibrate()
        path = PACKAGE / "records/ids.py"
        assert bench.judge(next(mutants(path))).outcome == "found"


def test_the_tests_of_each_subset_exist() -> None:
    root = PACKAGE.parents[2]
    for subset in (*SUBSETS.values(), *WINGS.values()):
        assert all((root / path).exists() for path in subset.tests)


def test_each_module_has_its_tests_or_is_left_out_with_a_reason() -> None:
    found = modules()
    assert [name for name in found if (subset_of(name) is None) == (reason(name) is None)] == []
    assert set(SUBSETS) <= set(found)
    for name in (*WINGS, *LEFT_OUT):
        assert any(module.startswith(name) or module.endswith(name) for module in found), f"{name}: it is gone"
