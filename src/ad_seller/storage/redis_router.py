"""Which server gets a command, and what happens when it is not the right one or not there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from .errors import UnknownOutcomeError
from .redis_link import Argument, BrokenError, Command, NotSentError, RedisLink
from .redis_scripts import Script
from .redis_url import RedisURL

_PAUSE = 0.05  #: seconds between two tries while servers are being exchanged

#: Error codes with which a server says that it executed nothing and that another one, or a later moment, will
#: do. Before Redis 7 a script's error carries the code inside its text.
_ELSEWHERE = re.compile(r"(?:^|-)(READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|LOADING)\b")


class Task(NamedTuple):
    """A command and the key that decides where it goes; without one, any server will do."""

    key: str | None
    command: Command


class RedisRouter:
    """Sends commands to one server. The routers for Sentinel and for a cluster override how it is chosen.

    Args:
        url: the parsed URL.
        connections: at most so many to each server.
        timeout: seconds for each call, with all its tries.
        wait_replicas: so many replicas must have confirmed a write before it counts as done.
    """

    #: Whether to look for another server until the time is up, rather than fail at once.
    _patient = False

    def __init__(self, url: RedisURL, *, connections: int, timeout: float, wait_replicas: int = 0) -> None:
        """Nothing is connected yet."""
        self._url = url
        self._connections = connections
        self._timeout = timeout
        self._wait_replicas = wait_replicas
        self._links: dict[str, RedisLink] = {}

    async def open(self) -> None:
        """Find the servers and make sure that they answer.

        Raises:
            NotSentError: they do not; the cause says why.
        """
        for link in await self.masters():
            [answer] = await link.pipeline([("PING",)], self._deadline())
            if isinstance(answer, ResponseError):
                raise answer

    async def close(self) -> None:
        """Close all connections."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()

    def abandon(self) -> None:
        """Forget the connections without closing them: they belong to another process or event loop."""
        for link in self._links.values():
            link.abandon()
        self._links = {}

    def split(self, keys: Sequence[str]) -> list[list[int]]:
        """Return the positions of the keys in groups; one command can carry the keys of a group."""
        return [list(range(len(keys)))] if keys else []

    async def masters(self) -> list[RedisLink]:
        """Return links to all servers that hold entries."""
        return [self._link(self._url.text)]

    async def ask(self, *command: Argument) -> Any:
        """Send a command that changes nothing to any server, and return its answer."""
        [answer] = await self.send([Task(None, command)], writes=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]], *, writes: bool
    ) -> list[Any]:
        """Run a script with each (keys, arguments), by its hash, and with its text where it is not known yet."""
        answers = await self.send([script_task("EVALSHA", script.sha, call) for call in calls], writes=writes)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            tasks = [script_task("EVAL", script.text, calls[i]) for i in unknown]
            for i, answer in zip(unknown, await self.send(tasks, writes=writes), strict=True):
                answers[i] = answer
        return answers

    async def send(self, tasks: Sequence[Task], *, writes: bool) -> list[Any]:
        """Send commands and return for each its answer, or the exception that says why there is none.

        A read is tried again if its connection breaks; a write only if it surely was not executed.
        """
        deadline = self._deadline()
        answers: list[Any] = [None] * len(tasks)
        open_positions = list(range(len(tasks)))
        tries = 0
        while True:
            tries += 1
            await self._round(tasks, open_positions, answers, deadline, writes)
            open_positions = [i for i in open_positions if self._again(answers[i], tries, writes)]
            left = deadline - asyncio.get_running_loop().time()
            if not open_positions or left <= 0:
                return answers
            if self._patient:
                await asyncio.sleep(min(_PAUSE, left))
                await self._refresh([answers[i] for i in open_positions], deadline)

    def _again(self, answer: Any, tries: int, writes: bool) -> bool:
        """Tell whether a command without a good answer may be sent again."""
        if isinstance(answer, BrokenError):
            return not writes and (self._patient or tries == 1)
        if isinstance(answer, NotSentError):
            return self._patient or (not writes and tries == 1)
        return self._patient and isinstance(answer, ResponseError) and is_elsewhere(answer)

    async def _round(
        self, tasks: Sequence[Task], positions: list[int], answers: list[Any], deadline: float, writes: bool
    ) -> None:
        """Send the commands at ``positions``, those for one server together, and note their answers."""
        loads: dict[RedisLink, list[int]] = {}
        for i in positions:
            try:
                loads.setdefault(await self._link_for(tasks[i], answers[i]), []).append(i)
            except NotSentError as error:
                answers[i] = error
        await asyncio.gather(
            *(self._load(link, tasks, load, answers, deadline, writes) for link, load in loads.items())
        )

    async def _load(
        self,
        link: RedisLink,
        tasks: Sequence[Task],
        load: list[int],
        answers: list[Any],
        deadline: float,
        writes: bool,
    ) -> None:
        commands: list[Command] = []
        places: list[int] = []
        for i in load:
            if _code(answers[i]) == "ASK":
                commands.append(("ASKING",))
            places.append(len(commands))
            commands.append(tasks[i].command)
        if writes and self._wait_replicas:
            commands.append(("WAIT", self._wait_replicas, int(self._timeout * 1000)))
        try:
            found = await link.pipeline(commands, deadline)
        except (NotSentError, BrokenError) as error:
            for i in load:
                answers[i] = error
            return
        for i, place in zip(load, places, strict=True):
            answers[i] = found[place]
            if writes and self._wait_replicas and not isinstance(found[place], ResponseError):
                answers[i] = self._confirmed(found[place], found[-1], tasks[i].key)

    def _confirmed(self, answer: Any, replicas: Any, key: str | None) -> Any:
        if isinstance(replicas, int) and replicas >= self._wait_replicas:
            return answer
        return UnknownOutcomeError(
            f"The write of {key!r} was applied on the master, but {replicas} of {self._wait_replicas} replicas "
            "confirmed it in time. It may be lost in a failover: read the key before writing again.",
            key=key,
        )

    async def _link_for(self, task: Task, answer: Any) -> RedisLink:
        """Return the link for a command, given what the try before answered."""
        return self._link(self._url.text)

    async def _refresh(self, answers: list[Any], deadline: float) -> None:
        """Find out anew which servers there are, because of these answers."""

    def _link(self, url: str) -> RedisLink:
        link = self._links.get(url)
        if link is None:
            link = self._links[url] = RedisLink(url, connections=self._connections, timeout=self._timeout)
        return link

    async def _drop(self, url: str) -> None:
        link = self._links.pop(url, None)
        if link is not None:
            await link.close()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout


def script_task(command: str, script: str, call: tuple[Sequence[str], Sequence[Argument]]) -> Task:
    """Return the task that runs a script."""
    keys, arguments = call
    return Task(keys[0] if keys else None, (command, script, len(keys), *keys, *arguments))


def is_elsewhere(answer: ResponseError) -> bool:
    """Tell whether the server executed nothing, and another one or a later moment will do."""
    return _code(answer) is not None


def _code(answer: Any) -> str | None:
    if not isinstance(answer, ResponseError):
        return None
    # redis-py turns some codes into classes and strips them from the message.
    name = {"MovedError": "MOVED", "AskError": "ASK", "TryAgainError": "TRYAGAIN", "ReadOnlyError": "READONLY"}
    name |= {"ClusterDownError": "CLUSTERDOWN", "MasterDownError": "MASTERDOWN"}
    known = name.get(type(answer).__name__)
    if known is not None:
        return known
    found = _ELSEWHERE.search(str(answer))
    return found[1] if found else None


error_code = _code
