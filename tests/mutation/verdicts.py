"""Verdicts about mutants, kept from one run to the next."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from .mutants import Mutant
from .trials import Verdict


class Verdicts:
    """The verdicts about the mutants of one module, in a file with a line for each.

    Args:
        folder: where the files are.
        module: name of the module.
    """

    def __init__(self, folder: Path, module: str) -> None:
        """Read what is there."""
        self._path = folder / f"{module}.jsonl"
        self._known: dict[str, list[Verdict]] = {}
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for row in map(json.loads, lines):
            self._known.setdefault(row["id"], []).append(Verdict(row["outcome"], row["by"], row["seconds"]))

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Keep a verdict."""
        self._known.setdefault(mutant.id, []).append(verdict)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps({"id": mutant.id, "mutant": str(mutant), **asdict(verdict)}) + "\n")

    def first(self, mutant: Mutant) -> Verdict | None:
        """Return the first verdict about a mutant."""
        return self._known.get(mutant.id, [None])[0]

    def last(self, mutant: Mutant) -> Verdict | None:
        """Return the last verdict about a mutant."""
        return self._known.get(mutant.id, [None])[-1]

    def counts(self, mutants: list[Mutant]) -> dict[str, int]:
        """Return how many mutants were tried, found at first, found by now, and timed out among these."""
        known = [(first, last) for m in mutants if (first := self.first(m)) and (last := self.last(m))]
        outcomes = Counter(last.outcome for _, last in known)
        return {
            "mutants": len(mutants),
            "tried": len(known),
            "found at first": sum(first.outcome != "survived" for first, _ in known),
            "found": outcomes["found"] + outcomes["timed out"],
            "timed out": outcomes["timed out"],
            "survived": outcomes["survived"],
        }
