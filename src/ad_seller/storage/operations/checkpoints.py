"""The file that says how far a copy has come."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from ..base import StorageBackend
from ..concurrency.tasks import run_to_end
from ..concurrency.threads import in_thread
from ..errors import CheckpointError, redact
from .fields import moment_of
from .files import whole_file

_FORMAT: Final = "ad-seller-storage copy"
_VERSION: Final = 1
_PAIR: Final = ("source", "target", "prefix")
_INTERVAL: Final = 0.5  #: seconds between two notes


@dataclass(slots=True)
class State:
    """How far a copy has come, and which one it is.

    Attributes:
        source: the store that is copied, without its password.
        target: where to.
        prefix: what all keys begin with.
        existing: what wins; None: the target was empty.
        after: all keys up to this one have been copied.
        done: whether all have.
        finished: when the move was over (ISO 8601): the target may have been written since.
        format: `_FORMAT`.
        version: of the format.
    """

    source: str
    target: str
    prefix: str
    existing: str | None
    after: str | None = None
    done: bool = False
    finished: str | None = None
    format: str = _FORMAT
    version: int = _VERSION


_decode = msgspec.json.Decoder(State).decode


class Checkpoint:
    """The state of one copy, in a file.

    Args:
        path: the file; None: it is not kept.
        source: the store that is copied.
        target: where to.
        prefix: what all keys begin with.
        existing: what wins.
    """

    def __init__(
        self, path: Path | None, source: StorageBackend, target: StorageBackend, prefix: str, existing: str | None
    ) -> None:
        """Read and write nothing yet."""
        self._path = path
        self.state = State(redact(repr(source)), redact(repr(target)), prefix, existing)
        self._noted = 0.0

    def take_up(self, *, resume: bool, again: bool, force: bool) -> None:
        """Do as a copy is told: `follow` one that is done, `resume` one that is not, or `begin`.

        Raises:
            CheckpointError: see there; or the file cannot be written.
        """
        if self._path is not None and not os.access(self._path.parent, os.W_OK):
            raise CheckpointError(
                f"{str(self._path)!r} cannot be written: the folder is not there, or may not be written to. Name "
                "another file, with --checkpoint."
            )
        if again:
            self.follow(force=force)
        elif resume:
            self.resume()
        else:
            self.begin()

    def begin(self) -> None:
        """Make sure that there is no other copy's file in the way.

        Raises:
            CheckpointError: there is.
        """
        if (found := self._read()) is None:
            return
        self._check_pair(found)
        if found.finished is not None:
            raise CheckpointError(
                f"{str(self._path)!r} says that this move was finished at {found.finished}. To begin anew, "
                "remove the file."
            )
        if found.done:
            raise CheckpointError(
                f"{str(self._path)!r} says that this copy was done. `--again` copies what has changed since; to "
                "begin anew, remove the file."
            )
        place = "at its beginning" if found.after is None else f"after {found.after!r}"
        raise CheckpointError(
            f"{str(self._path)!r} says that this copy ended {place}. `--resume` goes on from there; to begin anew, "
            "remove the file and empty the target."
        )

    def resume(self) -> None:
        """Go on with what the file says.

        Raises:
            CheckpointError: it is not there, cannot be read, or is of another copy.
        """
        if self._path is None:
            return
        if (found := self._read()) is None:
            raise CheckpointError(
                f"There is no {str(self._path)!r} to go on from. Name the file of the copy that was begun, or "
                "begin one."
            )
        self._check_pair(found)
        self.state = found

    def follow(self, *, force: bool) -> None:
        """Go on with a copy that is done.

        Args:
            force: also where the move was finished.

        Raises:
            CheckpointError: it is not done, or the move was finished; see `resume`, too.
        """
        self.resume()
        if self._path is not None and not self.state.done:
            raise CheckpointError("This copy is not done yet: `--resume` goes on with it")
        if self.state.finished is not None and not force:
            raise CheckpointError(
                f"{str(self._path)!r} says that this move was finished at {self.state.finished}. `--again` would "
                "overwrite what has been written to the target since, and remove what is new there: `verify` names "
                "it. `--force` does it all the same."
            )
        self.state.finished = None

    async def finish(self) -> None:
        """Write down that the move is over."""
        self.state.finished = moment_of(time.time())
        await self.note(self.state.after, done=True)

    async def note(self, after: str | None, *, done: bool = False, now: bool = False) -> None:
        """Write down how far the copy has come, unless that was done a moment ago."""
        self.state.after, self.state.done = after, done
        if self._path is None or not (now or done or time.monotonic() > self._noted + _INTERVAL):
            return
        path, text = self._path, msgspec.json.encode(asdict(self.state)) + b"\n"

        def write() -> None:
            with whole_file(path) as file:
                file.write(text)

        await run_to_end(in_thread(write))
        self._noted = time.monotonic()

    def _read(self) -> State | None:
        if self._path is None:
            return None
        try:
            found = _decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            raise CheckpointError(
                f"{str(self._path)!r} is no checkpoint of a copy ({error}). Name another file, with --checkpoint."
            ) from error
        if found.format != _FORMAT or found.version != _VERSION:
            raise CheckpointError(
                f"{str(self._path)!r} is of another version of ad-seller-storage, or no checkpoint of a copy. Name "
                "another file, with --checkpoint."
            )
        return found

    def _check_pair(self, found: State) -> None:
        for name in _PAIR if self.state.existing is None else (*_PAIR, "existing"):
            theirs, ours = getattr(found, name), getattr(self.state, name)
            if theirs != ours and name == "existing":
                begun = f"with `--{theirs}`" if theirs else "into an empty target"
                raise CheckpointError(
                    f"{str(self._path)!r} is of a copy that was begun {begun}. Leave `--{ours}` out to go on with "
                    "it, or name another file, with --checkpoint."
                )
            if theirs != ours:
                raise CheckpointError(
                    f"{str(self._path)!r} is of another copy: its {name} is {theirs!r}, not {ours!r}. Name another "
                    "file, with --checkpoint."
                )
