"""The router for a cluster: each key has a slot, each slot a master."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from redis.crc import key_slot
from redis.exceptions import ClusterDownError, ResponseError

from ..concurrency.tasks import all_of
from ..driver.failures import LostError, NotSentError
from ..errors import StoreUnavailableError
from .commands import Call, RoutedCommand, error_code, joined, pieces
from .group import GroupRouter
from .pool import NodePool
from .router import Work
from .scripts import PUTS, Script
from .settings import RedisSettings
from .slots import SLOTS, Layout, Node, UncoveredError, address, is_moving, layout_of, owners_of

T = TypeVar("T")

_PASSES = 4  #: how often a listing looks at all masters at most, while slots keep changing owners


class ClusterRouter(GroupRouter):
    """Sends each command to the master of its key's slot; several at once in parallel."""

    transacts = False  # a slot may be on its way

    def __init__(self, settings: RedisSettings) -> None:
        """Nothing is known yet but some addresses."""
        super().__init__(settings)
        self._owners: dict[int, Node] = {}
        self._masters: dict[Node, None] = {}  # in the order of their slots
        self._ranges: list[Any] = []
        self._seed_node = self._url.nodes[0]

    def split(self, keys: Sequence[str]) -> list[list[int]]:
        """Return the positions of the keys, grouped by slot."""
        groups: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            groups.setdefault(key_slot(key.encode()), []).append(position)
        return list(groups.values())

    def masters(self) -> list[NodePool]:
        """Return pools to all masters that are known."""
        return [self._pool_of(node) for node in self._masters]

    # --- one slot --------------------------------------------------------------------------------------

    async def send(
        self, tasks: Sequence[RoutedCommand], *, writes: bool, deadline: float | None = None, brief: bool = False
    ) -> list[Any]:
        """Send commands; reads of several keys whose slot is on its way are sent key by key."""
        deadline = deadline or self.deadline()
        answers = await super().send(tasks, writes=writes, deadline=deadline, brief=brief)
        for i, (key, command, *_) in enumerate(tasks):
            if error_code(answers[i]) == "TRYAGAIN" and command[0] == "MGET":
                one_by_one = [RoutedCommand(key, ("MGET", one)) for one in command[1:]]
                singles = await super().send(one_by_one, writes=False, deadline=deadline)
                answers[i] = joined(singles)
        return answers if brief else [_map_error(answer) for answer in answers]

    async def run(
        self,
        script: Script,
        calls: Sequence[Call],
        *,
        writes: bool,
        deadline: float | None = None,
        brief: bool = False,
    ) -> list[Any]:
        """Run a script with each (keys, arguments); piece by piece where the slot is on its way.

        The pieces of a call succeed or fail by themselves: its answers may be exceptions.
        """
        deadline = deadline or self.deadline()
        answers = await super().run(script, calls, writes=writes, deadline=deadline, brief=brief)
        for i, call in enumerate(calls):
            if error_code(answers[i]) == "TRYAGAIN" and script is not PUTS:  # which may hold parts of a commit
                found = await self._run_pieces(script, pieces(script, call), writes, deadline)
                answers[i] = [_only(one) for one in found] if writes else joined(found)
        return answers

    async def _run_pieces(self, script: Script, calls: list[Call], writes: bool, deadline: float) -> list[Any]:
        """Run the pieces until each has its answers; those over several keys wait until the slot has arrived."""
        found: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        while True:
            answers = await super().run(script, [calls[i] for i in waiting], writes=writes, deadline=deadline)
            for i, answer in zip(waiting, answers, strict=True):
                found[i] = answer
            waiting = [i for i in waiting if error_code(found[i]) == "TRYAGAIN"]
            if not waiting or not await self._pause(deadline, 1, [found[i] for i in waiting]):
                return [_map_in_transit(one) for one in found]

    def map_error(self, answer: Any) -> Any:
        """Return what `_map_error` does."""
        return _map_error(answer)

    def _should_retry(self, answer: Any, tries: int, writes: bool) -> bool:
        return error_code(answer) != "TRYAGAIN" and super()._should_retry(answer, tries, writes)

    def _locate(self, task: RoutedCommand, answer: Any) -> NodePool:
        slot = 0 if task.key is None else key_slot(task.key.encode())
        owner = self._owners.get(slot)
        if error_code(answer) in ("ASK", "MOVED"):
            host, port = address(answer.host, answer.port, owner or self._seed_node)
            return self._pool_of((host, port))
        if owner is None:
            raise UncoveredError(f"slot {slot} has no master")
        return self._pool_of(owner)

    # --- all masters -----------------------------------------------------------------------------------

    async def uncovered(self) -> int:
        """Look the owners up anew, and return how many slots have none."""
        self._invalidate()
        try:
            await self._refresh(self.deadline())
        except NotSentError:
            if isinstance(self._trouble, UncoveredError):
                return SLOTS
            raise
        return SLOTS - len(self._owners)

    async def with_all(self, work: Work[T], *, moving: bool = True, deadline: float | None = None) -> list[T]:
        """Do ``work`` with every master, several times while slots are on their way and that matters."""
        try:
            return await super().with_all(work, moving=moving, deadline=deadline)
        except (UncoveredError, ClusterDownError) as error:
            raise _map_error(error) from error

    async def with_owner(self, name: str, work: Work[T]) -> list[T]:
        """Do ``work`` with the master of the slot of ``name``, unless slots are or were on their way meanwhile."""
        deadline = self.deadline()
        try:
            self._invalidate()
            before = await self._layout(deadline)
            if is_moving(before):
                return []
            result = await work(self._locate(RoutedCommand(name, ()), None))
            return [result] if before == await self._layout(self.deadline()) else []
        except (NotSentError, LostError, ResponseError) as error:
            self._observe([error])
            if asyncio.get_running_loop().time() < deadline:
                return []  # a listing of all masters tries longer, and says what is wrong
            if isinstance(error, UncoveredError | ClusterDownError):
                raise _map_error(error) from error
            raise

    async def _visit_all(self, work: Work[T], deadline: float, moving: bool) -> list[T]:
        """Do the work with every master, and again if slots were on their way meanwhile.

        An entry that moves from a master that is still to come to one that has been there would be missed. It
        moves once, so the second time it is found.
        """
        if not moving:
            return await super()._visit_all(work, deadline, moving)
        results: list[T] = []
        self._invalidate()  # a master that joined is noticed by nothing else
        before = await self._layout(deadline)
        for passes in range(1, _PASSES + 1):
            results += await all_of(work(self._pool_of(node)) for node in before)
            after = await self._layout(self.deadline())  # the work may have taken long
            if before == after and (passes > 1 or not is_moving(after)):
                break
            before = after
        return results

    async def _layout(self, deadline: float) -> Layout:
        """Ask every master what it owns.

        Raises:
            UncoveredError: that is not all.
            NotSentError: one is not a master any more.
        """
        await self._refresh(deadline)
        nodes = list(self._masters)
        texts = await all_of(self._told_by(node, deadline) for node in nodes)
        return layout_of(dict(zip(nodes, texts, strict=True)))

    async def _told_by(self, node: Node, deadline: float) -> str:
        [text] = await self._pool_of(node).pipeline([("CLUSTER", "NODES")], deadline)
        if isinstance(text, ResponseError):
            raise text
        return str(text, "utf-8", "replace")

    # --- the map ---------------------------------------------------------------------------------------

    async def _look_up(self, deadline: float) -> None:
        """Ask any node for the owners of the slots; a node that has not joined or is cut off is passed over."""
        trouble: Exception = NotSentError("no node was asked")
        nodes = [*dict.fromkeys([self._seed_node, *self._masters, *self._url.nodes])]
        for node in nodes:
            try:
                [answer] = await self._pool_of(node).pipeline(
                    [("CLUSTER", "SLOTS")], self._share(deadline, len(nodes))
                )
            except (NotSentError, LostError) as error:
                trouble = error
                continue
            if answer and not isinstance(answer, ResponseError):
                self._has_answered = True
                self._seed_node = node
                await self._adopt(answer, node)
                return
            trouble = answer or UncoveredError(f"{SLOTS:,} of {SLOTS:,} slots have no master")
        if isinstance(trouble, UncoveredError):
            raise trouble
        raise NotSentError(f"no node tells the slots ({trouble})") from (trouble.__cause__ or trouble)

    async def _adopt(self, ranges: list[Any], asked: Node) -> None:
        if ranges == self._ranges:
            return
        owners = owners_of(ranges, asked)
        masters = dict.fromkeys(owners.values())
        gone = [node for node in self._masters if node not in masters]
        self._owners, self._masters, self._ranges = owners, masters, ranges
        for node in gone:
            await self._retire(node)


def _only(answer: Any) -> Any:
    """Return the one answer in the list, or the exception that stands for it."""
    return answer if isinstance(answer, Exception) else answer[0]


def _map_error(answer: Any) -> Any:
    """Return the answer, or an error that says what is wrong with the cluster and what to do."""
    if isinstance(answer, UncoveredError) or error_code(answer) == "CLUSTERDOWN":
        return StoreUnavailableError(
            f"The cluster does not serve all slots: {answer}. Nothing was done. Bring back the nodes that are "
            "missing; `redis-cli --cluster check` shows them."
        )
    return answer


def _map_in_transit(answer: Any) -> Any:
    if error_code(answer) not in ("TRYAGAIN", "ASK"):  # which of them it is depends on when the time was up
        return answer
    return StoreUnavailableError(
        "The slot is on its way to another node, and the keys of one commit lie on both. Nothing was written; "
        "it will go through when the slot has arrived."
    )
