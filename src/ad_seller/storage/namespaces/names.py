"""Keys, and what speaks of keys, on the way into a namespace and out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeVar

from ..concurrency.tasks import copied
from ..driver.commit import Commit, Delete, Expect, Put, Touch, Write
from ..driver.query import KeyQuery
from ..errors import StorageError
from ..records.globs import Glob
from ..records.namespaces import SURE, check_length
from ..records.pages import OnCorrupt

E = TypeVar("E", bound=StorageError)


class Names:
    """What the keys of one namespace are called in it, and in the store.

    Args:
        prefix: with what the keys begin in the store.
    """

    def __init__(self, prefix: str) -> None:
        """Keep the prefix."""
        self.prefix = prefix
        self._skipped = len(prefix)
        self._cut = itemgetter(slice(self._skipped, None))

    # --- in --------------------------------------------------------------------------------------------

    def full(self, key: str) -> str:
        """Return what ``key`` is called in the store.

        Raises:
            InvalidKeyError: it is too long there.
        """
        full = self.prefix + key
        if len(full) > SURE:
            check_length(full, key)
        return full

    def query(self, query: KeyQuery) -> KeyQuery:
        """Return what a listing of the namespace asks the store for."""
        after = None if query.after is None else self.prefix + query.after
        return replace(query, glob=self._glob(query.glob), after=after)

    def _glob(self, glob: Glob) -> Glob:
        regex = glob.regex
        if regex is not None:
            regex = re.compile(re.escape(self.prefix) + regex.pattern, regex.flags)
        return Glob(self.prefix + glob.prefix, regex, glob.literal)

    def commit(self, commit: Commit) -> Commit:
        """Return what a commit of the namespace is in the store."""
        expectations = [Expect(self.full(key), text) for key, text in commit.expectations]
        return Commit(tuple(expectations), tuple([self._write(write) for write in commit.writes]))

    def _write(self, write: Write) -> Write:
        full = self.full(write.key)
        if type(write) is Put:
            return Put(full, write.text, write.ttl_ms)
        return Touch(full, write.ttl_ms) if type(write) is Touch else Delete(full)

    # --- out -------------------------------------------------------------------------------------------

    def one(self, full: str) -> str:
        """Return what a key of the store, which is in the namespace, is called in it."""
        return full[self._skipped :]

    def local(self, full: list[str]) -> list[str]:
        """Return what sorted keys are called in the namespace."""
        if full and full[0] == self.prefix:  # of somebody who wrote past the namespace: it has no name here
            del full[0]
        if full and not (full[0].startswith(self.prefix) and full[-1].startswith(self.prefix)):
            return self.picked(full)
        return list(map(self._cut, full))

    def picked(self, full: Iterable[str]) -> list[str]:
        """Return likewise those of any keys that are in the namespace, whatever their order."""
        return sorted(key[self._skipped :] for key in full if key.startswith(self.prefix) and key != self.prefix)

    def local_items(self, items: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return entries with their keys as they are called in the namespace."""
        skipped = self._skipped
        return [(key[skipped:], value) for key, value in items]

    # --- errors ----------------------------------------------------------------------------------------

    def seen(self, error: E) -> E:
        """Return an error as the caller is to see it."""
        seen = copied(error)
        seen.args = (str(error).replace(self.prefix, ""), *error.args[1:])
        if error.key is not None:
            seen.key = error.key.removeprefix(self.prefix)
        return seen.with_traceback(error.__traceback__)

    def told(self, on_corrupt: OnCorrupt) -> OnCorrupt:
        """Return what is to be called with errors of the store."""
        return None if on_corrupt is None else lambda error: on_corrupt(self.seen(error))
