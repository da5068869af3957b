"""Whether the listing index can be trusted: what other programs write beside it is noticed, and put right.

Redis tells one connection of each instance which keys of the prefix were changed (CLIENT TRACKING). Who lists over
that connection has, before the answer, been told of every write that had ended before the listing began, because
Redis tells before it answers the writer. A new connection has missed something, so it begins with a survey of all
keys.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ResponseError

from ..concurrency.timeslice import TimeSlice
from ..records.globs import compile_glob
from .connection import Wire
from .index import BEGIN, END, LIST, PART, SETTLE, Part, index_name, own_names, run_on, scanned
from .pool import BrokenError, NotSentError, RedisLink, exchange
from .scripts import Argument, Script

log = logging.getLogger("ad_seller.storage")

_SOON: Final = 1_000  #: changed names that are looked at without waiting for a listing
_MOST: Final = 100_000  #: changed names that are remembered; with more, a survey is as good
_TRIES: Final = 3  #: surveys that a listing waits for, while somebody keeps removing the index
_FAREWELL: Final = 0.5  #: seconds in which a server may take note that we leave
_REFUSED: Final = 60.0  #: seconds after which a server that refused is asked again


class Watch:
    """Answers listings of one server from the index, for one instance.

    Attributes:
        link: leads to the server.

    Args:
        link: see above.
        prefix: what stands before each key.
        timeout: seconds that each step of a survey may take.
    """

    def __init__(self, link: RedisLink, prefix: str, timeout: float) -> None:
        """Nothing is watched before the first listing."""
        self.link = link
        self._prefix = prefix
        self._index = index_name(prefix)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._wire: Wire | None = None
        self._token: bytes | None = None  # stands in the index that is, or is being, surveyed
        self._left = b""  # the last token that was put there, trusted or not
        self._surveyed = False
        self._changed: set[bytes] = set()  # names that were not looked at since
        self._settling: asyncio.Task[None] | None = None
        self._closed = False
        self._refused_at = -math.inf
        self._failure: tuple[float, Exception] = (-math.inf, NotSentError())

    async def ask(self, part: Part, deadline: float, *, first: bool) -> list[Any] | None:
        """Return what `LIST` answers, or None where there can be no index that is trustworthy.

        Args:
            part: what is asked for.
            deadline: for the answer, in the event loop's time; the time that a survey takes is added.
            first: whether the listing begins here. What is written later it need not see.

        Raises:
            NotSentError: the server cannot be reached.
            BrokenError: the connection was lost.
        """
        began = self._loop.time()
        if began - self._refused_at < _REFUSED:
            return None
        async with self._turn:
            failed_at, failure = self._failure
            if failed_at > began:
                raise NotSentError(str(failure)) from failure  # or all who wait here would try one after the other
            try:
                return await self._answer(part, deadline, first)
            except ResponseError as error:
                self._give_up(error)
                return None
            except (NotSentError, BrokenError) as error:
                self._failure = (
                    self._loop.time(),
                    error.__cause__ if isinstance(error.__cause__, Exception) else error,
                )
                raise

    async def close(self) -> None:
        """End what goes on in the background, and the connection.

        Our token goes with us, and an index without a name, so that an empty store leaves no key.
        """
        self._closed = True
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait([self._settling])
        self._drop()
        if self._left:
            with suppress(BrokenError, NotSentError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    command = ("EVAL", END.text, 1, self._index, self._left)
                    await self.link.pipeline([command], self._loop.time() + _FAREWELL)

    async def _answer(self, part: Part, deadline: float, first: bool) -> list[Any] | None:
        for _ in range(_TRIES):
            if self._wire is None or not await self._wire.is_open():
                self._drop()
                await self._connect(deadline)
            if self._token is None or not self._surveyed:
                began = self._loop.time()
                await self._survey()
                deadline += self._loop.time() - began
            answer = await self._trusted(part, deadline, first)
            if answer is not None:
                return answer
            self._token = None
        return None

    async def _trusted(self, part: Part, deadline: float, first: bool) -> list[Any] | None:
        """Return what the index answers; None if somebody removed it, or changed more than can be remembered."""
        try:
            if self._changed:
                await self._settle(deadline)
            token = self._token
            answer = await self._list(part, deadline)
            if first and self._changed and await self._settle(deadline):
                answer = await self._list(part, deadline)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                return None  # something else is stored under its name: the next survey removes that
            raise
        return answer if self._token == token or not first else None

    async def _list(self, part: Part, deadline: float) -> list[Any] | None:
        answer: list[Any] | None = await self._run(LIST, (self._token or b"", *part.arguments), deadline)
        return answer

    async def _run(self, script: Script, arguments: Sequence[Argument], deadline: float) -> Any:
        if self._wire is None:
            raise NotSentError("the connection was closed")
        return await run_on(self._wire, script, self._index, arguments, deadline)

    # --- trust -----------------------------------------------------------------------------------------

    async def _connect(self, deadline: float) -> None:
        try:
            wire = await self.link.dedicated(self._hear, deadline)
        except NotSentError as error:
            if isinstance(error.__cause__, ResponseError):
                raise error.__cause__ from error  # it cannot speak unasked
            raise
        try:
            prefix = ("PREFIX", self._prefix) if self._prefix else ()
            [answer] = await exchange(wire, [("CLIENT", "TRACKING", "ON", "BCAST", *prefix)], deadline)
            if isinstance(answer, Exception):
                raise answer
        except BaseException:
            self.link.release(wire)
            raise
        self._wire = wire

    async def _survey(self) -> None:
        """Look at every key; from now on the index misses none."""
        self._changed.clear()
        self._surveyed = False
        self._token = token = b"\0" + uuid.uuid4().hex.encode()
        before, self._left = self._left, token
        await self._run(BEGIN, (token, before), self._loop.time() + self._timeout)
        async for names in scanned(self.link, self._prefix, compile_glob("*"), self._timeout):
            await self._look_at(names, None, strings=True)
        self._surveyed = self._token == token

    async def _settle(self, deadline: float | None) -> int:
        """Make the index right about the names that were changed; return for how many it was wrong."""
        names, self._changed = self._changed, set()
        try:
            names.discard(self._index.encode())
            return await self._look_at(own_names(names, self._prefix), deadline)
        except BaseException:
            self._token = None
            raise

    async def _look_at(self, names: list[bytes], deadline: float | None, *, strings: bool = False) -> int:
        wrong = 0
        pace = TimeSlice()
        for begin in range(0, len(names), PART):
            until = deadline or self._loop.time() + self._timeout
            wrong += await self._run(SETTLE, [int(strings), *names[begin : begin + PART]], until)
            await pace.checkpoint()
        return wrong

    def _hear(self, push: list[Any]) -> None:
        """Remember what was changed."""
        if push[0] != b"invalidate" or self._token is None:
            return
        if push[1] is None:
            self._token = None  # all keys were removed, perhaps to load others, of which nothing would be said
            return
        self._changed.update(push[1])
        if len(self._changed) > _MOST:
            self._changed.clear()
            self._token = None
        self._settle_many()

    def _settle_many(self) -> None:
        """Begin to look at what was changed if it has become much."""
        trusted = self._token is not None and self._surveyed and not self._closed
        if trusted and len(self._changed) > _SOON and self._settling is None:
            self._settling = self._loop.create_task(self._settle_soon())
            self._settling.add_done_callback(self._settled)

    async def _settle_soon(self) -> None:
        async with self._turn:
            if self._token is not None and self._surveyed:
                with suppress(ResponseError, NotSentError, BrokenError):  # the next listing will see, and say so
                    await self._settle(None)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling = None
        self._settle_many()  # for what came meanwhile

    def _give_up(self, error: ResponseError) -> None:
        if self._refused_at == -math.inf:
            log.warning("Listings walk over all keys of the server, because it allows no index: %s", error)
        self._refused_at = self._loop.time()
        self._drop()

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        self._token = None
        self._changed.clear()
        if wire is not None:
            self.link.release(wire)
