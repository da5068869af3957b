"""One namespace tries to read, list, change and erase its neighbours, by hostile names, keys, patterns and cursors.

Whatever it does: it sees nothing of theirs, theirs stays as it is, and what it writes stays its own.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from ad_seller.storage import NamespacedBackend, StorageBackend, StorageError
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put, Touch, Write
from ad_seller.storage.driver.transfer import StoredEntry
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.namespaces import namespace_prefix
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.conformance.tested_directory import TestedDirectory

SECRET: Final = "theirs alone"
VICTIMS: Final = ("victim", "victim:order", "a:order", "a*", "über")
THEIRS: Final[dict[str, Any]] = {
    "order:1": {"status": "open", "secret": SECRET},
    "deal:1": {"status": "active", "secret": SECRET},
    "session_index:buyer:gold": [SECRET],
    "z": SECRET,
}

#: What the keys and patterns of an attacker are made of.
PARTS: Final = (
    "", "ns:", "ns", ":", "victim", "victim:", "ns:victim:", "ns:victim:order:1", "order:1", "order:", "deal:1",
    "..", "../", "../victim/", "%3A", "%", "_", "*", "**", "?", "[", "]", "[!x]", "[a-z]", "[^:]*", "\\", "\\*",
    "{", "}", "{victim}", "\0", "\n", "'", '"', "' OR 1=1 --", "é", "\U0010ffff", "\ue000", "a", "z", "s" * 600,
)  # fmt: skip
ATTACKERS: Final = (
    "victi", "victim ", "victim*", "victim?", "[v]ictim", "victim\\", "vict", "victim:", "victim:orde", "VICTIM",
    "*", "?", "a", "a?", "a[*]", "u\u0308ber", "%C3%BCber", "ns:victim", ":", "..", "../victim", "victim%3Aorder",
)  # fmt: skip

Act = Callable[["Attack"], Awaitable[object]]


class Attack:
    """What one attacker tries, chosen at random."""

    def __init__(self, storage: StorageBackend, choose: random.Random) -> None:
        self.storage = storage
        self.choose = choose

    def text(self) -> str:
        return "".join(self.choose.choices(PARTS, k=self.choose.randint(1, 4)))

    def texts(self) -> list[str]:
        return [self.text() for _ in range(self.choose.randint(1, 4))]

    def cursor(self) -> str | None:
        text = self.choose.choice([self.text(), "ns:victim:a", "", "\0"])
        return self.choose.choice([None, text, base64.urlsafe_b64encode(text.encode()).decode()])

    async def page(self) -> object:
        return await self.storage.scan(
            self.text(),
            limit=self.choose.choice([None, 1, 3]),
            cursor=self.cursor(),
            reverse=self.choose.random() < 0.5,
        )

    async def number(self) -> object:
        pattern = self.text()
        assert await self.storage.count(pattern) == len(await self.storage.keys(pattern))
        return None

    async def search(self) -> object:
        where = self.choose.choice([{}, {"status": "open"}, {"secret": SECRET}])
        return await self.storage.find(self.text(), where, cursor=self.cursor(), limit=5)

    async def commit(self) -> object:
        one, other = self.text(), self.text()
        expectations: tuple[Expect, ...] = self.choose.choice([(), (Expect(other, None),)])
        writes: list[Write] = [Put(one, b'"mine"'), Delete(one), Touch(one, 1)]
        return await self.storage._atomic_commit(Commit(expectations, (self.choose.choice(writes),)))

    async def transact(self) -> object:
        async def work(tx: Any) -> object:
            await tx.set(self.text(), "mine")
            await tx.delete(self.text())
            return await tx.get(self.text())

        return await self.storage.transact(work)

    async def pages(self) -> object:
        start = self.choose.choice([None, self.text()])
        return [page async for page in self.storage._entry_pages(self.text(), start)]

    async def stored(self) -> object:
        entries = [StoredEntry(text, b'"mine"', None) for text in dict.fromkeys(self.texts())]
        return await self.storage._store_entries(entries, None)

    async def wipe(self) -> object:
        return await self.storage.delete_many(await self.storage.keys(self.choose.choice(["*", self.text()])))


ACTS: Final[dict[str, Act]] = {
    "get": lambda a: a.storage.get(a.text()),
    "set": lambda a: a.storage.set(a.text(), "mine"),
    "delete": lambda a: a.storage.delete(a.text()),
    "exists": lambda a: a.storage.exists(a.text()),
    "keys": lambda a: a.storage.keys(a.text()),
    "count": Attack.number,
    "get_many": lambda a: a.storage.get_many(a.texts()),
    "set_many": lambda a: a.storage.set_many(dict.fromkeys(a.texts(), "mine"), ttl=a.choose.choice([None, 60])),
    "delete_many": lambda a: a.storage.delete_many(a.texts()),
    "scan": Attack.page,
    "find": Attack.search,
    "commit": Attack.commit,
    "transact": Attack.transact,
    "pages": Attack.pages,
    "store": Attack.stored,
    "wipe": Attack.wipe,
    "ttl": lambda a: a.storage.ttl(a.text()),
    "expire": lambda a: a.storage.expire(a.text(), 1),
    "create": lambda a: a.storage.create(a.text(), "mine"),
    "take": lambda a: a.storage.get_and_delete(a.text()),
    "update": lambda a: a.storage.update(a.text(), lambda _: "mine"),
    "increment": lambda a: a.storage.increment(a.text()),
    "record": lambda a: a.storage.get_order(a.text()),
    "records": lambda a: a.storage.list_orders({"status": "open"}),
    "sessions": lambda a: a.storage.get_buyer_session_ids(a.text()),
    "add session": lambda a: a.storage.add_session_to_buyer_index("mine", a.text()),
    "log": lambda a: a.storage.log(a.text()).append({"mine": 1}),
    "outbox": lambda a: a.storage.outbox("mine").put(a.text()),
}

MAKERS: Final[dict[str, tuple[int, Callable[[Path, str, str, str], StorageBackend]]]] = {
    "memory": (3000, lambda *_: MemoryBackend()),
    "sqlite": (400, lambda path, *_: SQLiteBackend(str(path / "store.db"), synchronous="NORMAL")),
    "redis": (400, lambda _, url, prefix, __: RedisBackend(url, key_prefix=prefix)),
    "postgres": (300, lambda _, __, ___, url: PostgresBackend(url)),
    "hybrid": (400, lambda path, *_: HybridBackend(MemoryBackend(), SQLiteBackend(str(path / "store.db")))),
    "seven methods": (200, lambda path, *_: TestedDirectory(f"directory:///{path}/store")),
}


@pytest.fixture(params=MAKERS)
def arena(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, redis_prefix: str, postgres_url: str
) -> tuple[int, StorageBackend]:
    """A store, and how many attacks on it a test can wait for."""
    attacks, make = MAKERS[request.param]
    return attacks, make(tmp_path, redis_url, redis_prefix, postgres_url)


async def test_neighbours_stay_as_they_are_and_unseen(arena: tuple[int, StorageBackend]) -> None:
    attacks, whole = arena
    theirs = {namespace_prefix(name) + key: value for name in VICTIMS for key, value in THEIRS.items()} | THEIRS
    choose = random.Random(7)
    told: dict[str, int] = {}
    async with whole:
        await whole.set_many(theirs)
        for number in range(attacks):
            name = choose.choice(ATTACKERS)
            act = choose.choice(list(ACTS))
            async with NamespacedBackend(whole, name) as storage:
                try:
                    found = await ACTS[act](Attack(storage, choose))
                except StorageError as error:
                    found = str(error), error.key
                assert SECRET not in repr(found), (name, act)
                told[act] = told.get(act, 0) + 1
            if number % 50 == 49:
                await check(whole, theirs)
        await check(whole, theirs)
    assert told.keys() == ACTS.keys()


async def check(whole: StorageBackend, theirs: dict[str, Any]) -> None:
    """Theirs is there and as it was; everything else is in the namespace of an attacker."""
    assert await whole.get_many(theirs) == theirs
    for key in theirs:
        assert await whole.ttl(key) is None
    own = tuple(map(namespace_prefix, ATTACKERS))
    assert [key for key in await whole.keys() if key not in theirs and not key.startswith(own)] == []
