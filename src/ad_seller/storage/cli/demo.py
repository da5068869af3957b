"""The command `demo`: the tutorial ``examples/seller_day.py``, which the wheel carries along."""

from __future__ import annotations

import asyncio
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from .running import AsJson, Choices, CommandError, Exit, guarded

commands = typer.Typer()

_STORAGE = Path(__file__).parents[1]
_PLACES = (
    _STORAGE / "_examples" / "seller_day.py",  # in a wheel
    _STORAGE.parents[2] / "examples" / "seller_day.py",  # in a checkout
)


@commands.command()
def demo(
    context: typer.Context,
    database: Annotated[str | None, typer.Option(metavar="PATH", help="The SQLite file to make.")] = None,
    buyers: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many buyer agents.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a seller's day with many buyers at once on a new SQLite file, and show what is stored."""
    chosen = context.ensure_object(Choices)
    arguments = [] if database is None else ["--database", database]
    arguments += [] if buyers is None else ["--buyers", str(buyers)]
    as_json = as_json or chosen.as_json
    arguments += ["--json"] if as_json else []
    raise typer.Exit(guarded(lambda: _run(arguments, chosen), as_json=as_json))


def _run(arguments: list[str], chosen: Choices) -> int:
    if chosen.url is not None:
        raise CommandError(
            "The demonstration makes a SQLite file of its own.", hint="Choose it by --database PATH."
        )
    place = next((place for place in _PLACES if place.is_file()), None)
    if place is None:
        raise CommandError(
            "The demonstration is not part of this installation.",
            hint="pip install --force-reinstall ad-seller-storage, or run examples/seller_day.py from a clone.",
            code=Exit.FAILED,
        )
    loader = SourceFileLoader("seller_day", str(place))
    module = sys.modules[loader.name] = ModuleType(loader.name)
    loader.exec_module(module)
    return int(asyncio.run(module.main(arguments)))
