"""Listings from the index under schedules: while others write beside it, kinds come to those that are told of, the
listening connection is lost, the index is removed or made anew, and the server is exchanged."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from ad_seller.storage.driver.failures import LostError, NotSentError
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.records.globs import compile_glob
from ad_seller.storage.redis import index, listener, news, rounds, tracker
from ad_seller.storage.redis.listings import Listings
from tests.schedules.redis_server import PREFIX, Server
from tests.schedules.redis_wires import Router
from tests.schedules.world import World, explore

TIMEOUT = 5.0
KINDS = ("deal", "order", "quote")
CROWD = 6  #: people at most
NAMES = [f"{kind}:{number}.{turn}" for kind in KINDS for number in range(CROWD) for turn in range(3)]
PATTERNS = [f"{kind}:*" for kind in KINDS] * 2 + ["*", "deal:1*", "o*", "[dq]*"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every limit is so small that few names and kinds reach it."""
    for module, name, number in (
        (listener, "_MOST_KINDS", 2),
        (tracker, "PART", 2),
        (index, "PART", 2),
        (index, "MOMENT", 3),
        (news, "_SOON", 2),
        (news, "_MOST", 5),
        (news, "_FEWEST", 3),
        (news, "_FEW", 3),
        (news, "_MANY", 6),
    ):
        monkeypatch.setattr(module, name, number)


@pytest.fixture(params=["few keys", "many keys"])
def _keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a listing's own script may look at all keys."""
    monkeypatch.setattr(news, "MOST_KEYS", 5_000 if request.param == "few keys" else 0)


