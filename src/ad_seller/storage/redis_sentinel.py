"""The router for a Sentinel group: always the present master, found anew when it changes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from .redis_group import GroupRouter
from .redis_link import BrokenError, NotSentError, RedisLink
from .redis_slots import Node
from .redis_tasks import Task

log = logging.getLogger("ad_seller.storage")

T = TypeVar("T")

_ASK_EVERY = 1.0  #: seconds between two questions to a sentinel whether the master is still the same
_ASK_AGAIN = 10.0  #: the same, while no sentinel answers


class UnknownServiceError(Exception):
    """The sentinels answer, but know no service of that name."""


class SentinelRouter(GroupRouter):
    """Sends commands to the master that the sentinels name.

    Reads go to the master too: a replica may be behind, and that would not show. Nor would it show that a
    server is no longer the master: one that was frozen goes on as if nothing had been, and one that has become
    a replica answers reads. So the sentinels are asked again every second, and what was read counts only if
    the server still says that it is a master.
    """

    _fresh_for = _ASK_EVERY
    _proof = ("ROLE",)
    _master: Node | None = None
    _sentinels: tuple[Node, ...] = ()

    async def masters(self) -> list[RedisLink]:
        """Return the link to the master."""
        await self._find_out(self._deadline())
        return [self._link_to(self._known_master())]

    def _known_master(self) -> Node:
        if self._master is None:
            raise NotSentError("no master is known")
        return self._master

    def _link_for(self, task: Task, answer: Any) -> RedisLink:
        return self._link_to(self._known_master())

    def _check_proof(self, answer: Any) -> None:
        if isinstance(answer, ResponseError) or answer[0] != b"master":
            raise NotSentError("the server is not a master (any more)")

    async def _tour(self, work: Callable[[RedisLink], Awaitable[T]], deadline: float) -> list[T]:
        results = await super()._tour(work, deadline)
        await self._check_role(self._known_master(), self._deadline())
        return results

    async def _find(self, deadline: float) -> None:
        """Ask the sentinels, one after the other, and make sure that whom they name is a master."""
        doubted = self._doubted_at >= self._known_at
        trouble: Exception = NotSentError("no sentinel was asked")
        self._sentinels = self._sentinels or self._url.nodes
        for sentinel in self._sentinels:
            until = self._share(deadline, len(self._sentinels)) if doubted else self._share(deadline, 20)
            try:
                master = await self._named_by(sentinel, until)
                if doubted or master != self._master:
                    await self._check_role(master, until)
            except (NotSentError, BrokenError, UnknownServiceError) as error:
                trouble = error
                continue
            self._sentinels = (sentinel, *(one for one in self._sentinels if one != sentinel))
            await self._follow(master)
            return
        if isinstance(trouble, UnknownServiceError):
            raise trouble
        if doubted or self._master is None:
            raise NotSentError(f"no sentinel leads to a master ({trouble})") from (trouble.__cause__ or trouble)
        log.warning("No sentinel answers (%s); the master stays %s:%d for now", trouble, *self._master)
        self._fresh_for = _ASK_AGAIN

    async def _follow(self, master: Node) -> None:
        self._fresh_for = _ASK_EVERY
        old, self._master = self._master, master
        if old is not None and old != master:
            log.warning("The master was %s:%d, now it is %s:%d", *old, *master)
            await self._leave(old)

    async def _named_by(self, sentinel: Node, deadline: float) -> Node:
        question = ("SENTINEL", "get-master-addr-by-name", self._url.service)
        [answer] = await self._link(self._url.sentinel(*sentinel)).pipeline([question], deadline)
        if isinstance(answer, ResponseError):
            raise NotSentError(str(answer)) from answer
        self._met = True
        if answer is None:
            host, port = sentinel
            raise UnknownServiceError(f"the sentinel {host}:{port} knows no service {self._url.service!r}")
        return answer[0].decode(), int(answer[1])

    async def _check_role(self, master: Node, deadline: float) -> None:
        [role] = await self._link_to(master).pipeline([("ROLE",)], deadline)
        self._check_proof(role)
