"""The picture of the house in docs/design.md, made from the imports: `python -m tests.house_map` renews it."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict

import grimp

from tests.docs_samples import ROOT

PAGE = ROOT / "docs" / "design.md"
PACKAGE = "ad_seller.storage"
_BLOCK = re.compile(r"(<!-- map: python -m tests.house_map -->\n)```text\n.*?\n```\n", re.DOTALL)


def floors() -> list[list[str]]:
    """Return the wings of each floor, from the top, as the import contract names them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = settings["contracts"][0]["layers"]
    return [[name.strip(" ()") for name in layer.split("|")] for layer in layers]


def arrows() -> dict[str, set[str]]:
    """Return the wings that each wing imports; type-only imports count."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    imports: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        wing = _wing(module)
        imports[wing].update()
        for other in graph.find_modules_directly_imported_by(module):
            if _wing(other) != wing:
                imports[wing].add(_wing(other))
    return imports


def _wing(module: str) -> str:
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def picture() -> str:
    """Return the picture: a line for each wing, the floors from the top, with the wings that it imports."""
    imports = arrows()
    lines = ["wing              imports"]
    order = [wing for floor in floors() for wing in floor]
    for floor in floors():
        lines.append("-" * 100)
        for wing in (wing for wing in floor if wing in imports):
            below = [name for name in order if name in imports[wing]]
            lines.append(f"{wing:<17} {', '.join(below) or '-'}")
    return "\n".join(lines)


def renewed(page: str) -> str:
    """Return the page with the picture as it is now."""
    return _BLOCK.sub(lambda found: f"{found[1]}```text\n{picture()}\n```\n", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
