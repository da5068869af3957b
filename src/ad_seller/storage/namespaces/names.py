"""Keys, and what speaks of keys, on the way into a namespace and out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from ..concurrency.tasks import copied
from ..driver.commit import Commit, Expect, Write
from ..driver.query import KeyQuery
from ..errors import StorageError
from ..records.globs import Glob
from ..records.namespaces import SURE, check_length
from ..records.pages import OnCorrupt

E = TypeVar("E", bound=StorageError)

_new = tuple.__new__  #: makes a named tuple in half the time


class Names:
    """What the keys of one namespace are called in it, and in the store.

    Args:
        prefix: with what the keys begin in the store.
    """

    def __init__(self, prefix: str) -> None:
        """Keep the prefix."""
        self.prefix = prefix
        self._skipped = len(prefix)

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
        """Return what a listing of the namespace asks the store for: nothing that has no name in it."""
        after = query.after
        if after is not None or not (query.reverse or query.glob.prefix):
            after = self.prefix + (after or "")
        return KeyQuery(self._glob(query.glob), after, query.limit, query.where, query.reverse)

    def _glob(self, glob: Glob) -> Glob:
        regex = glob.regex
        if regex is not None:
            regex = re.compile(re.escape(self.prefix) + regex.pattern, regex.flags)
        return Glob(self.prefix + glob.prefix, regex, glob.literal)

    def all_full(self, keys: Sequence[str]) -> list[str]:
        """Return what ``keys`` are called in the store; see `full`."""
        prefix = self.prefix
        if len(keys) == 1:  # as `full` does
            full = [prefix + keys[0]]
            if len(full[0]) > SURE:
                check_length(full[0], keys[0])
            return full
        full = [prefix + key for key in keys]
        if full and max(map(len, full)) > SURE:
            for one, key in zip(full, keys, strict=True):
                check_length(one, key)
        return full

    def commit(self, expectations: Iterable[tuple[str, bytes | None]], writes: Iterable[Write]) -> Commit:
        """Return what a commit of the namespace is in the store."""
        prefix = self.prefix
        expected: list[Expect] = []
        written: list[Write] = []
        for key, text in expectations:
            full = prefix + key
            if len(full) > SURE:
                check_length(full, key)
            expected.append(_new(Expect, (full, text)))
        for write in writes:
            full = prefix + write[0]
            if len(full) > SURE:
                check_length(full, write[0])
            written.append(_new(type(write), (full,) + write[1:]))  # noqa: RUF005  # in two thirds of the time
        return _new(Commit, (tuple(expected), tuple(written)))

    # --- out -------------------------------------------------------------------------------------------

    def one(self, full: str) -> str:
        """Return what a key of the store, which is in the namespace, is called in it."""
        return full[self._skipped :]

    def local_items(self, items: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return entries with their keys as they are called in the namespace."""
        skipped = self._skipped
        return [(key[skipped:], value) for key, value in items]

    # --- errors ----------------------------------------------------------------------------------------

    def seen(self, error: E) -> E:
        """Return an error as the caller is to see it: the same one, unless it speaks of the store's keys."""
        if self.prefix not in str(error) and not (error.key or "").startswith(self.prefix):
            return error
        seen = copied(error)
        seen.args = (str(error).replace(self.prefix, ""), *error.args[1:])
        if error.key is not None:
            seen.key = error.key.removeprefix(self.prefix)
        return seen.with_traceback(error.__traceback__)

    def told(self, on_corrupt: OnCorrupt) -> OnCorrupt:
        """Return what is to be called with errors of the store."""
        return None if on_corrupt is None else lambda error: on_corrupt(self.seen(error))
