"""Commits of a tick, as few scripts as can be, and what each caller is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoPermissionError

from ..driver.commit import Commit, Outcome
from ..driver.failures import NotSentError, NotStartedError
from ..errors import StorageError
from .batches import Split, split_into_calls
from .commands import error_code
from .errors import is_out_of_memory
from .listings import Listings
from .router import RedisRouter
from .scripts import COMMITS, Call, Script, one_call, pack, packed, unpacked
from .settings import RedisSettings

#: Seconds between two looks for what fills the server's memory, while it refuses writes.
_SHORT_OF_MEMORY = 1.0


class Commits:
    """Applies commits.

    Args:
        settings: see `RedisSettings`.
        router: leads to the servers.
        listings: frees memory of listeners, where a server is short of it.
        split: groups positions of names by what one command can carry.
    """

    def __init__(self, settings: RedisSettings, router: RedisRouter, listings: Listings, split: Split) -> None:
        """Nothing is applied yet."""
        self._settings = settings
        self._prefix = settings.prefix
        self._index = settings.index
        self._waits = settings.wait_replicas > 0
        self._is_in_one_place = settings.is_in_one_place
        self._router = router
        self._listings = listings
        self._split = split

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """Apply the commits with as few scripts as can be."""
        if self._is_in_one_place and (one := one_call(commits, self._prefix, self._index, waits=self._waits)):
            script, call = one
            [answer] = await self._router.run(script, [call], writes=True, brief=True)
            if answer == [1]:  # most often
                return unpacked(answer, commits)
            outcomes = await self._told_alike(answer, commits)
        else:
            outcomes = await self._apply_in_stages(commits)
        if any(map(is_out_of_memory, outcomes)):
            await self._listings.end_silent_listeners(_SHORT_OF_MEMORY)
        return outcomes

    async def _told_alike(self, answer: Any, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        """Return the outcomes of commits that were one call, from its answer."""
        if error_code(answer) == "TRYAGAIN":
            answer = await self._apply_each(commits, None)
        if not isinstance(answer, Exception):
            return unpacked(answer, commits)
        self._check_started([answer])
        if isinstance(answer, NoPermissionError) and len(commits) > 1:
            return [await self._apply_alone(commit) for commit in commits]
        return unpacked(self._router.map_error(answer), commits)

    async def _apply_in_stages(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception | None] = [None] * len(commits)
        deadline = self._router.deadline()  # of all: a master that stays away is waited for once
        for stage in split_into_calls(
            commits, outcomes, self._prefix, self._split, slots_move=self._settings.url.kind == "cluster"
        ):
            await self._apply_stage(stage, commits, outcomes, deadline)
        return [outcome if outcome is not None else [] for outcome in outcomes]

    async def _apply_stage(
        self,
        stage: list[list[int]],
        commits: list[Commit],
        outcomes: list[Outcome | Exception | None],
        deadline: float,
    ) -> None:
        """Run one script for each chunk; their keys lie in different slots."""
        calls: dict[Script, list[Call]] = {}
        places: dict[Script, list[list[int]]] = {}
        for chunk in stage:
            script, call = packed([commits[i] for i in chunk], self._prefix, self._index, waits=self._waits)
            calls.setdefault(script, []).append(call)
            places.setdefault(script, []).append(chunk)
        for script in calls:
            try:
                await self._apply_calls(script, calls[script], places[script], commits, outcomes, deadline)
            except NotStartedError:
                raise
            except Exception as error:  # what other scripts did is told by its own outcome
                for i in (i for chunk in places[script] for i in chunk if outcomes[i] is None):
                    outcomes[i] = error

    async def _apply_calls(
        self,
        script: Script,
        calls: list[Call],
        places: list[list[int]],
        commits: list[Commit],
        outcomes: list[Outcome | Exception | None],
        deadline: float,
    ) -> None:
        if asyncio.get_running_loop().time() >= deadline:
            raise NotSentError("no time was left after what was written before")
        is_first = all(outcome is None for outcome in outcomes)
        answers = await self._router.run(script, calls, writes=True, deadline=deadline, brief=is_first)
        if is_first:
            self._check_started(answers)
        for chunk, answer in zip(places, answers, strict=True):
            if error_code(answer) == "TRYAGAIN":
                answer = await self._apply_each([commits[i] for i in chunk], deadline)
            if isinstance(answer, NoPermissionError) and len(chunk) > 1:
                for i in chunk:
                    outcomes[i] = await self._apply_alone(commits[i])
                continue
            for i, outcome in zip(
                chunk, unpacked(self._router.map_error(answer), [commits[i] for i in chunk]), strict=True
            ):
                outcomes[i] = outcome

    async def _apply_alone(self, commit: Commit) -> Outcome | Exception:
        """Apply a commit by a script of its own: the server refused a script because of one of its keys."""
        answer = await self._apply_each([commit], None)
        return unpacked(self._router.map_error(answer), [commit])[0]

    async def _apply_each(self, commits: list[Commit], deadline: float | None) -> Any:
        """Apply the commits by the script that knows them apart: also piece by piece, while their slot moves."""
        call = pack(commits, self._prefix, self._index, self._waits)
        [answer] = await self._router.run(COMMITS, [call], writes=True, deadline=deadline)
        return answer

    def _check_started(self, answers: list[Any]) -> None:
        """Have the batch tried again if nothing of it was sent, while it is looked for who takes it.

        Each call then has its own time for that, and is told that nothing was written when it is over.

        Raises:
            NotStartedError: nothing was sent, and trying again may help.
        """
        if all(map(self._router.may_retry, answers)):
            trouble = self._router.map_error(answers[0])
            if not isinstance(trouble, StorageError):
                trouble = f"{self._settings.address} cannot be reached ({trouble})"
            raise NotStartedError(str(trouble)) from (answers[0].__cause__ or answers[0])
