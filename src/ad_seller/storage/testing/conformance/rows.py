"""Checks of many examples as one check: each example on an empty store, and all those that fail are named.

An example costs a fraction of a test of its own, which would open and close a backend for it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import pytest

from ...base import StorageBackend

Check = TypeVar("Check", bound=Callable[..., Any])

_SHOWN = 40  #: characters of an example in a message


def rows(
    names: str | Sequence[str], examples: Iterable[Any], *, ids: Callable[[Any], str] = repr
) -> Callable[[Check], Check]:
    """Return a decorator that runs a check once for each example, one after the other.

    Args:
        names: the argument, or the arguments, that take the example.
        examples: the values, in tuples if there are several arguments.
        ids: makes the name of an example that is no str.
    """
    arguments = (names,) if isinstance(names, str) else tuple(names)
    given = [
        (_name(example, ids), dict(zip(arguments, _values(arguments, example), strict=True)))
        for example in examples
    ]

    def decorate(check: Check) -> Check:
        looped = _async(check, given) if inspect.iscoroutinefunction(check) else _sync(check, given)
        signature = inspect.signature(check)
        kept = [one for one in signature.parameters.values() if one.name not in arguments]
        looped.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return cast(Check, looped)

    return decorate


def _values(arguments: tuple[str, ...], example: Any) -> tuple[Any, ...]:
    return (example,) if len(arguments) == 1 else tuple(example)


def _name(example: Any, ids: Callable[[Any], str]) -> str:
    text = example if isinstance(example, str) and example else ids(example)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _async(check: Callable[..., Any], given: list[tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    @functools.wraps(check)
    async def looped(*args: Any, **fixtures: Any) -> None:
        results = _Results(len(given))
        backend = fixtures.get("backend")
        for number, (name, example) in enumerate(given):
            with results.of(name):
                if number and isinstance(backend, StorageBackend):
                    await backend.delete_many(await backend.keys())
                await check(*args, **fixtures, **example)
        results.tell()

    return looped


def _sync(check: Callable[..., Any], given: list[tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    @functools.wraps(check)
    def looped(*args: Any, **fixtures: Any) -> None:
        results = _Results(len(given))
        for name, example in given:
            with results.of(name):
                check(*args, **fixtures, **example)
        results.tell()

    return looped


class _Results:
    """What became of each example."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._failed: dict[str, BaseException] = {}
        self._skipped: list[BaseException] = []

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        try:
            yield
        except pytest.skip.Exception as skip:
            self._skipped.append(skip)
        except (Exception, pytest.fail.Exception) as error:
            self._failed[name] = error

    def tell(self) -> None:
        """Fail if an example did, and name each; skip if one was skipped."""
        if self._failed:
            first = next(iter(self._failed.values()))
            kind = "Failed" if isinstance(first, pytest.fail.Exception) else type(first).__name__
            raise AssertionError(
                f"{len(self._failed)} of {self._count} rows: {', '.join(self._failed)}: {kind}: {first}"
            ) from BaseExceptionGroup("the failed rows", list(self._failed.values()))
        if self._skipped:
            raise self._skipped[0]
