"""The command doctor: what may go wrong with a store, before it does."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ad_seller.storage import MissingStoreError, StorageBackend, StorageError, operations, redact
from ad_seller.storage.operations import RULES, Finding

from .output import Output, printable
from .running import Choices, CommandError, Exit, with_choices

commands = typer.Typer()

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_EXAMPLES = 5  #: of each finding; --json has more

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE...]",
        help="Compose files, recipes, Dockerfiles, or folders of them: what they set is judged.",
    ),
]


@commands.command()
@with_choices
async def doctor(
    chosen: Choices,
    out: Output,
    files: Files = None,
    fix: Annotated[bool, typer.Option("--fix", help="Do what needs no decision, each step shown first.")] = False,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Whether to look at all entries.")] = True,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="RULE", help="Leave a finding out; can be repeated.")
    ] = None,
) -> int:
    """Look at configuration, engine and data: what was found, why it matters, what to do next.

    With FILEs, those are looked at, and the store only if --url names it. Exit code 0: nothing worse than a note;
    1: warnings or errors; 3: there is no store, or it cannot be reached.
    """
    ignored = frozenset(ignore or ())
    if unknown := sorted(ignored - RULES.keys()):
        raise CommandError(f"There is no rule {unknown[0]!r}.", hint=f"The rules: {', '.join(sorted(RULES))}")
    report = _Report(out, ignored)
    report.add(_in_files(files or []))
    code: int = Exit.OK
    if not files or chosen.url is not None:
        code = await _look(chosen, report, fix=fix, data=data)
    report.end()
    return code if code != Exit.OK else report.code


async def _look(chosen: Choices, report: _Report, *, fix: bool, data: bool) -> int:
    found, store = operations.examine_settings(chosen.url, namespace=chosen.namespace)
    report.add(found)
    if store is None:
        return Exit.OK
    report.store = redact(repr(store))
    looked = False
    try:
        async with store:
            found = await operations.examine(store, data=data, progress=report.progress)
            looked = True
            report.add(found)
            if fix:
                await _fix(store, found, report)
    except StorageError as error:
        report.add([Finding(_rule_of(error), redact(str(error)), report.store)])
        if not looked:
            report.add(await operations.examine_unopened(store, data=data))
        return Exit.UNAVAILABLE
    return Exit.OK


def _rule_of(error: StorageError) -> str:
    if isinstance(error, MissingStoreError):
        return "store-missing"
    return "unreachable" if isinstance(error, ConnectionError | TimeoutError) else "store-refused"


async def _fix(store: StorageBackend, found: list[Finding], report: _Report) -> None:
    async for step in operations.fixes(store, report.kept(found)):
        report.step(step.what)
        report.done(step.what, await step.apply())


def _in_files(paths: list[Path]) -> list[Finding]:
    for path in paths:
        if not path.exists():
            raise CommandError(
                f"There is no file or folder {str(path)!r}.", hint="Name a compose file or a folder."
            )
    names = {each: str(each) for path in paths for each in _files_of(path)}
    places = operations.scan_texts(names, names.__getitem__).places
    return [Finding(place.rule, place.text, f"{place.file}:{place.line}") for place in places]


def _files_of(path: Path) -> Iterable[Path]:
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())


class _Report:
    """What the command writes: as it comes for people, at the end for programs."""

    def __init__(self, out: Output, ignored: frozenset[str]) -> None:
        self.store = ""
        self._out = out
        self._ignored = ignored
        self._found: list[Finding] = []
        self._done: list[dict[str, str]] = []

    @property
    def code(self) -> int:
        return Exit.NOT_FOUND if any(each.severity != "note" for each in self._found) else Exit.OK

    def kept(self, found: Iterable[Finding]) -> list[Finding]:
        return [each for each in found if each.rule not in self._ignored]

    def add(self, found: Iterable[Finding]) -> None:
        """Take findings, the worst first; those of one rule share its reason and step."""
        order = list(_STYLES)
        kept = sorted(self.kept(found), key=lambda each: (order.index(each.severity), each.rule))
        self._found += kept
        if not self._out.as_json:
            for rule, group in groupby(kept, key=lambda each: each.rule):
                self._write(rule, list(group))

    def _write(self, name: str, found: list[Finding]) -> None:
        rule = RULES[name]
        self._out.console.print(Text(f"{rule.severity}: {name}", style=_STYLES[rule.severity]))
        for each in found:
            where = f"  [{each.where}]" if each.where else ""
            self._out.text(f"  {printable(redact(each.what + where))}")
            for example in each.examples[:_EXAMPLES]:
                self._out.text(f"    {printable(example)}")
            if each.examples and each.count > _EXAMPLES:
                self._out.text(f"    and {each.count - min(_EXAMPLES, len(each.examples)):,} more")
        self._out.text(f"  Why: {rule.why}\n  Next: {rule.step}")

    def progress(self, seen: int) -> None:
        if self._out.is_terminal and seen % 100_000 == 0:
            self._out.note(f"{seen:,} entries")

    def step(self, what: str) -> None:
        if not self._out.as_json:
            self._out.text(f"fix: {printable(redact(what))}", end=" ... ")

    def done(self, what: str, result: str) -> None:
        self._done.append({"what": redact(what), "result": redact(result)})
        if not self._out.as_json:
            self._out.text(printable(redact(result)))

    def end(self) -> None:
        if self._out.as_json:
            findings: list[dict[str, Any]] = [each.as_dict() for each in self._found]
            self._out.json({"store": self.store, "findings": findings, "fixed": self._done})
            return
        counts = {name: sum(each.severity == name for each in self._found) for name in _STYLES}
        self._out.note(", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items()))
