"""The mends of outboxes, for `tests.defects`."""

from __future__ import annotations

import math
from typing import Any

from ad_seller.storage.concurrency import elapsed
from ad_seller.storage.driver.commit import Commit, Put, Touch, Write
from ad_seller.storage.seller import outbox_message, outbox_work
from tests.taken_out import Patch, defect


@defect("late-acknowledgement")
def _(patch: Patch) -> None:
    """The acknowledgement of a worker that has lost its lane is accepted."""

    async def commit(self: outbox_message.Claim, *writes: Write) -> None:
        await self._commit(Commit((), (*writes, Touch(self._key, self._lease_ms))))

    patch.setattr(outbox_message.Claim, "commit", commit)


@defect("leased-to-two")
def _(patch: Patch) -> None:
    """A lane is given to a worker although another one has it."""

    async def take(self: outbox_message.Claim, cap: object) -> bool:
        await self._commit(Commit((), (Put(self._key, self._text, self._lease_ms),)))
        return True

    patch.setattr(outbox_message.Claim, "take", take)


@defect("old-lease")
def _(patch: Patch) -> None:
    """A worker goes on with what is left of a lease that was not renewed."""
    patch.setattr(outbox_message, "_OLD", math.inf)
    patch.setattr(outbox_message, "_TOO_OLD", math.inf)


@defect("noted-with-an-old-lease")
def _(patch: Patch) -> None:
    """How old a lease is when the death of the worker before was noted is not looked at."""
    is_noted = outbox_work.Worker._is_noted

    async def believed(self: outbox_work.Worker, claim: Any, *message: Any) -> bool:
        told, claim._renewed = await is_noted(self, claim, *message), elapsed.elapsed()
        return told

    patch.setattr(outbox_work.Worker, "_is_noted", believed)


@defect("overtaken")
def _(patch: Patch) -> None:
    """A message whose worker noted it, and then found its lease too old, is passed over."""
    is_noted = outbox_work.Worker._is_noted

    async def passed_over(self: outbox_work.Worker, claim: Any, *message: Any) -> bool:
        return await is_noted(self, claim, *message) and await claim.is_fresh()

    patch.setattr(outbox_work.Worker, "_is_noted", passed_over)


@defect("kept-lane")
def _(patch: Patch) -> None:
    """A worker that is cancelled while it claims a lane keeps others out of it for the length of a lease."""
    give_up = outbox_message.Claim.give_up

    async def only_if_answered(self: outbox_message.Claim) -> None:
        if self._renewed > 0:
            await give_up(self)

    patch.setattr(outbox_message.Claim, "give_up", only_if_answered)
