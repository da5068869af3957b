"""What the routers for Sentinel and for a cluster share: patience, and finding out which servers there are."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from redis.exceptions import AuthenticationError, AuthorizationError

from ..concurrency.tasks import later
from ..driver.failures import LostError, NotSentError
from ..passwords import PasswordFunctionError
from .commands import error_code
from .pool import NodePool
from .router import RedisRouter
from .settings import RedisSettings
from .slots import Node

#: Without these a login will not succeed a moment later either.
_NO_LOGIN = (AuthenticationError, AuthorizationError, PasswordFunctionError)

_PAUSE = 0.05  #: seconds between two tries while servers are being exchanged
_REDIRECTS = 3  #: how many times a command follows where a server points, without a pause
_PATIENCE = 0.95  #: how much of a call's time may pass with tries, so that it can still say why they failed


class GroupRouter(RedisRouter):
    """Looks for the right server until the time of the call is up."""

    #: Seconds after which what is known is looked up again although nothing has contradicted it.
    _fresh_for: float = math.inf

    #: Answers after which it is looked up at once.
    _doubtful: ClassVar = frozenset({"READONLY", "MOVED", "CLUSTERDOWN", "MASTERDOWN"})

    def __init__(self, settings: RedisSettings) -> None:
        """Nothing is known yet."""
        super().__init__(settings)
        self._looking_up: asyncio.Task[None] | None = None
        self._began_at = -math.inf  # when the last look-up began
        self._trouble: BaseException | None = None  # why the last one failed
        self._known_at = self._invalidated_at = -math.inf
        self._has_answered = False  # whether the group ever answered: until then a mistake in the URL is likelier
        self._retired: dict[str, float] = {}

    async def _refresh(self, deadline: float, *, since: float | None = None) -> None:
        """Look the servers up, unless that was begun after ``since``; one look-up serves all who wait.

        It goes on when a caller gives up waiting, so that the next one finds what it brings.
        """
        loop = asyncio.get_running_loop()
        if since is None:
            since = self._since()
        while self._known_at <= since:
            if self._looking_up is None or self._looking_up.done():
                self._began_at = loop.time()
                self._looking_up = later(self._look_up_once())
                self._looking_up.add_done_callback(self._looked_up)
            looking_up, began = self._looking_up, self._began_at
            await asyncio.wait([looking_up], timeout=max(0.0, deadline - loop.time()))
            if not looking_up.done():
                late = self._trouble or TimeoutError("no answer in time")
                raise NotSentError(str(late)) from (late.__cause__ or late)
            if looking_up.cancelled():
                raise NotSentError("the connections were closed")
            error = looking_up.exception()
            if error is not None and (began > since or loop.time() >= deadline):
                raise NotSentError(str(error) or "no answer in time") from (error.__cause__ or error)

    def _since(self) -> float:
        """Return the moment before which a look-up does not count any more."""
        return max(self._invalidated_at, asyncio.get_running_loop().time() - self._fresh_for)

    def _is_stale(self) -> bool:
        return self._known_at <= self._since()

    async def _look_up_once(self) -> None:
        began = self._began_at
        async with asyncio.timeout(self._timeout):
            await self._look_up(began + self._timeout)
        self._known_at = began

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        if self._looking_up is task:
            self._looking_up = None
        if not task.cancelled():
            self._trouble = task.exception()

    async def close(self) -> None:
        """End a look-up that goes on, and close all connections."""
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.wait([self._looking_up])
        await super().close()

    @abstractmethod
    async def _look_up(self, deadline: float) -> None:
        """Find out which servers there are, or raise NotSentError."""

    def _observe(self, failures: Sequence[Any]) -> None:
        if any(isinstance(one, LostError | NotSentError) or error_code(one) in self._doubtful for one in failures):
            self._invalidate()

    def _invalidate(self) -> None:
        self._invalidated_at = asyncio.get_running_loop().time()

    def _should_retry(self, answer: Any, tries: int, writes: bool) -> bool:
        if isinstance(answer, LostError):
            return not writes
        if isinstance(answer, NotSentError):
            return self._has_answered and not isinstance(answer.__cause__, _NO_LOGIN)
        return error_code(answer) is not None

    async def _pause(self, deadline: float, tries: int, answers: Sequence[Any]) -> bool:
        left = deadline - asyncio.get_running_loop().time()
        if left < 4 * _PAUSE:
            return False  # a try that is cut short would hide why this one failed
        if tries > _REDIRECTS or not {error_code(answer) for answer in answers} <= {"ASK", "MOVED"}:
            await asyncio.sleep(min(_PAUSE, left))
        return True

    def deadline(self) -> float:
        """See `RedisRouter.deadline`; a part of the time is left to say why all tries failed."""
        return asyncio.get_running_loop().time() + self._timeout * _PATIENCE

    def _pool_of(self, node: Node) -> NodePool:
        url = self._url.server(*node)
        self._retired.pop(url, None)
        return self._pool_at(url)

    async def _retire(self, node: Node) -> None:
        """Close the connections to a server that is no longer needed, but not before its last calls have ended."""
        now = asyncio.get_running_loop().time()
        self._retired.setdefault(self._url.server(*node), now)
        for url, since in list(self._retired.items()):
            if now - since > self._timeout and url in self._pools:
                del self._retired[url]
                await self._pools[url].close()

    def _share(self, deadline: float, askable: int) -> float:
        """Return until when one of several servers may take to answer."""
        now = asyncio.get_running_loop().time()
        return min(deadline, now + max(0.2, (deadline - now) / askable))
