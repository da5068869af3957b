"""A Redis server for schedules: names, the listing index, who is told of changes, and connections that take time.

As the real one, it works in rounds. What was changed in a round is told when the round ends, behind the answers of
that round and before anything of it leaves; so whoever was told that his write is done finds the news of it on the
way to all others. Answers and news of one connection arrive in their order.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import NoScriptError, ResponseError

from ad_seller.storage.redis import index as scripts
from tests.schedules.world import World

PREFIX = "ad_seller:"
INDEX = scripts.index_name(PREFIX).encode()


class Write(NamedTuple):
    """What was written under a name: the steps at which it took effect, and at which its writer was told."""

    effect: int
    told: float
    lives: bool


class Wire(Protocol):
    """The server's side of a connection; ``scopes`` are the beginnings of the names of which it is told."""

    scopes: list[bytes]

    def leave(self, changed: Iterable[bytes], flushed: bool) -> None:
        """Send what a round brought: its answers, then its news."""

    def cut(self) -> None:
        """Have the server end the connection."""


class Server:
    """What the instances of a schedule share.

    Args:
        world: where chance comes from.
        faults: the share of pipelines and new connections that fail.

    Attributes:
        names: what is stored.
        index: the members of the listing index; empty: there is none.
        wires: the connections that are open.
        is_prompt: whether nothing takes time.
        may_fail: whether so much happens that calls may fail.
    """

    def __init__(self, world: World, faults: float = 0.0) -> None:
        self.world = world
        self.faults = faults
        self.names: set[bytes] = set()
        self.index: set[bytes] = set()
        self.wires: list[Wire] = []
        self.is_prompt = True
        self.may_fail = False
        self._scripts: dict[str, Callable[..., Any]] = {}
        self._cursors: list[bytes] = [b""]
        self._writes: dict[bytes, list[Write]] = {}
        self._changed: list[bytes] = []
        self._flushed = False
        self._round: asyncio.Task[None] | None = None

    # --- what other programs do --------------------------------------------------------------------------

    async def write(self, *names: str, lives: bool, indexed: bool) -> None:
        """Set or remove entries, with their names in the index or behind its back, until that is acknowledged."""
        await self.pause()
        effect = self.world.loop.steps
        full = [(PREFIX + name).encode() for name in names]
        (self.names.update if lives else self.names.difference_update)(full)
        if indexed:
            (self.index.update if lives else self.index.difference_update)(full)
        notes = [self._writes.setdefault(name, []) for name in full]
        places = [len(note) for note in notes]
        for note in notes:
            note.append(Write(effect, float("inf"), lives))
        self._change(*full)
        await asyncio.wait([self._begin()])
        for note, place in zip(notes, places, strict=True):
            note[place] = note[place]._replace(told=self.world.loop.steps)

    def remove_index(self) -> None:
        """Remove the index, as a DBA does."""
        self.index.clear()
        self._change(INDEX)
        _ = self._begin()

    def flush(self) -> None:
        """Remove everything, as FLUSHALL does."""
        step = self.world.loop.steps
        for name in self.names:
            self._writes.setdefault(name, []).append(Write(step, step, False))
        self.names.clear()
        self.index.clear()
        self._flushed = True
        _ = self._begin()

    def load(self) -> None:
        """Hold what another server does, which has the index, and was written to beside it: no news of that."""
        step = self.world.loop.steps
        for name, writes in self._writes.items():
            if self.world.draw() < 0.5:
                lives = name not in self.names
                writes.append(Write(step, step, lives))
                (self.names.add if lives else self.names.discard)(name)
        self._flushed = True
        _ = self._begin()

    def cut_listeners(self) -> None:
        """End the connections that are told of changes."""
        for wire in [wire for wire in self.wires if wire.scopes]:
            wire.cut()

    def may_hold(self, name: str, began: int, ended: int) -> set[bool]:
        """Return whether there was an entry of that name at any moment of a call, as its caller can know."""
        writes = self._writes.get((PREFIX + name).encode(), [])
        known = max((place for place, write in enumerate(writes) if write.told < began), default=-1)
        held = {writes[known].lives if known >= 0 else False}
        return held | {write.lives for write in writes[known + 1 :] if write.effect <= ended}

    # --- rounds ------------------------------------------------------------------------------------------

    def _change(self, *names: bytes) -> None:
        self._changed += names

    def _begin(self) -> asyncio.Task[None]:
        """Return the round that goes on, or a new one."""
        if self._round is None:
            self._round = asyncio.ensure_future(self._end_round())
        return self._round

    async def _end_round(self) -> None:
        await self.pause()
        self._round = None
        changed, self._changed = self._changed, []
        flushed, self._flushed = self._flushed, False
        for wire in self.wires:
            wire.leave(changed, flushed)

    async def pause(self) -> None:
        """Take some time, if anything does."""
        if not self.is_prompt:
            await self.world.pause()

    # --- commands ----------------------------------------------------------------------------------------

    def execute(self, wire: Wire, command: Sequence[Any]) -> Any:
        """Do what a command says, at one moment."""
        _ = self._begin()
        match command:
            case ["EVALSHA", sha, _, _, *arguments]:
                known = self._scripts.get(sha)
                return NoScriptError("No matching script") if known is None else known(*arguments)
            case ["EVAL", text, _, _, *arguments]:
                function = self._scripts[hashlib.sha1(text.encode()).hexdigest()] = self._named(text)
                return function(*arguments)
            case ["CLIENT", "TRACKING", "ON", "BCAST", *prefix]:
                return self._track(wire, prefix[1].encode() if prefix else b"")
            case ["ZSCORE", _, member]:
                return b"0" if member in self.index else None
            case ["SCAN", cursor, "MATCH", pattern, *_]:
                return self._scan(int(cursor), pattern.encode())
            case _:
                return b"OK"

    def _named(self, text: str) -> Callable[..., Any]:
        """Return what does here what a script does there."""
        named: dict[str, Callable[..., Any]] = {
            scripts.LIST.text: self._list,
            scripts.ENTRIES.text: self._entries,
            scripts.RECONCILE.text: self._reconcile,
            scripts.BEGIN.text: self._begin_index,
            scripts.END.text: self._end_index,
        }
        return named[text]

    def _track(self, wire: Wire, scope: bytes) -> Any:
        if any(scope.startswith(one) or one.startswith(scope) for one in wire.scopes):
            return ResponseError(f"Prefix {scope!r} overlaps with an existing prefix")
        wire.scopes.append(scope)
        return b"OK"

    def _scan(self, cursor: int, pattern: bytes) -> Any:
        """Return some names in an order of the server's own: what comes behind the cursor meanwhile is missed."""
        after, start = self._cursors[cursor], pattern.removesuffix(b"*")
        left = sorted(name[::-1] for name in self.names if name[::-1] > after)
        some = left[: 1 + int(self.world.draw() * 3)]
        found = [name[::-1] for name in some if name[::-1].startswith(start)]
        if len(some) == len(left):
            return [b"0", found]
        self._cursors.append(some[-1])
        return [b"%d" % (len(self._cursors) - 1), found]

    def _range(self, lower: bytes, upper: bytes, reverse: str) -> list[bytes]:
        def within(name: bytes) -> bool:
            above = name >= lower[1:] if lower[:1] == b"[" else name > lower[1:]
            return above and (upper == b"+" or name < upper[1:])

        return sorted(filter(within, self.index), reverse=reverse == "1")

    def _is_right(self, generation: bytes, looks: Sequence[Any]) -> bool:
        if not looks:
            return generation in self.index
        start = looks[0].removesuffix("*").encode()
        self.index -= {name for name in self.index if name.startswith(start) and name[:1] != b"\0"}
        self.index |= {name for name in self.names if name.startswith(start)}
        self._change(INDEX)
        return True

    def _list(
        self, generation: bytes, lower: bytes, upper: bytes, reverse: str, most: str, mode: str, *looks: Any
    ) -> Any:
        if not self._is_right(generation, looks):
            return None
        names = self._range(lower, upper, reverse)
        last = names[int(most) - 1] if len(names) > int(most) else b""
        living = [name for name in names[: int(most)] if mode == "names" or name in self.names]
        return [last, len(living) if mode == "count" else b"\0".join(living)]

    def _entries(
        self, generation: bytes, lower: bytes, upper: bytes, reverse: str, most: str, size: str, *looks: Any
    ) -> Any:
        if not self._is_right(generation, looks):
            return None
        names = self._range(lower, upper, reverse)
        found = [name for name in names if name in self.names][: min(int(most), 2)]
        more = found and names.index(found[-1]) < len(names) - 1
        return [found[-1] if more else b"", b"\0".join(found), [b"1"] * len(found)]

    def _reconcile(self, *names: bytes) -> int:
        self.index |= self.names.intersection(names)
        self.index -= set(names) - self.names
        self._change(INDEX)
        return 0

    def _begin_index(self, generation: bytes, before: bytes) -> int:
        self.index = {*self.index - {before}, generation}
        self._change(INDEX)
        return len(self.names)

    def _end_index(self, generation: bytes) -> int:
        self.index.discard(generation)
        if all(member[:1] == b"\0" for member in self.index):
            self.index.clear()
        self._change(INDEX)
        return 1
