"""From one store to another, checked, while both are in use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from ..base import StorageBackend
from ..driver.commit import Commit, Delete, Expect, Refused
from ..driver.transfer import StoredEntry
from ..errors import InvalidArgumentError, LeaseHeldError, StorageError, shown
from .checkpoints import Checkpoint
from .comparing import Difference, Kind, Part, compare, compare_at
from .exporting import Progress
from .importing import Existing
from .older import opened_if_there, refuse_unless_older_is_empty
from .verifying import KINDS, Verified, verify
from .walking import (
    LEASE,
    are_one,
    check_prefix,
    clear_away,
    patiently,
    place_within,
    refuse_unless_empty,
    store_page,
    why_the_lease_was_lost,
)

_LEASE_TTL: Final = 10  #: seconds after which the lease of a copy that was killed ends
_PASSES: Final = 10  #: of `again`, at most
_AT_ONCE: Final = 2  #: parts that are repaired at once: one is made ready while the target works on another

_UnderWay = tuple[Part, asyncio.Task[list[Difference]]]

#: The differences that count after a copy, by what wins.
_WANTED: Final[dict[Existing | None, tuple[Kind, ...]]] = {
    None: KINDS,
    "keep": ("missing",),
    "replace": ("missing", "value", "expiry"),
}

#: Called with an entry that the target does not take, and why.
OnRefused = Callable[[str, StorageError], object]


@dataclass(slots=True)
class Copied:
    """What a copy did.

    Attributes:
        seen: entries of the source that were looked at.
        stored: entries that were stored in the target.
        deleted: entries that were removed there, because the source has them no more.
        refused: entries that the target did not take, the last time that both were gone through.
        passes: how many times both were gone through and repaired.
        verified: how the target differs now.
    """

    seen: int = 0
    stored: int = 0
    deleted: int = 0
    refused: int = 0
    passes: int = 0
    verified: Verified = field(default_factory=Verified)


async def copy_entries(
    source: StorageBackend,
    target: StorageBackend,
    *,
    prefix: str = "",
    existing: Existing | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    again: bool = False,
    final: bool = False,
    force: bool = False,
    dry_run: bool = False,
    on_refused: OnRefused | None = None,
    progress: Progress | None = None,
    connect: bool = False,
) -> Copied:
    """Copy all live entries with their texts and deadlines, and compare both stores at the end.

    What was stored before is not stored again, so a copy that ended can be begun again at any point. While the
    source is written to, it is followed by ``again``: what was changed, renewed or deleted at the source since is
    repaired, pass by pass, until a pass finds nothing or no less than the one before.

    Args:
        source: a connected backend; it is only read.
        target: another one, or with ``connect`` one that is not connected.
        prefix: only keys that begin with it.
        existing: "keep" or "replace" what the target has; None: it must be empty, and becomes equal to the source.
        checkpoint: a file that says how far the copy has come.
        resume: go on after the key that the file names.
        again: repair what has changed since the copy was done. Where the target was empty before, entries that the
            source has no more are removed: nobody else may write to the target yet.
        final: nobody writes to the source any more: if nothing differs at the end, the file says that the move is
            finished, and ``again`` is refused from then on.
        force: ``again`` even so: it overwrites what was written to the target since.
        dry_run: only compare; nothing is made or changed.
        on_refused: called with each entry that the target does not take; they are left out, `verified` has them.
        progress: called with the number of entries of the source so far.
        connect: connect the target for this copy, once the checkpoint was read: none is made for a copy that is
            refused, or that is a dry run; where there is none, that compares with an empty one.

    Raises:
        NotEmptyError: the target has entries, and ``existing`` is None.
        CheckpointError: the file is of another copy, or is missing, or in the way; or the move was finished.
        LeaseHeldError: another copy into this target is under way.
        StorageError: a store cannot be reached; ``resume`` goes on from there.
    """
    if existing not in _WANTED:
        raise InvalidArgumentError(f"existing is 'keep', 'replace' or None, not {shown(existing)}")
    check_prefix(prefix)
    if resume and again:
        raise InvalidArgumentError("resume goes on with a copy that is not done, again follows one that is")
    if final and (checkpoint is None or dry_run):
        raise InvalidArgumentError("final is noted in the file of a checkpoint, and not by a dry run")
    if source is target or (source.capabilities.shared and repr(source) == repr(target)):
        raise InvalidArgumentError(f"The source and the target are one store: {source!r}")
    path = None if checkpoint is None else Path(checkpoint)
    job = _Copy(source, target, Checkpoint(path, source, target, prefix, existing), on_refused, progress)
    if not dry_run:
        job.checkpoint.take_up(resume=resume, again=again, force=force)
    async with AsyncExitStack() as stack:
        stack.enter_context(why_the_lease_was_lost())
        if connect:
            await stack.enter_async_context(job.connected(begun=resume or again, dry_run=dry_run))
        if dry_run:
            await job.compare()
            return job.done
        stack.push_async_callback(clear_away, target)
        wait = _LEASE_TTL + 1 if resume or again else 0.0  # of a copy that was killed
        try:
            lease = await stack.enter_async_context(target.lease(LEASE, ttl=_LEASE_TTL, wait=wait))
        except LeaseHeldError as error:
            raise LeaseHeldError(
                f"Another copy into {target!r} is under way; or one was killed within the last {_LEASE_TTL} s",
                key=error.key,
            ) from error
        if await are_one(source, target, lease.key):  # a link, another spelling of the path or the host
            raise InvalidArgumentError(f"The source and the target are one store: {source!r} and {target!r}")
        if inside := await place_within(source, target, lease.key, prefix):
            raise InvalidArgumentError(
                f"The target is a part of the source, {inside}* of {source!r}, so copies would be copied again. "
                "Copy by prefixes that lie outside of it, such as order:"
            )
        await (job.follow(final=final) if again else job.run(begun=resume))
        if final and not job.done.verified.faults:
            await job.checkpoint.finish()
    return job.done


class _Copy:
    def __init__(
        self,
        source: StorageBackend,
        target: StorageBackend,
        checkpoint: Checkpoint,
        on_refused: OnRefused | None,
        progress: Progress | None,
    ) -> None:
        self.source = source
        self.target = target
        self.checkpoint = checkpoint
        self.done = Copied()
        self._on_refused = on_refused
        self._progress = progress

    @property
    def _existing(self) -> Existing | None:
        return cast("Existing | None", self.checkpoint.state.existing)

    @property
    def _wanted(self) -> tuple[Kind, ...]:
        return _WANTED[self._existing]

    @asynccontextmanager
    async def connected(self, *, begun: bool, dry_run: bool) -> AsyncIterator[None]:
        """Connect the target, which may make it, unless that would only show that it is not empty."""
        if dry_run:
            async with opened_if_there(self.target) as self.target:
                yield
            return
        if self._existing is None and not begun:
            await refuse_unless_older_is_empty(self.target, self.checkpoint.state.prefix)
        async with self.target:
            yield

    async def run(self, *, begun: bool) -> None:
        """Copy, from where the checkpoint is, and compare."""
        state = self.checkpoint.state
        if not begun:
            if state.existing is None:
                await refuse_unless_empty(self.target, state.prefix)
            await self.checkpoint.note(None, now=True)
        if not state.done:
            await self._pass(state.after, mirrors=False)
        await self.compare()

    async def follow(self, *, final: bool) -> None:
        """Repair what has changed, until a pass finds nothing or no less than before, and compare.

        Where nobody writes any more, what was equal stays equal, and what a pass repaired is read again: if that is
        equal, too, all has been compared, and no other pass is needed.
        """
        before: int | None = None
        for _ in range(_PASSES):
            found = await self._pass(None, mirrors=True, checks=final)
            if found.faults == 0:
                self.done.verified = found
                return
            if before is not None and found.faults >= before:
                break
            before = found.faults
        await self.compare()

    async def compare(self) -> None:
        """Compare both stores."""
        self.done.verified = await verify(
            self.source,
            self.target,
            prefix=self.checkpoint.state.prefix,
            kinds=self._wanted,
            progress=self._progress,
        )

    async def _pass(self, after: str | None, *, mirrors: bool, checks: bool = False) -> Verified:
        """Go through both stores once and repair what differs; return what did, or what still does if it checks."""
        found = Verified(wanted=self._wanted)
        self.done.passes, self.done.refused = self.done.passes + 1, 0
        under_way: deque[_UnderWay] = deque()

        async def end_first() -> None:
            part, writing = under_way[0]
            found.note(await writing)
            under_way.popleft()
            await self._ended(part, mirrors=mirrors)

        try:
            async with aclosing(compare(self.source, self.target, self.checkpoint.state.prefix, after)) as parts:
                async for part in parts:
                    found.compared += part.seen
                    if len(under_way) == _AT_ONCE:
                        await end_first()
                    repair = self._repair(part, mirrors=mirrors, checks=checks)
                    under_way.append((part, asyncio.create_task(repair)))
            while under_way:
                await end_first()
        finally:
            for _, writing in under_way:
                writing.cancel()
            await asyncio.gather(*(writing for _, writing in under_way), return_exceptions=True)
        await self.checkpoint.note(self.checkpoint.state.after, done=True)
        return found

    async def _repair(self, part: Part, *, mirrors: bool, checks: bool) -> list[Difference]:
        wanted = self._wanted
        found = [each for each in part.differences if each.kind in wanted]
        if entries := [each.source for each in found if each.source is not None]:
            held = [each.target for each in found if each.source is not None]
            expected = [None if entry is None else entry.text for entry in held]
            stored = await store_page(self.target, entries, expected, self._refused)
            self.done.stored += stored  # not in one line, which would read the sum before the other part adds to it
        if mirrors and (gone := [each for each in found if each.kind == "more"]):
            deleted = await self._delete(gone)
            self.done.deleted += deleted
        if not (checks and found):
            return part.differences
        kept = [each for each in part.differences if each.kind not in wanted]
        return kept + await compare_at(self.source, self.target, [each.key for each in found])

    async def _ended(self, part: Part, *, mirrors: bool) -> None:
        """Note that a part, and all before it, is as it should be."""
        self.done.seen += part.seen
        if not mirrors:
            await self.checkpoint.note(part.last)
        if self._progress is not None:
            self._progress(self.done.seen)

    async def _delete(self, gone: Iterable[Difference]) -> int:
        """Remove entries that the source has no more, if they are still as they were seen."""

        async def delete(entry: StoredEntry) -> bool:
            commit = Commit((Expect(entry.key, entry.text),), (Delete(entry.key),))
            return not isinstance(await patiently(lambda: self.target._atomic_commit(commit)), Refused)

        return sum(await asyncio.gather(*(delete(each.target) for each in gone if each.target is not None)))

    def _refused(self, entry: StoredEntry, error: StorageError) -> None:
        self.done.refused += 1
        if self._on_refused is not None:
            self._on_refused(entry.key, error)