class Instance:
    """One process that lists."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._world = server.world
        self.router = Router(server, TIMEOUT)
        self.listings = Listings(self.router, PREFIX, self.router._timeout, indexed=True)

    async def look(self, pattern: str) -> None:
        """List in one of the three ways, and compare with what was there meanwhile."""
        span = KeyQuery(compile_glob(pattern))
        way = self._world.chance.choice(("keys", "count", "entries", "entries") if span.exact else ("keys",))
        began, at = self._world.loop.steps, self._world.loop.time()
        answer: Any = await getattr(self.listings, way)(span)
        if answer is None:  # no index can be asked for entries; then their keys are listed first
            way, answer = "keys", await self.listings.keys(span)
        waited = self._world.loop.time() - at
        ended = self._world.loop.steps
        self._world.note(way, pattern, answer, began, ended)
        may = {name: self._server.may_hold(name, began, ended) for name in NAMES if span.glob.matches(name)}
        if way == "count":
            least, most = sum(held == {True} for held in may.values()), sum(True in held for held in may.values())
            assert least <= answer <= most, f"{answer} {pattern}, where {least} to {most} were there"
        else:
            keys = [key for key, _ in answer] if way == "entries" else answer
            assert keys == sorted(set(keys)), f"not each once, in order: {keys}"
            missing = {name for name, held in may.items() if held == {True}} - set(keys)
            assert not missing, f"{pattern} misses {missing}"
            gone = set(keys) - {name for name, held in may.items() if True in held}
            assert not gone, f"{pattern} has {gone}, which were not there"
        assert waited < 2 * TIMEOUT, "it did not come to an end"

    async def write_and_look(self, number: int, kinds: Sequence[str], impatient: float) -> None:
        """Write what nobody else writes, and list it; a share of the listings is given up."""
        world, server = self._world, self._server
        for turn in range(3):
            kind = world.chance.choice(kinds)
            lives, names = world.chance.random() < 0.8, [f"{kind}:{number}.{turn}"]
            if world.chance.random() < 0.3:  # as many at once as can be
                names = [f"{one}:{number}.{every}" for one in kinds for every in range(3)]
            elif not lives:
                names = [f"{kind}:{number}.0"]
            await server.write(*names, lives=lives, indexed=world.chance.random() < 0.2)
            pattern = world.chance.choice((f"{kind}:*", f"{kind}:*", f"{kind}:*", "*"))
            try:
                await self._look_or_give_up(pattern, impatient)
            except asyncio.CancelledError:
                if not impatient or asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
            except (NotSentError, LostError, TimeoutError):
                assert server.may_fail, "a call failed because one connection was lost"

    async def _look_or_give_up(self, pattern: str, impatient: float) -> None:
        looking = asyncio.ensure_future(self.look(pattern))
        if self._world.chance.random() < impatient:
            giving_up = asyncio.ensure_future(self._give_up(looking))
            looking.add_done_callback(lambda _: giving_up.cancel())
        await looking

    async def _give_up(self, looking: asyncio.Task[None]) -> None:
        for _ in range(self._world.chance.randrange(20)):
            await self._world.pause()
        looking.cancel()


async def befall(server: Server, instances: list[Instance], times: int) -> None:
    """Let happen what ends the trust in an index."""
    chance = server.world.chance
    happenings: list[Callable[[], object]] = [
        server.cut_listeners,
        server.remove_index,
        server.flush,
        server.load,
        chance.choice(instances).router.exchange,
    ]
    for _ in range(times):
        await server.world.pause()
        chance.choice(happenings)()


async def story(
    world: World,
    befalls: int = 0,
    faults: float = 0.0,
    cancelled: float = 0.0,
    impatient: float = 0.0,
    people: int = 3,
) -> None:
    """Let two instances list while others write; at the end both find what is there."""
    counter = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracker, "uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(counter):032x}")))
        server = Server(world)
        instances = [Instance(server), Instance(server)]
        await server.write("deal:2.1", "order:2.2", lives=True, indexed=False)
        kinds = KINDS[: world.chance.choice((1, 1, 2, 3))]
        for one in instances[: world.chance.choice((0, 1, 2, 2))]:
            await one.look(f"{world.chance.choice(kinds)}:*")
        server.is_prompt, server.faults, server.may_fail = False, faults, faults > 0 or befalls > 1
        here = instances if people < CROWD else instances[:1]
        jobs = [world.chance.choice(here).write_and_look(number, kinds, impatient) for number in range(people)]
        crowd = [asyncio.ensure_future(job) for job in jobs]
        world.cancel_some(crowd, cancelled)
        await world.gather(*crowd, befall(server, instances, befalls))
        assert cancelled or not any(one.cancelled() for one in crowd), "cancelled by nobody"
        server.is_prompt, server.faults = True, 0.0
        for one in instances:
            await one.look(world.chance.choice(PATTERNS))
        for one in instances:
            await one.listings.close()
        assert not server.wires, "connections are left"


@pytest.mark.usefixtures("_keys")
def test_while_others_write() -> None:
    explore(story, 100)


@pytest.mark.usefixtures("_keys")
def test_while_what_vouches_for_the_index_is_lost() -> None:
    explore(lambda world: story(world, befalls=1), 150)
    explore(lambda world: story(world, befalls=2), 100)


@pytest.mark.usefixtures("_keys")
def test_while_connections_fail() -> None:
    explore(lambda world: story(world, befalls=1, faults=0.1), 100)


@pytest.mark.usefixtures("_keys")
def test_while_callers_are_cancelled() -> None:
    explore(lambda world: story(world, befalls=1, cancelled=0.7), 100)


@pytest.mark.usefixtures("_keys")
def test_in_a_crowd() -> None:
    """Of one instance, so that they share what it asks; some give up in the middle of it."""
    explore(lambda world: story(world, people=CROWD), 30)
    explore(lambda world: story(world, people=CROWD, impatient=0.5), 30)


Tracker = tracker.IndexTracker


async def _believes_what_was_quiet(self: Tracker, part: Any, deadline: float, first: bool) -> Any:
    """A defect: news that came before the answer is not looked at."""
    generation = self._generation
    if first and self._news:
        await self._listener.ask(("PING",), deadline)
    answer = await self._list_now(part, deadline)
    return answer if self._generation == generation or not first else None


async def _asks_nobody(self: Tracker, part: Any, deadline: float, first: bool) -> Any:
    """A defect: where something was told, what is on its way is not waited for."""
    generation, was_quiet = self._generation, not self._news
    answer = await self._list_now(part, deadline)
    if first and was_quiet and self._news:
        answer = await self._list_now(part, deadline)
    return answer if self._generation == generation or not first else None


def _keeps_trust(self: Tracker) -> None:
    """A defect: a new connection is taken for one that has missed nothing."""
    self._news.stopped()
    self._listener.drop()


async def _shares_its_end(
    self: rounds.Rounds[Any], what: str, run: Callable[[Callable[[], object]], Any], _deadline: float
) -> Any:
    """A defect: whoever waits for a round is cancelled with it."""
    if what not in self._next:
        self._next[what] = task = asyncio.create_task(run(lambda: self._next.pop(what, None)))
        self._all.add(task)
        task.add_done_callback(partial(self._ended, what))
    return await asyncio.shield(self._next[what])


_hear, _share = Tracker._hear, rounds.Rounds.share


def _forgets_too_many(self: Tracker, push: list[Any]) -> None:
    """A defect: names that are too many to be remembered are forgotten, and the index is believed."""
    generation = self._generation
    _hear(self, push)
    if push[1] is not None and self._listener.is_quiet:
        self._generation = generation


async def _believes_what_was_lost(self: Tracker, part: Any, deadline: float, first: bool) -> Any:
    """A defect: an answer counts although the trust in the index ended meanwhile."""
    was_quiet = not self._news
    if first and not was_quiet:
        await self._listener.ask(("PING",), deadline)
    answer = await self._list_now(part, deadline)
    return await self._list_now(part, deadline) if first and was_quiet and self._news else answer


async def _joins_what_has_begun(self: rounds.Rounds[Any], what: str, run: Any, deadline: float) -> Any:
    """A defect: who asks after a round has begun shares it."""
    return await _share(self, what, lambda _: run(lambda: None), deadline)


def _keeps_what_was_flushed(self: Tracker, push: list[Any]) -> None:
    """A defect: where all keys were removed, perhaps to load others, the index is believed."""
    if push[1] is not None:
        _hear(self, push)


class TestTheChecksFindDefects:
    @pytest.mark.parametrize(
        ("place", "name", "defect", "found"),
        [
            (Tracker, "_list", _believes_what_was_quiet, "misses|were there"),
            (Tracker, "_list", _asks_nobody, "misses|were there"),
            (Tracker, "_drop", _keeps_trust, "misses|were there"),
            (listener.Listener, "tells_of", lambda self, start: self._connection is not None, "misses|were there"),
            (rounds.Rounds, "share", _shares_its_end, "cancelled by nobody"),
            (Tracker, "_hear", _keeps_what_was_flushed, "misses|were there|were not there"),
        ],
    )
    def test_these_checks_find(
        self, place: type, name: str, defect: Any, found: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(news, "MOST_KEYS", 0)
        monkeypatch.setattr(place, name, defect)
        with pytest.raises(AssertionError, match=f"(?s)SCHEDULE_SEED.*({found})"):
            explore(lambda world: story(world, befalls=0 if name == "_list" else 2), 300)

    @pytest.mark.parametrize(
        ("place", "name", "defect"),
        [
            (Tracker, "_hear", _forgets_too_many),
            (Tracker, "_list", _believes_what_was_lost),
            (rounds.Rounds, "share", _joins_what_has_begun),
        ],
    )
    def test_a_crowd_finds(self, place: type, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(news, "MOST_KEYS", 0)
        monkeypatch.setattr(place, name, defect)
        with pytest.raises(AssertionError, match=r"(?s)SCHEDULE_SEED.*(misses|were there)"):
            explore(lambda world: story(world, people=CROWD), 300)
