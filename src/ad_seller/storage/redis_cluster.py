"""The router for a cluster: each key has a slot, each slot a master."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ResponseError

from .redis_link import BrokenError, NotSentError, RedisLink
from .redis_router import RedisRouter, Task, error_code

_SLOTS = 16_384


class ClusterRouter(RedisRouter):
    """Sends each command to the master of its key's slot; several at once in parallel."""

    _patient = True

    _owners: dict[int, str]  # the URL of the master of each slot

    async def open(self) -> None:
        """Read the map of slots and make sure that every master answers.

        Raises:
            NotSentError: no node answers, or some slot has no master.
        """
        await self._read_map(self._deadline())
        await super().open()

    def split(self, keys: Sequence[str]) -> list[list[int]]:
        """Return the positions of the keys, grouped by slot."""
        groups: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            groups.setdefault(key_slot(key.encode()), []).append(position)
        return list(groups.values())

    async def masters(self) -> list[RedisLink]:
        """Return links to all masters."""
        return [self._link(url) for url in dict.fromkeys(self._owners.values())]

    async def _link_for(self, task: Task, answer: Any) -> RedisLink:
        if error_code(answer) in ("ASK", "MOVED") and hasattr(answer, "host"):
            host = answer.host or self._url.nodes[0][0]
            return self._link(self._url.server(host, answer.port))
        slot = 0 if task.key is None else key_slot(task.key.encode())
        owner = self._owners.get(slot)
        if owner is None:
            raise NotSentError(f"slot {slot} of the cluster has no master at the moment")
        return self._link(owner)

    async def _refresh(self, answers: list[Any], deadline: float) -> None:
        if all(error_code(answer) in ("ASK", "TRYAGAIN") for answer in answers):
            return  # a slot is on its way; its owner is still the same
        try:
            await self._read_map(deadline)
        except NotSentError:
            return  # the next try reports it

    async def _read_map(self, deadline: float) -> None:
        """Ask any node for the owners of the slots; a node that has not joined or is cut off is passed over."""
        trouble: Exception = NotSentError("no node was asked")
        known = [*dict.fromkeys(getattr(self, "_owners", {}).values())]
        urls = [*dict.fromkeys([*known, *(self._url.server(host, port) for host, port in self._url.nodes)])]
        share = max(0.2, (deadline - asyncio.get_running_loop().time()) / len(urls))
        for url in urls:
            limit = min(deadline, asyncio.get_running_loop().time() + share)
            try:
                [answer] = await self._link(url).pipeline([("CLUSTER", "SLOTS")], limit)
            except (NotSentError, BrokenError) as error:
                trouble = error
                continue
            if isinstance(answer, ResponseError):
                trouble = answer
            elif answer:
                await self._adopt(answer, url)
                return
        raise NotSentError(f"no node of the cluster tells its slots ({trouble})") from (
            trouble.__cause__ or trouble
        )

    async def _adopt(self, ranges: list[Any], asked: str) -> None:
        owners: dict[int, str] = {}
        for first, last, master, *_ in ranges:
            host, port = master[0].decode() if master[0] else "", int(master[1])
            url = self._url.server(host, port) if host else asked
            owners.update(dict.fromkeys(range(int(first), int(last) + 1), url))
        gone = set(getattr(self, "_owners", {}).values()) - set(owners.values())
        self._owners = owners
        for url in gone:
            await self._drop(url)

    @property
    def uncovered(self) -> int:
        """How many slots have no master."""
        return _SLOTS - len(self._owners)
