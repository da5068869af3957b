"""Which server gets a command, and what happens when it is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from redis.exceptions import NoScriptError, ResponseError

from ..concurrency.elapsed import elapsed
from ..concurrency.tasks import all_of
from ..driver.failures import LostError, NotSentError
from ..passwords import Password
from ..stats import PoolStats
from .commands import Call, RoutedCommand, confirmed, error_code, routed_script
from .connection import Command
from .pool import NodePool
from .rounds import OvertimeError
from .scripts import Argument, Script
from .settings import RedisSettings

T = TypeVar("T")
Work = Callable[[NodePool], Awaitable[T]]

_BRIEF = 0.25  #: seconds after which a caller that will call again is told that nothing could be sent


class RedisRouter:
    """Sends commands to one server. The routers for Sentinel and for a cluster override how it is chosen.

    Args:
        settings: see `RedisSettings`.
    """

    transacts: ClassVar[bool] = True  #: whether commands of one transaction all go where the first one goes

    #: Sent after reads, if what was read counts only when the answer to this is good, and what was answered only
    #: when the server is vouched for.
    _proof: Command | None = None

    def __init__(self, settings: RedisSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._url = settings.url
        self._timeout = settings.patience
        self._wait_replicas = settings.wait_replicas
        self._pools: dict[str, NodePool] = {}
        self.retries = 0  #: commands, and walks over servers, that were sent again

    @property
    def stats(self) -> PoolStats:
        """The connections to all servers at this moment; from any thread."""
        return sum((pool.stats for pool in list(self._pools.values())), PoolStats())

    async def open(self) -> None:
        """Find the servers and make sure that they answer.

        Raises:
            NotSentError: they do not; the cause says why.
        """
        for answer in await self.with_all(lambda pool: pool.pipeline([("PING",)], self.deadline())):
            if isinstance(answer[0], ResponseError):
                raise answer[0]

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()

    def abandon(self) -> None:
        """Forget the connections without closing them: they belong to another process or event loop."""
        for pool in self._pools.values():
            pool.abandon()
        self._pools = {}

    def may_retry(self, answer: Any) -> bool:
        """Tell whether a write that was surely not executed may be later, because servers are being exchanged."""
        return isinstance(answer, Exception) and self._should_retry(answer, 1, writes=True)

    def map_error(self, answer: Any) -> Any:
        """Return the answer, or an error that says better what is wrong with the servers and what to do."""
        return answer

    def split(self, keys: Sequence[str]) -> list[list[int]]:
        """Return the positions of the keys in groups; one command can carry the keys of a group."""
        return [list(range(len(keys)))] if keys else []

    def masters(self) -> list[NodePool]:
        """Return pools to all servers that hold entries, as far as is known."""
        return [self._pool_at(self._url.text)]

    async def ask(self, *command: Argument) -> Any:
        """Send a command that changes nothing to any server, and return its answer."""
        [answer] = await self.send([RoutedCommand(None, command)], writes=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(
        self,
        script: Script,
        calls: Sequence[Call],
        *,
        writes: bool,
        deadline: float | None = None,
        brief: bool = False,
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run a script with each (keys, arguments), by its hash, and with its text where it is not known yet.

        With the text at once if replicas are waited for: to learn that a hash is unknown would take as long.
        """
        tasks = [routed_script(script, call) for call in calls]
        if writes and self._wait_replicas:
            tasks = [task.with_text() for task in tasks]
        return self.send(tasks, writes=writes, deadline=deadline, brief=brief)

    async def send(
        self, tasks: Sequence[RoutedCommand], *, writes: bool, deadline: float | None = None, brief: bool = False
    ) -> list[Any]:
        """Send commands and return for each its answer, or the exception that says why there is none.

        A read is tried again if its connection breaks; a write only if it surely was not executed.

        Args:
            tasks: what is sent.
            writes: whether that changes something.
            deadline: until when it is tried, in the event loop's time.
            brief: give up after a moment if nothing at all could be sent, because the caller will call again.
        """
        deadline = deadline or self.deadline()
        give_up = asyncio.get_running_loop().time() + _BRIEF if brief else deadline
        answers: list[Any] = [None] * len(tasks)
        waiting = list(range(len(tasks)))
        tries = 0
        while True:
            tries += 1
            try:
                if self._is_stale():
                    await self._refresh(give_up if len(waiting) == len(tasks) else deadline)
            except NotSentError as error:
                for i in waiting:
                    answers[i] = error
            else:
                loads = self._loads(tasks, waiting, answers)
                works = [
                    self._send_to(pool, tasks, load, answers, deadline, writes) for pool, load in loads.items()
                ]
                if len(works) == 1:
                    await works[0]  # most often; a task of its own would cost two more turns of the event loop
                else:
                    await asyncio.gather(*works)
            failed = [i for i in waiting if isinstance(answers[i], Exception)]
            if not failed:
                return answers
            self._observe([answers[i] for i in failed])
            if unknown := [i for i in failed if isinstance(answers[i], NoScriptError) and tasks[i].script]:
                tasks = [task.with_text() if i in unknown else task for i, task in enumerate(tasks)]
                give_up = deadline  # a server is there
            waiting = [i for i in failed if i in unknown or self._should_retry(answers[i], tries, writes)]
            if not waiting or (len(waiting) == len(tasks) and asyncio.get_running_loop().time() > give_up):
                return answers
            if waiting != unknown and not await self._pause(deadline, tries, [answers[i] for i in waiting]):
                return answers
            self.retries += len(waiting) - len(unknown)

    async def with_all(self, work: Work[T], *, moving: bool = True, deadline: float | None = None) -> list[T]:
        """Do ``work``, which only reads, with every server that holds entries; return what each time gave.

        It is started anew if a server fails or is exchanged meanwhile. With ``moving`` it sees entries that are on
        their way between servers, too; without, it looks once at each.
        """
        deadline, tries = deadline or self.deadline(), 0
        while True:
            tries += 1
            try:
                return await self._visit_all(work, deadline, moving)
            except (NotSentError, LostError, ResponseError) as error:
                self._observe([error])
                if not self._should_retry(error, tries, False) or not await self._pause(deadline, tries, [error]):
                    raise
                self.retries += 1

    def with_owner(self, name: str, work: Work[T]) -> Coroutine[Any, Any, list[T]]:
        """Return what ``work``, which only reads, gave where ``name`` is, alone; nothing if its parts are apart."""
        return self.with_all(work)

    async def _visit_all(self, work: Work[T], deadline: float, moving: bool) -> list[T]:
        """Do the work once with every server."""
        if self._is_stale():
            await self._refresh(deadline)
        pools = self.masters()
        if len(pools) == 1:
            return [await work(pools[0])]  # without a task of its own
        return await all_of(work(pool) for pool in pools)

    def _loads(
        self, tasks: Sequence[RoutedCommand], positions: list[int], answers: list[Any]
    ) -> dict[NodePool, list[int]]:
        """Return the ``positions`` of commands by server; note as the answer of one that it has none."""
        loads: dict[NodePool, list[int]] = {}
        for i in positions:
            try:
                loads.setdefault(self._locate(tasks[i], answers[i]), []).append(i)
            except NotSentError as error:
                answers[i] = error
        return loads

    async def _send_to(
        self,
        pool: NodePool,
        tasks: Sequence[RoutedCommand],
        load: list[int],
        answers: list[Any],
        deadline: float,
        writes: bool,
    ) -> None:
        commands: list[Command] = []
        places: list[int] = []
        for i in load:
            if error_code(answers[i]) == "ASK":
                commands.append(("ASKING",))
            commands += tasks[i].opening
            places.append(len(commands))
            commands.append(tasks[i].command)
        wait = writes and self._wait_replicas > 0
        if wait:
            left = deadline - asyncio.get_running_loop().time()
            commands.append(("WAIT", str(self._wait_replicas), str(max(1, int(left * 900)))))
        elif self._proof and not writes:
            commands.append(self._proof)
        sent = elapsed() if self._proof else 0.0
        try:
            found = await pool.pipeline(commands, deadline)
            if self._proof:
                if not writes:
                    self._check_proof(found[-1])
                if not self._is_vouched_for(pool, sent):
                    await self._confirm(pool, sent, deadline, writes)
        except (NotSentError, LostError) as error:
            for i in load:
                answers[i] = error
            return
        for i, place in zip(load, places, strict=True):
            answers[i] = found[place]
            if wait and not isinstance(found[place], ResponseError):
                answers[i] = confirmed(found[place], found[-1], self._wait_replicas)

    def _pool_at(self, url: str) -> NodePool:
        """Return the pool to a server with entries."""
        return self._pools.get(url) or self._new_pool(url, self._settings.password)

    def _new_pool(self, url: str, password: Password | None) -> NodePool:
        pool = NodePool(url, connections=self._settings.connections, password=password)
        self._pools[url] = pool
        return pool

    def deadline(self) -> float:
        """Return until when a call that begins now is tried, in the event loop's time."""
        return asyncio.get_running_loop().time() + self._timeout

    # --- what the routers of groups override -----------------------------------------------------------

    def _locate(self, task: RoutedCommand, answer: Any) -> NodePool:
        """Return the pool for a command, given what the try before answered."""
        return self._pool_at(self._url.text)

    def _is_stale(self) -> bool:
        """Tell whether it is to be found out anew which servers there are."""
        return False

    async def _refresh(self, deadline: float) -> None:
        """Find out which servers there are, unless that is known."""

    def _observe(self, failures: Sequence[Any]) -> None:
        """Take note of failures that say that what is known is no longer so."""

    def _check_proof(self, answer: Any) -> None:
        """Raise NotSentError if the server that gave this answer may not be believed."""

    def _is_vouched_for(self, pool: NodePool, sent: float) -> bool:
        """Tell whether what has just been answered is believed without asking others; note when it was asked."""
        return True

    async def _confirm(self, pool: NodePool, sent: float, deadline: float, writes: bool) -> None:
        """Make sure that a server had not been replaced when it answered.

        Raises:
            NotSentError: it had, so what was read does not count.
            LostError: it had, so what was written may be lost.
        """

    def _should_retry(self, answer: Any, tries: int, writes: bool) -> bool:
        """Tell whether a command without a good answer may be sent again."""
        return not writes and isinstance(answer, LostError | NotSentError if tries == 1 else OvertimeError)

    async def _pause(self, deadline: float, tries: int, answers: Sequence[Any]) -> bool:
        """Wait a moment before the next try, if need be; tell whether there is time for one."""
        return asyncio.get_running_loop().time() < deadline
