"""The two sides of a hybrid: which keys live where, what both promise together, and how both are."""

from __future__ import annotations

import copy
from asyncio import get_running_loop
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from msgspec.structs import replace

from ..base import StorageBackend
from ..capabilities import Capabilities
from ..concurrency.gates import Gate
from ..concurrency.loops import ByLoop
from ..concurrency.tasks import all_of, run_to_end
from ..errors import ConfigurationError, shown
from ..health import Health
from ..records.keys import check_key
from ..records.namespaces import local_key
from ..records.several import several
from ..stats import Stats, Target

#: Key prefixes of what lives in the second backend unless told otherwise.
DEFAULT_ROUTES: Final = ("session:", "session_index:", "cache:", "lock:", "pubsub:", "rate_limit:")


@dataclass(frozen=True, slots=True, eq=False)
class HybridHealth(Health, Mapping[str, Health]):
    """How both sides answered; as a mapping, how each did."""

    def __getitem__(self, name: str) -> Health:
        """Return how a side answered."""
        return self.sides[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names of the sides."""
        return iter(self.sides)

    def __len__(self) -> int:
        """Return how many sides there are."""
        return len(self.sides)


class Sides(StorageBackend):
    """A backend that has two others, and opens and closes both."""

    def __init__(
        self, postgres: StorageBackend, redis: StorageBackend, *, routes: Iterable[str] = DEFAULT_ROUTES
    ) -> None:
        """Check the arguments; nothing is opened yet."""
        for name, side in (("postgres", postgres), ("redis", redis)):
            if not isinstance(side, StorageBackend):
                raise ConfigurationError(f"{name} is a StorageBackend, not {shown(side)}")
        if postgres is redis:
            raise ConfigurationError("The two sides are one and the same backend; a hybrid needs two")
        self.postgres = postgres
        self.redis = redis
        self.routes = tuple(check_key(route) for route in several("routes", routes, ConfigurationError))
        self._sides = (postgres, redis)
        self._start_over()

    def _start_over(self) -> None:
        self._gates: ByLoop[Gate] = ByLoop()
        self._opening: ByLoop[bool] = ByLoop()  # of each event loop that opens: was the first side open before?
        self._was_opened = False  # both, since the last disconnect

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, with copies of the sides: a copy is not connected, and neither is a side of it."""
        sides = {"postgres": copy.copy(self.postgres), "redis": copy.copy(self.redis)}
        return {"routes": self.routes, **sides}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings."""
        self.__dict__.update(state)
        self._sides = (self.postgres, self.redis)
        self._start_over()

    def __repr__(self) -> str:
        """Return the class and both sides."""
        return f"{type(self).__name__}({self.postgres!r}, {self.redis!r})"

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may take: as long as the slower side takes; None if one of them has no limit."""
        limits: list[float | None] = [getattr(side, "timeout", None) for side in self._sides]
        known = [limit for limit in limits if limit is not None]
        return max(known) if len(known) == len(limits) else None

    @property
    def capabilities(self) -> Capabilities:
        """What both sides promise; batches that touch both are not atomic."""
        one, two = (side.capabilities for side in self._sides)
        return Capabilities(
            atomic="store" if one.atomic == two.atomic == "store" else "process",
            expiry="store" if one.expiry == two.expiry == "store" else "process",
            durable=one.durable and two.durable,
            shared=one.shared and two.shared,
            atomic_batches=False,
            max_key_bytes=min(one.max_key_bytes, two.max_key_bytes),
        )

    def side_of(self, key: str) -> StorageBackend:
        """Return the backend in which ``key`` lives."""
        return self._sides[self._place_of(check_key(key))]

    def _place_of(self, key: str) -> int:
        """Return 1 for the second side; what is in a namespace goes where it would go without."""
        return int(local_key(key).startswith(self.routes))

    async def health(self) -> HybridHealth:
        """Ask both sides at the same time; the answer tells of each, as "postgres" and "redis"."""
        one, two = await all_of([side.health() for side in self._sides])
        error = one.error or two.error
        doubts = (*one.doubts, *two.doubts)
        sides = {"postgres": one, "redis": two}
        return HybridHealth(max(one.seconds, two.seconds), doubts, error, type(self).__name__, sides)

    def _telemetry_target(self, key: str | None) -> Target:
        return Target("hybrid") if not key else self.side_of(key)._telemetry_target(key)

    def stats(self) -> Stats:
        """See `StorageBackend.stats`; the sums of both sides, and each."""
        own, one, two = super().stats(), self.postgres.stats(), self.redis.stats()
        return replace(own + one + two, sides={"postgres": one, "redis": two})

    def _as_found(self) -> Self:
        found = copy.copy(self)
        found.__setstate__(
            {**self.__getstate__(), "postgres": self.postgres._as_found(), "redis": self.redis._as_found()}
        )
        return found

    # --- life cycle ------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open both sides; if one cannot be opened, the other is closed again.

        Not if it was open before, or another event loop has opened both, or is about to.
        """
        await self._gates.get_or_make(Gate).opening(self._connect)

    async def _connect(self) -> None:
        await self._open_both()
        if not self.postgres._is_connected():  # closed by an event loop that failed just before this one began
            await self._open_both()

    async def _open_both(self) -> None:
        left = self._opening.take_ended()  # by event loops that were closed in the middle
        was_open = all((*left, *self._opening.all())) and self.postgres._is_connected()
        self._opening.put(was_open)
        try:
            await self.postgres.connect()
            await self.redis.connect()
        except GeneratorExit:
            raise  # its event loop was closed in the middle, and nothing can be awaited any more
        except BaseException:
            self._opening.take(get_running_loop())
            is_needed = self._opening.others_running() or (self._was_opened and self.redis._is_connected())
            if not (was_open or is_needed) and self.postgres._is_connected():
                await run_to_end(self.postgres.disconnect())
            raise
        self._was_opened = True
        self._opening.take(get_running_loop())

    async def disconnect(self) -> None:
        """Close both sides, also if one of them fails at it."""
        self._was_opened = False
        await all_of([side.disconnect() for side in self._sides])

    def _is_connected(self) -> bool:
        return all(side._is_connected() for side in self._sides)
