"""Moving the stand-in for an agent of the older kind: before, after, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from tests.adoption.day import Answers, Day, differences, race
from tests.adoption.environment import ROOT, FailedError, run
from tests.adoption.serving import Client, invoked, served
from tests.adoption.stage import Settings, Stage, execute

Store = Callable[[str], Settings]


def adopt(stage: Stage, store: Store) -> None:
    """Before, after and back, on one set-up.

    Raises:
        FailedError: something is not as it was, or not as it should be.
    """
    files = snapshot(stage.checkout)
    folder = stage.folder / f"run-{stage.form}"
    folder.mkdir()
    kept, fresh = store("kept") | stage.paths, store("fresh") | stage.paths
    before = _before(stage, folder, kept)
    newer = _after(stage, folder, kept, fresh, before)
    _back(stage, folder, kept, newer)
    if snapshot(stage.checkout) != files:
        raise FailedError("--undo did not put every byte back")
    stage.say("every byte is back, the older code reads every entry and serves on")
    stage.remove()
    stage.install_ours()


def _before(stage: Stage, folder: Path, kept: Settings) -> Answers:
    """Run a day by the agent's own storage, and look at what it stored."""
    stage.install()
    with served(stage.environment.python, folder, kept) as agent:
        answers = Day(agent, "first").run()
        deals = race(agent, "older", "book")
    stage.install_ours()  # an older wheel has written its files over ours
    entries = _look(stage, folder, kept)
    stage.say(
        f"{len(answers)} answers by its own storage, {entries} entries; one quote sold to {deals} of 8 buyers"
    )
    return answers


def _after(stage: Stage, folder: Path, kept: Settings, fresh: Settings, before: Answers) -> dict[str, Any]:
    """Adopt; run the same day by this package, then another on the data that was there; return all entries."""
    python = stage.environment.python
    stage.adopt("--apply")
    stage.install()
    stage.install_ours()
    with served(python, folder, fresh) as agent:
        _compare("2 workers of ours", before, Day(agent, "first").run())
        _race(agent)
    stage.say("every answer is the same by 2 workers of ours; at the changed call site one quote is sold to 1 of 8")
    with served(python, folder, kept) as agent:
        Day(agent, "second").run()
        agent.call("set_rates", changes={"after": "the move"})
    newer = _dump(python, folder, kept)
    stage.say(f"a second day on the data that was there: {len(newer)} entries")
    return newer


def _back(stage: Stage, folder: Path, kept: Settings, newer: dict[str, Any]) -> None:
    """Take it back; the older code reads everything that was written meanwhile, and serves on."""
    python = stage.environment.python
    stage.adopt("--undo")
    if "REDIS_URL" in kept:
        with redis.Redis.from_url(kept["REDIS_URL"]) as client:
            client.eval(recipe("lua"), 0)
    if kept["STORAGE_TYPE"] == "hybrid":
        execute(kept["DATABASE_URL"], recipe("sql"))
    stage.install()
    returned = _dump(python, folder, kept)
    keys = [key for key in sorted({*newer, *returned}) if newer.get(key) != returned.get(key)]
    if keys:
        pair = f"{newer.get(keys[0])} and {returned.get(keys[0])}"
        raise FailedError(f"The older code reads {len(keys)} entries otherwise; {keys[0]}: {pair}")
    with served(python, folder, kept) as agent:
        Day(agent, "third").run()


def loops(stage: Stage, store: Store) -> None:
    """The same day by the entry that gives each request an event loop of its own, beside a server in a thread."""
    folder = stage.folder / "run-loops"
    folder.mkdir()
    stage.install()
    with invoked(stage.environment.python, folder, store("before") | stage.paths) as agent:
        before = Day(agent, "first").run()
    stage.adopt("--apply")
    stage.install()
    stage.install_ours()
    with invoked(stage.environment.python, folder, store("after") | stage.paths) as agent:
        _compare("a new loop for each request", before, Day(agent, "first").run())
        _race(agent.beside)
    stage.say(f"{len(before)} answers are the same with a new event loop for each request, beside a server's")
    stage.adopt("--undo")
    stage.remove()


def _race(agent: Client) -> None:
    if (deals := race(agent, "newer", "together_book")) != 1:
        raise FailedError(f"8 buyers booked one quote at the adopted call site: {deals} deals")


def _compare(what: str, before: Answers, after: Answers) -> None:
    """Compare two days that began on empty stores."""
    found = differences(before, after)
    if found:
        raise FailedError(f"With {what}, {len(found)} answers of {len(before)} differ:\n" + "\n".join(found[:5]))


def _look(stage: Stage, folder: Path, settings: Settings) -> int:
    """Let `adopt` look at the data; everything can be read and found."""
    url = settings.get("DATABASE_URL", "")  # a SQLite file is named from the folder where the agent runs
    seen = settings | ({"DATABASE_URL": url.replace("///./", f"///{folder}/")} if url.startswith("sqlite") else {})
    text = stage.environment.command("--json", "adopt", str(stage.checkout), cwd=folder, env=seen)
    census = json.loads(text)["data"]
    if census["problem"] or census["unreadable"] or census["unfound"]:
        raise FailedError(f"adopt found trouble in the data: {census}")
    return sum(census["counts"].values())


def _dump(python: str, folder: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return every entry, read by the agent's storage of the moment."""
    answer: dict[str, Any] = json.loads(run([python, "-m", "ad_seller.dump"], cwd=folder, env=settings))
    return answer


def snapshot(checkout: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file of a checkout but git's own and what Python leaves behind."""
    files = (path for path in checkout.rglob("*") if path.is_file() and not {".git", "__pycache__"} & {*path.parts})
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in files}


def recipe(language: str) -> str:
    """Return what docs/moving-in.md says for the way back, in SQL for PostgreSQL or in Lua for Redis."""
    text = (ROOT / "docs" / "moving-in.md").read_text(encoding="utf-8")
    return text.partition(f"```{language}\n")[2].partition("```")[0]
