"""Keys, and what speaks of keys, on the way into a namespace and out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from ..concurrency.tasks import copied
from ..driver.commit import Commit, Delete, Expect, Put, Touch, Write
from ..driver.query import KeyQuery
from ..errors import StorageError
from ..records.globs import Glob
from ..records.namespaces import check_length
from ..records.pages import OnCorrupt

E = TypeVar("E", bound=StorageError)


class Names:
    """What the keys of one namespace are called in it, and in the store.

    Entered with ``with``, errors that leave the block name keys as they are called in the namespace.

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
        expectations = tuple(Expect(self.full(key), text) for key, text in commit.expectations)
        return Commit(expectations, tuple(map(self._write, commit.writes)))

    def _write(self, write: Write) -> Write:
        match write:
            case Put(key, text, ttl_ms):
                return Put(self.full(key), text, ttl_ms)
            case Delete(key):
                return Delete(self.full(key))
            case Touch(key, ttl_ms):
                return Touch(self.full(key), ttl_ms)

    # --- out -------------------------------------------------------------------------------------------

    def one(self, full: str) -> str:
        """Return what a key of the store, which is in the namespace, is called in it."""
        return full[self._skipped :]

    def local(self, full: Iterable[str]) -> list[str]:
        """Return what keys are called in the namespace; a backend's own idea of a pattern shows no others."""
        prefix, skipped = self.prefix, self._skipped
        return [key for one in full if one.startswith(prefix) and (key := one[skipped:])]

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

    def __enter__(self) -> None:
        """Nothing is held."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the error of the store as the caller is to see it."""
        if isinstance(error, StorageError):
            raise self.seen(error) from error.__cause__
