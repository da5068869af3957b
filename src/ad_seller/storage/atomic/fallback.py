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
from typing import Any, Final, NamedTuple, TypeVar

from ..concurrency.tasks import run_to_end
from ..concurrency.wakeups import WAITING, tell
from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..driver.followed import stored_keys
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
from .state import ONE_LOOP, deadlines_of, opening_of, state_of

log = logging.getLogger("ad_seller.storage")

R = TypeVar("R")
_GUARDED = "_ad_seller_guarded"


def keep_to_one_loop(cls: type, yes: bool) -> None:
    """Note whether instances may be used in one running event loop at a time only: those of seven methods."""
    setattr(cls, ONE_LOOP, yes)


def guard(cls: type[SevenMethods]) -> None:
    """Wrap what ``cls`` has of the methods below, from wherever, unless they are wrapped already."""
    for name, wrap in _WRAPPERS.items():
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


def _noted_connect(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(method)
    async def connect(self: SevenMethods) -> None:
        await method(self)
        opening_of(self).is_connected = True

    return connect


def _noted_disconnect(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(method)
    async def disconnect(self: SevenMethods) -> None:
        opening_of(self).is_connected = False
        await method(self)

    return disconnect


_WRAPPERS: Final[dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "set": _guarded_set,
    "delete": _guarded_delete,
    "connect": _noted_connect,
    "disconnect": _noted_disconnect,
}


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
    outcome = await run_to_end(_commit_locked(backend, commit))
    if WAITING:
        tell(stored_keys(commit))
    return outcome


async def _commit_locked(backend: SevenMethods, commit: Commit) -> Outcome:
    async with state_of(backend).locks.hold(*commit.keys):
        for expectation in commit.expectations:
            if await text_of(backend, expectation.key) != expectation.text:
                return Refused(expectation.key)
        before = await _entries_before(backend, commit)
        now = {key: entry.text for key, entry in before.items()}
        existed: list[bool] = []
        written: list[str] = []
        try:
            for write in commit.writes:
                written.append(write.key)
                existed.append(now[write.key] is not None or isinstance(write, Put))
                now[write.key] = await _write(backend, write, now[write.key])
        except BaseException:
            await _restore(backend, {key: before[key] for key in reversed(dict.fromkeys(written))})
            raise
        return existed


class _Before(NamedTuple):
    """An entry before a commit: its text, None without one; the seconds that it had left, None for no expiry."""

    text: bytes | None
    left: float | None = None
    is_known: bool = True


async def _entries_before(backend: SevenMethods, commit: Commit) -> dict[str, _Before]:
    """Return what the keys hold that are written.

    Raises:
        UnsupportedError: a write is to keep an expiry that nobody here knows. Nothing has been written.
    """
    before: dict[str, _Before] = {}
    for write in commit.writes:
        if write.key in before:
            continue
        text = await text_of(backend, write.key)
        try:
            before[write.key] = _Before(text, None if text is None else await backend.ttl(write.key))
        except MissingKeyError:
            before[write.key] = _Before(None)  # it has expired just now
        except UnsupportedError as error:
            lasts = backend._atomic_lasts(write.key)
            if isinstance(write, Put) and write.ttl_ms is KEEP and not lasts:
                raise _unknown_expiry(backend, write.key) from error
            before[write.key] = _Before(text, None, is_known=lasts)
    return before


def _unknown_expiry(backend: SevenMethods, key: str) -> UnsupportedError:
    return UnsupportedError(
        f"The expiry of {key!r} cannot be kept, and nothing was written: {type(backend).__name__} does not know "
        "when an entry expires that another process wrote. Give ttl= (None for never), call expire() or persist() "
        "first, or let the backend implement ttl().",
        key=key,
    )


async def text_of(backend: SevenMethods, key: str) -> bytes | None:
    """Return the entry's value as the text that our codec gives it, None without entry."""
    value = await backend.get(key)
    return encode(value, key=key) if value is not None or await backend.exists(key) else None


async def _write(backend: SevenMethods, write: Write, before: bytes | None) -> bytes | None:
    """Apply one write; return the text that the entry has then."""
    match write:
        case Delete(key):
            await backend.delete(key)
            return None
        case Touch(key, ttl_ms):
            if before is not None:
                await backend.set(key, decode(before), whole_seconds(ttl_ms))
            return before
        case Put(key, text, ttl_ms):
            if ttl_ms is KEEP:
                ttl_ms = None if before is None else check_ttl(await _left(backend, key), key=key)
            await backend.set(key, decode(text), whole_seconds(ttl_ms))
            return text


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


async def _left(backend: SevenMethods, key: str) -> float | None:
    """Return what an entry has left; `_entries_before` has refused those that may expire at a time nobody knows."""
    try:
        return await backend.ttl(key)
    except (UnsupportedError, MissingKeyError):  # one that lasts; or it has expired just now
        return None


async def _restore(backend: SevenMethods, before: dict[str, _Before]) -> None:
    for key, (text, left, is_known) in before.items():
        if text is None:
            await backend.delete(key)
            continue
        await backend.set(key, decode(text), whole_seconds(check_ttl(left, key=key)))
        if not is_known:
            log.warning(
                "A commit failed halfway and %r was put back, without expiry: %s cannot tell when it expires. "
                "Implement ttl() to keep it.",
                key,
                type(backend).__name__,
            )


async def remaining(backend: SevenMethods, key: str) -> float | None:
    """Return the seconds that an entry has left, None without expiry.

    Raises:
        MissingKeyError: there is no entry.
        UnsupportedError: another process wrote it, and this backend cannot tell.
    """
    if not await backend.exists(key):
        raise MissingKeyError(f"There is no entry under {key!r}", key=key)
    return deadlines_of(backend).remaining(key)
