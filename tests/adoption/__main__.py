"""``make adoption``: move an agent of the older kind to this package, and back; see docs/moving-in.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.adoption.checkout import adopt_checkout
from tests.adoption.environment import EXTRAS, PINS, ROOT, Environment, FailedError, build_wheel
from tests.adoption.stage import SETUPS, Say, Stage, stores
from tests.adoption.stand_in import adopt, loops


def main() -> int:
    parser = argparse.ArgumentParser(prog="make adoption", description=__doc__)
    parser.add_argument("agent", nargs="?", type=Path, help="a checkout of a real agent; without it, the stand-in")
    parser.add_argument(
        "--python", type=Path, help="the agent's own Python, whose environment has its dependencies"
    )
    parser.add_argument("--only", choices=[*SETUPS, "loops"], help="one part of the stand-in's adoption")
    chosen = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="adoption-") as folder:
        try:
            wheel = build_wheel(ROOT, Path(folder) / "ours")
            say(f"built {wheel.name}")
            if chosen.agent is None:
                adopt_stand_in(Path(folder), wheel, chosen.only, say)
            else:
                adopt_checkout(chosen.agent, Path(folder), wheel, chosen.python, say)
        except FailedError as error:
            print(f"FAILED: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return 1
    say("moved, and back")
    return 0


def adopt_stand_in(folder: Path, wheel: Path, only: str | None, say: Say) -> None:
    environment = Environment(folder / "venv")
    environment.install("-r", str(PINS), f"{wheel}{EXTRAS}")
    say("a fresh environment with this package and what the agent needs")
    with stores(folder) as known:
        for storage, form in SETUPS.items():
            if only in (None, storage):
                adopt(
                    Stage(environment, wheel, folder, form, named(say, f"{storage}, agent as {form}")),
                    known[storage],
                )
        if only in (None, "loops"):
            apart = folder / "loops"
            apart.mkdir()
            loops(Stage(environment, wheel, apart, "folder", named(say, "loops")), known["sqlite"])


def named(say: Say, name: str) -> Say:
    """Return a function that says things about one part."""
    return lambda text: say(f"{name}: {text}")


if __name__ == "__main__":
    sys.exit(main())
