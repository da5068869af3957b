"""What a backend of seven methods gets for the rest of the contract, within one process.

Such a backend has no commit and cannot tell an entry's remaining time. So its `set` and `delete` are guarded
when the class is made: they take the key's lock, which the commit below holds too, and note the deadline. The
guarantees end at the process, and the default `Capabilities` say so.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..errors import (
    InvalidArgumentError,
    InvalidValueError,
    MissingKeyError,
    UnsupportedError,
    shown,
)
from ..records.codec import decode, encode
from ..records.expiry import check_ttl
from ..records.keys import check_key
from ..records.markers import KEEP
from .beside import warn_if_inside
from .committer import SevenMethods
from .state import ONE_LOOP, deadlines_of, state_of

log = logging.getLogger("ad_seller.storage")

R = TypeVar("R")
_GUARDED = "_ad_seller_guarded"


def keep_to_one_loop(cls: type, yes: bool) -> None:
    """Note whether instances may be used in one running event loop at a time only: those of seven methods."""
    setattr(cls, ONE_LOOP, yes)


def guard(cls: type[SevenMethods]) -> None:
    """Wrap the ``set`` and ``delete`` that ``cls`` has, from wherever, unless they are wrapped already."""
    for name, wrap in (("set", _guarded_set), ("delete", _guarded_delete)):
        method = getattr(cls, name)
        if not getattr(method, "__isabstractmethod__", False) and not hasattr(method, _GUARDED):
            guarded = wrap(method)
            setattr(guarded, _GUARDED, True)
            setattr(cls, name, guarded)


def _guarded_set(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(method)
    async def set(self: SevenMethods, key: str, value: Any, ttl: Any = None, *args: Any, **kwargs: Any) -> None:
        key = check_key(key)
        ttl_ms = check_ttl(ttl, key=key)
        seconds = whole_seconds(ttl_ms)  # its author need not know a timedelta

        async def write() -> None:
            await method(self, key, value, seconds, *args, **kwargs)
            deadlines_of(self).note(key, ttl_ms)

        await _locked(self, key, write)

    return set


def _guarded_delete(method: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    @functools.wraps(method)
    async def delete(self: SevenMethods, key: str, *args: Any, **kwargs: Any) -> bool:
        key = check_key(key)

        async def remove() -> bool:
            existed = await method(self, key, *args, **kwargs)
            deadlines_of(self).forget(key)
            return existed

        return await _locked(self, key, remove)

    return delete


async def _locked(backend: SevenMethods, key: str, action: Callable[[], Awaitable[R]]) -> R:
    locks = state_of(backend).locks
    if locks.held_here(key):
        return await action()  # we are called by a commit, or by the subclass's own set
    warn_if_inside(backend)
    async with locks.hold(key):
        return await action()


async def commit(backend: SevenMethods, commit: Commit) -> Outcome:
    """Apply ``commit`` under the locks of its keys; a cancelled caller does not stop it half way."""
    warn_if_inside(backend)
    return await run_to_end(_commit_locked(backend, commit))


async def _commit_locked(backend: SevenMethods, commit: Commit) -> Outcome:
    async with state_of(backend).locks.hold(*commit.keys):
        for expectation in commit.expectations:
            if await text_of(backend, expectation.key) != expectation.text:
                return Refused(expectation.key)
        undo: list[tuple[str, bytes | None, float | None]] = []
        existed: list[bool] = []
        try:
            for write in commit.writes:
                before = await text_of(backend, write.key)
                left = None if before is None else await _kept(backend, write.key)
                undo.append((write.key, before, left))
                existed.append(before is not None or isinstance(write, Put))
                await _write(backend, write, before)
        except BaseException:
            await _restore(backend, undo)
            raise
        return existed


async def text_of(backend: SevenMethods, key: str) -> bytes | None:
    """Return the entry's value as the text that our codec gives it, None without entry."""
    value = await backend.get(key)
    return encode(value, key=key) if value is not None or await backend.exists(key) else None


async def _write(backend: SevenMethods, write: Write, before: bytes | None) -> None:
    match write:
        case Delete(key):
            await backend.delete(key)
        case Touch(key, ttl_ms):
            if before is not None:
                await backend.set(key, decode(before), whole_seconds(ttl_ms))
        case Put(key, text, ttl_ms):
            if ttl_ms is KEEP:
                left = None if before is None else await _kept(backend, key)
                ttl_ms = check_ttl(left, key=key)
            await backend.set(key, decode(text), whole_seconds(ttl_ms))


def changed(change: Callable[[Any], Any], current: Any, key: str) -> Any:
    """Return ``change(current)``; an async function is refused, and so is None: it was changed in place."""
    if not callable(change):
        raise InvalidArgumentError(f"The change for {key!r} must be a function, not {shown(change)}", key=key)
    value = change(current)
    if hasattr(type(value), "__await__"):
        if inspect.iscoroutine(value):
            value.close()
        raise InvalidArgumentError(
            f"The change for {key!r} must be a plain function; for awaiting use transact()", key=key
        )
    if value is None:
        raise InvalidValueError(
            f"The change for {key!r} returned None, and nothing was written. Return the new value, also where it "
            "was changed in place; or DELETE, or LEAVE. A null is stored with set().",
            key=key,
        )
    return value


def whole_seconds(ttl_ms: int | None) -> int | float | None:
    """Return milliseconds as seconds, as an int where that is exact: custom backends may know only those."""
    if ttl_ms is None:
        return None
    return ttl_ms // 1000 if ttl_ms % 1000 == 0 else ttl_ms / 1000


async def _kept(backend: SevenMethods, key: str) -> float | None:
    """Return what an entry has left; one that another process wrote is taken as not expiring, and that is said."""
    try:
        return await backend.ttl(key)
    except UnsupportedError:
        known = deadlines_of(backend)
        if not known.warned:
            known.warned = True
            log.warning(
                "%s cannot tell when %r expires (capabilities.expiry is 'process'), so it has no expiry from "
                "now on. Implement ttl() to keep it. This is said once.",
                type(backend).__name__,
                key,
            )
        return None


async def _restore(backend: SevenMethods, undo: list[tuple[str, bytes | None, float | None]]) -> None:
    for key, text, left in reversed(undo):
        if text is None:
            await backend.delete(key)
        else:
            await backend.set(key, decode(text), whole_seconds(check_ttl(left, key=key)))


async def remaining(backend: SevenMethods, key: str) -> float | None:
    """Return the seconds that an entry has left, None without expiry.

    Raises:
        MissingKeyError: there is no entry.
        UnsupportedError: another process wrote it, and this backend cannot tell.
    """
    if not await backend.exists(key):
        raise MissingKeyError(f"There is no entry under {key!r}", key=key)
    return deadlines_of(backend).remaining(key)
