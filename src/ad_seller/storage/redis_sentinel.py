"""The router for a Sentinel group: always the present master, found anew when it changes."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ResponseError

from .redis_link import BrokenError, NotSentError, RedisLink
from .redis_router import RedisRouter, Task


class UnknownServiceError(Exception):
    """The sentinels answer, but know no service of that name."""


class SentinelRouter(RedisRouter):
    """Sends commands to the master that the sentinels name.

    Reads go to the master too: a replica may be behind, and that would not show.
    """

    _patient = True

    _master: str | None = None

    async def masters(self) -> list[RedisLink]:
        """Return the link to the master."""
        if self._master is None:
            await self._find(self._deadline())
        return [self._link(self._master or "")]

    async def close(self) -> None:
        """Close all connections and forget the master."""
        self._master = None
        await super().close()

    def abandon(self) -> None:
        """Forget everything without closing it."""
        self._master = None
        super().abandon()

    async def _link_for(self, task: Task, answer: Any) -> RedisLink:
        [link] = await self.masters()
        return link

    async def _refresh(self, answers: list[Any], deadline: float) -> None:
        old, self._master = self._master, None
        try:
            await self._find(deadline)
        except (NotSentError, UnknownServiceError):
            return  # the next try reports it, or finds the master
        finally:
            if old is not None and old != self._master:
                await self._drop(old)

    async def _find(self, deadline: float) -> None:
        """Ask the sentinels, one after the other, and make sure that whom they name is a master."""
        trouble: Exception = NotSentError("no sentinel was asked")
        share = max(0.2, (deadline - asyncio.get_running_loop().time()) / len(self._url.nodes))
        for host, port in self._url.nodes:
            limit = min(deadline, asyncio.get_running_loop().time() + share)
            try:
                self._master = await self._named_by(host, port, limit)
            except (NotSentError, BrokenError, UnknownServiceError) as error:
                trouble = error
            else:
                return
        if isinstance(trouble, UnknownServiceError):
            raise trouble
        raise NotSentError(f"no sentinel leads to a master ({trouble})") from (trouble.__cause__ or trouble)

    async def _named_by(self, host: str, port: int, deadline: float) -> str:
        sentinel = self._link(self._url.sentinel(host, port))
        [answer] = await sentinel.pipeline([("SENTINEL", "get-master-addr-by-name", self._url.service)], deadline)
        if isinstance(answer, ResponseError):
            raise NotSentError(str(answer)) from answer
        if answer is None:
            raise UnknownServiceError(f"the sentinel {host}:{port} knows no service {self._url.service!r}")
        url = self._url.server(answer[0].decode(), int(answer[1]))
        [role] = await self._link(url).pipeline([("ROLE",)], deadline)
        if isinstance(role, ResponseError) or role[0] != b"master":
            raise NotSentError(f"{answer[0].decode()}:{int(answer[1])} is not a master (yet)")
        return url
