"""A checkout of the stand-in in an environment, and the stores that it runs on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.adoption.environment import ROOT, Environment, build_wheel, run

AGENT = ROOT / "tests" / "adoption" / "agent"
#: How the agent is installed, and the storage type with which that is tried.
SETUPS = {"sqlite": "folder", "redis": "editable", "hybrid": "wheel"}

Say = Callable[[str], None]
Settings = dict[str, str]


@dataclass(slots=True)
class Stage:
    """A checkout of the stand-in, and the environment in which it runs.

    Attributes:
        environment: this package is installed there, as a wheel.
        wheel: that wheel.
        folder: for everything else.
        form: ``folder`` on the path, ``editable`` checkout or ``wheel``.
        say: called with what was seen.
    """

    environment: Environment
    wheel: Path
    folder: Path
    form: str
    say: Say
    checkout: Path = field(init=False)

    def __post_init__(self) -> None:
        """Make the checkout, in git as real ones are."""
        self.checkout = self.folder / f"agent-{self.form}"
        shutil.copytree(AGENT, self.checkout, ignore=shutil.ignore_patterns("__pycache__"))
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The agent"]):
            run([*git, *command], cwd=self.checkout)

    def install(self) -> None:
        """Install the agent as it is now; this package, too, where the agent may have taken its files away."""
        if self.form == "editable":
            self.environment.install("-e", str(self.checkout), alone=True)
        elif self.form == "wheel":
            built = build_wheel(self.checkout, self.folder / "wheels")
            self.environment.install(str(built), alone=True)

    def install_ours(self) -> None:
        self.environment.install(str(self.wheel), alone=True)

    def remove(self) -> None:
        if self.form != "folder":
            self.environment.pip("uninstall", "--quiet", "--yes", "older-seller-agent")

    @property
    def paths(self) -> Settings:
        return {"PYTHONPATH": str(self.checkout / "src")} if self.form == "folder" else {}

    def adopt(self, *options: str) -> dict[str, Any]:
        """Run `adopt` on the checkout."""
        text = self.environment.command(
            "--json", "adopt", str(self.checkout), "--no-data", *options, cwd=self.folder
        )
        answer: dict[str, Any] = json.loads(text)
        return answer


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, Callable[[str], Settings]]]:
    """Run the servers; for each set-up, a function that returns the settings of a store of that name."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis", config={"databases": "64"}))
        postgres = stack.enter_context(PostgresServer())
        numbers: dict[str, int] = {}

        def redis_url(name: str) -> str:
            return f"{redis.url.rpartition('/')[0]}/{numbers.setdefault(name, len(numbers))}"

        def database(name: str) -> str:
            if name not in databases:
                databases.add(name)
                execute(postgres.url(), f'CREATE DATABASE "{name}"')
            return postgres.url(name)

        databases: set[str] = set()
        yield {
            "sqlite": lambda name: {"STORAGE_TYPE": "sqlite", "DATABASE_URL": f"sqlite:///./data/{name}.db"},
            "redis": lambda name: {"STORAGE_TYPE": "redis", "REDIS_URL": redis_url(name)},
            "hybrid": lambda name: {
                "STORAGE_TYPE": "hybrid",
                "DATABASE_URL": database(name),
                "REDIS_URL": redis_url(f"{name} hybrid"),
            },
        }


def execute(url: str, sql: str) -> None:
    """Run SQL on a PostgreSQL."""

    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(work())
