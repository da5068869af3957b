"""The router for a Sentinel group: always the present master, found anew when it changes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from ..concurrency.elapsed import elapsed
from ..driver.failures import LostError, NotSentError
from .commands import RoutedCommand
from .group import GroupRouter
from .pool import NodePool
from .router import Work
from .settings import RedisSettings
from .slots import Node

log = logging.getLogger("ad_seller.storage")

T = TypeVar("T")

_ASK_EVERY = 1.0  #: seconds between two questions to the sentinels, where each answer is confirmed
_GRACE = 1.0  #: seconds that slower sentinels are given after the first answer
_SHORT_GRACE = 0.02  #: the same for those that were silent the last time
_SAFE = 0.8  #: how much of the silence after which a master is replaced is taken for none
_LAG = 30.0  #: seconds for which a failover that is known counts more than sentinels that have not heard of it
_ASK_AGAIN = 10.0  #: the same, while no sentinel answers


#: What flags of a replica mean.
_FAULTS = {"s_down": "does not answer", "disconnected": "cannot be connected"}


class UnknownServiceError(NotSentError):
    """The sentinels answer, but know no service of that name; so nothing was sent."""


class SentinelRouter(GroupRouter):
    """Sends commands to the master that the sentinels name.

    Reads go to the master too: a replica may be behind, and that would not show. Nor would it show that a
    server is no longer the master: one that was frozen goes on as if nothing had been, and one that has become
    a replica answers reads. So the sentinels are asked again every second, and what was read counts only if
    the server still says that it is a master.

    One that was frozen and thaws is believed by itself for a moment. The sentinels replace a master that has been
    silent for ``down-after-milliseconds``. So an answer needs nobody else's word if less than that has passed since
    something was asked that this server has answered, too; after a longer silence the sentinels are asked anew, and
    the answer counts if they still name this master.

    One that was replaced in good order was never silent, and learns of it some seconds later. With
    ``trust_master=0`` the sentinels are asked after each answer: the one that leads a failover names the new master
    before anybody else can have written there.
    """

    _proof = ("ROLE",)
    _master: Node | None = None
    _epoch = -1  # the number of the last failover that is known
    _epoch_at = -math.inf
    _silent: frozenset[Node] | set[Node] = frozenset()
    _down_after = 0.0  # seconds of silence after which the sentinels replace a master
    _is_thorough = False  # whether the next look-up waits for every sentinel
    _answering = 0  # how many sentinels answered the last time
    _warned_at = -math.inf

    def __init__(self, settings: RedisSettings) -> None:
        """Nothing is known yet."""
        super().__init__(settings)
        self._confirms_all = settings.trust_master == 0
        self._ask_every = self._fresh_for = settings.trust_master or _ASK_EVERY

    def masters(self) -> list[NodePool]:
        """Return the pool to the master.

        Raises:
            NotSentError: none is known.
        """
        return [self._pool_of(self._known_master())]

    def _known_master(self) -> Node:
        if self._master is None:
            raise NotSentError("no master is known")
        return self._master

    def _locate(self, task: RoutedCommand, answer: Any) -> NodePool:
        return self._pool_of(self._known_master())

    def _check_proof(self, answer: Any) -> None:
        if isinstance(answer, ResponseError) or answer[0] != b"master":
            raise NotSentError("the server is not a master (any more)")

    async def _visit_all(self, work: Work[T], deadline: float, moving: bool) -> list[T]:
        if self._is_stale():
            await self._refresh(deadline)
        [pool] = self.masters()
        result = await work(pool)
        sent = elapsed()
        [role] = await pool.pipeline([self._proof], self.deadline())
        self._check_proof(role)
        if not self._is_vouched_for(pool, sent):
            await self._confirm(pool, sent, self.deadline(), writes=False)
        return [result]

    def _is_vouched_for(self, pool: NodePool, sent: float) -> bool:
        silence = elapsed() - pool.vouched_at
        if self._confirms_all or silence >= _SAFE * self._down_after:
            return False
        pool.vouched_at = max(pool.vouched_at, sent)
        return True

    async def _confirm(self, pool: NodePool, sent: float, deadline: float, writes: bool) -> None:
        self._is_thorough = True
        try:
            await self._refresh(deadline, since=asyncio.get_running_loop().time())
            if self._confirms_all and 2 * self._answering <= len(self._url.nodes):
                raise NotSentError(f"only {self._answering} of {len(self._url.nodes)} sentinels confirm the master")
            if pool is not self._pool_of(self._known_master()):
                raise NotSentError("the server had been replaced as the master when it answered")
        except NotSentError as error:
            if writes:
                raise LostError(f"{error}, so the write may be lost") from error.__cause__
            raise
        pool.vouched_at = max(pool.vouched_at, sent)

    async def _look_up(self, deadline: float) -> None:
        """Ask the sentinels, and make sure that whom they name is a master."""
        now = asyncio.get_running_loop().time()
        doubted = self._invalidated_at >= self._known_at
        calm = not doubted and not self._is_thorough and now - self._known_at < 2 * self._fresh_for
        routine = calm or self._confirms_all  # then it is told by the confirmation who matters
        self._is_thorough = False
        try:
            epoch, master = max(await self._named(self._share(deadline, 10 if routine else 2), routine))
        except (NotSentError, LostError) as error:
            self._answering = 0
            if doubted or self._master is None:
                raise NotSentError(f"no sentinel answers ({error})") from (error.__cause__ or error)
            if now - self._warned_at >= _ASK_AGAIN:
                self._warned_at = now
                log.warning("No sentinel answers (%s); the master stays %s:%d for now", error, *self._master)
            self._fresh_for = _ASK_AGAIN
            return
        self._fresh_for = self._ask_every
        if epoch < self._epoch and now - self._epoch_at < _LAG:
            if doubted:
                raise NotSentError("the sentinels that answer have not heard of the last failover yet")
            return
        self._epoch, self._epoch_at = epoch, now
        if doubted or master != self._master:
            await self._check_role(master, self._share(deadline, 2))
            await self._follow(master)

    async def _named(self, deadline: float, routine: bool) -> list[tuple[int, Node]]:
        """Return whom each sentinel names, with the number of the failover that it has last heard of.

        After a failover some name the old master for up to two seconds, and it may be back by then. So all are
        asked, and the highest number is right. In routine those that were silent the last time are not waited for.
        """
        asked = {one: asyncio.ensure_future(self._named_by(one, deadline)) for one in self._url.nodes}
        try:
            await _first_answer(asked.values())
            ignored = self._silent if routine else frozenset()
            await _wait((task for one, task in asked.items() if one not in ignored), _GRACE)
            await _wait((asked[one] for one in ignored), _SHORT_GRACE)
            self._silent = {one for one, task in asked.items() if not _has_answer(task)}
            answers = [task.result() for task in asked.values() if _has_answer(task)]
            self._answering = len(answers)
            if answers:
                return answers
            errors = [task.exception() or NotSentError("no answer") for task in asked.values()]
            raise next((error for error in errors if isinstance(error, UnknownServiceError)), errors[0])
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)

    async def _follow(self, master: Node) -> None:
        old, self._master = self._master, master
        if old is not None and old != master:
            log.warning("The master was %s:%d, now it is %s:%d", *old, *master)
            await self._retire(old)

    async def _named_by(self, sentinel: Node, deadline: float) -> tuple[int, Node]:
        service = self._url.service
        questions = [("SENTINEL", "get-master-addr-by-name", service), ("SENTINEL", "MASTER", service)]
        url = self._url.sentinel(*sentinel)
        pool = self._pools.get(url) or self._new_pool(url, None)
        [address, fields] = await pool.pipeline(questions, deadline)
        if isinstance(address, ResponseError):
            raise NotSentError(str(address)) from address
        if address is None or isinstance(fields, ResponseError):
            host, port = sentinel
            raise UnknownServiceError(f"the sentinel {host}:{port} knows no service {service!r}")
        self._has_answered = True
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        self._down_after = int(told.get(b"down-after-milliseconds", 0)) / 1000
        epoch = told.get(b"config-epoch", 0)
        return int(epoch), (address[0].decode(), int(address[1]))

    async def replica_faults(self) -> dict[str, str]:
        """Return what the sentinels that answer have against replicas, by the replica; nothing if they may not say.

        Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
        """
        deadline = self._share(self.deadline(), 2)
        told = await asyncio.gather(*(self._replicas_by(one, deadline) for one in self._url.nodes))
        seen = [faults for faults in told if faults is not None]
        found: dict[str, list[set[str]]] = {}
        for address, faults in (item for each in seen for item in each.items()):
            found.setdefault(f"The replica {address}", []).append(faults)
        return {
            name: f"{', '.join(sorted(set().union(*said)))}, say {len(said)} of {len(seen)} sentinels"
            for name, said in found.items()
        }

    async def _replicas_by(self, sentinel: Node, deadline: float) -> dict[str, set[str]] | None:
        """Return the replicas that one sentinel finds fault with, and which; None without an answer."""
        url = self._url.sentinel(*sentinel)
        pool = self._pools.get(url) or self._new_pool(url, None)
        try:
            [answer] = await pool.pipeline([("SENTINEL", "REPLICAS", self._url.service)], deadline)
        except (NotSentError, LostError):
            return None
        if isinstance(answer, ResponseError):
            return None
        return dict(filter(itemgetter(1), map(_faults_of, answer)))

    async def _check_role(self, master: Node, deadline: float) -> None:
        [role] = await self._pool_of(master).pipeline([("ROLE",)], deadline)
        self._check_proof(role)


async def _wait(asked: Iterable[asyncio.Future[Any]], timeout: float) -> None:
    late = [one for one in asked if not one.done()]
    if late:
        await asyncio.wait(late, timeout=timeout)


async def _first_answer(asked: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until one has an answer, or all have failed."""
    waiting = set(asked)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if any(map(_has_answer, done)):
            return


def _has_answer(asked: asyncio.Future[Any]) -> bool:
    return asked.done() and not asked.cancelled() and asked.exception() is None


def _faults_of(fields: Sequence[bytes]) -> tuple[str, set[str]]:
    """Return the address of a replica, and what is wrong with it."""
    told = {name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2], strict=True)}
    faults = {_FAULTS[flag] for flag in told["flags"].split(",") if flag in _FAULTS}
    if not faults and told.get("master-link-status") == "err":
        faults.add("its link to the master is broken")
    return f"{told['ip']}:{told['port']}", faults
