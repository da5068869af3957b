"""What the conformance kit is pointed at: a URL, or a class or function of somebody else."""

from __future__ import annotations

import importlib
import inspect
import os
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..base import StorageBackend
from ..driver.commit import Commit, Put
from ..errors import ConfigurationError, redact, shown, shown_url
from ..factory import open_url
from ..runtime.template import DriverBackend

#: In a URL, stands for a new empty folder; each check gets one of its own.
FOLDER = "{folder}"

SECONDS = 30.0  #: within which the store is looked at, or emptied

#: The environment variable that names a run, for all of its processes.
APART = "AD_SELLER_CONFORM_RUN"

_HOW = (
    f"Name a URL such as sqlite:///{FOLDER}/store.db, or module:Class, or module:function which returns a backend. "
    "The module is looked for in the current directory, too."
)


@dataclass(frozen=True)
class Target:
    """Makes backends that are not connected yet; pickle can carry it to another process.

    Attributes:
        spec: a URL, or "module:name" of a class or of a function that returns a backend.
        url: what is passed on as ``database_url`` to a class or function.
        folder: what `FOLDER` stands for; also passed on as ``folder``.
    """

    spec: str
    url: str | None = None
    folder: str = ""

    def __call__(self) -> StorageBackend:
        """Return a new backend.

        Raises:
            ConfigurationError: there is nothing of that name, or it makes no backend; it says why.
        """
        if is_url(self.spec):
            return open_url(self.spec.replace(FOLDER, self.folder))
        make = _find(self.spec)
        backend = make(**self._arguments(make))
        if inspect.isawaitable(backend):
            getattr(backend, "close", lambda: None)()
            raise ConfigurationError(
                f"{self.spec} is async; the kit needs a plain function. It connects by itself."
            )
        if not isinstance(backend, StorageBackend):
            raise ConfigurationError(f"{self.spec} makes {shown(backend)}, which is no StorageBackend")
        return backend

    def at(self, folder: Path) -> Target:
        """Return the same with a folder of its own."""
        return replace(self, folder=str(folder))

    @property
    def is_new_each_time(self) -> bool:
        """Whether each folder means another store, so that no check meets what another one left."""
        if is_url(self.spec) or FOLDER in (self.url or ""):
            return FOLDER in self.spec + (self.url or "")
        return self.url is None and "folder" in _parameters(_find(self.spec))

    def _arguments(self, make: Callable[..., Any]) -> dict[str, Any]:
        parameters = _parameters(make)
        given: dict[str, Any] = {"folder": Path(self.folder)} if "folder" in parameters else {}
        if self.url is not None:
            if "database_url" not in parameters:
                raise ConfigurationError(f"{self.spec} takes no database_url, so --url has nowhere to go")
            given["database_url"] = self.url.replace(FOLDER, self.folder)
        elif "database_url" in parameters:
            raise ConfigurationError(
                f"{self.spec} takes a database_url: name an empty store with --url. {FOLDER} in it stands for a "
                f"new folder for each check, e.g. --url 'scheme:///{FOLDER}/store'"
            )
        left = [
            one.name
            for one in parameters.values()
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        if unknown := sorted(set(left) - set(given)):
            raise ConfigurationError(
                f"{self.spec} needs {', '.join(unknown)}, which the kit does not know. Write a function that takes "
                "nothing, or `folder` (a new empty one for each check), and returns a backend."
            )
        return given


def is_url(spec: str) -> bool:
    """Tell whether a target is a URL."""
    return "://" in spec


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(make).parameters)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"Cannot see which arguments {shown(make)} takes: {error}") from error


def _find(spec: str) -> Callable[..., Any]:
    """Return the class or function of "module:name"."""
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise ConfigurationError(f"{redact(spec)!r} is neither a URL nor module:Class. {_HOW}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"There is no module {module_name!r}. {_HOW}") from error
        raise ConfigurationError(f"{module_name} needs the module {error.name!r}, which is not there") from error
    except Exception as error:  # a module of somebody else may raise anything
        raise ConfigurationError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{module_name} has no {name}")
        found = getattr(found, part)
    if isinstance(found, type) and not issubclass(found, StorageBackend):
        raise ConfigurationError(f"{spec} is no subclass of StorageBackend")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise ConfigurationError(f"{spec} is not complete. It lacks: {missing}")
    if not callable(found):
        raise ConfigurationError(f"{spec} is {shown(found)}, neither a class nor a function")
    return found  # type: ignore[no-any-return]


def keep_apart() -> None:
    """Give this process and those that it starts a Redis key prefix of their own, in one slot of a cluster."""
    name = os.environ.get(APART) or uuid.uuid4().hex[:12]
    os.environ["REDIS_KEY_PREFIX"] = f"{{conform-{name}}}:"


async def empty(target: Target, *, erase: bool) -> str:
    """Make sure that the store has no entries, and return the name of the backend's class.

    Args:
        target: the store.
        erase: delete what is there; otherwise it is left alone.

    Raises:
        ConfigurationError: it holds entries, and ``erase`` is False.
    """
    backend = target()
    async with backend:
        keys = await backend.keys()
        if keys and not erase:
            raise ConfigurationError(
                f"{shown_url(target.url or target.spec)} is not empty: it has {len(keys):,} keys. The checks "
                "delete whatever they find, so name an empty store, or add --erase-store to lose what is in it."
            )
        await backend.delete_many(keys)
        if isinstance(backend, DriverBackend):
            await backend._sweep_all()  # what has expired leaves a trace on some engines
    return type(backend).__name__


def raw_writer(backend: StorageBackend) -> Callable[[str, bytes], Awaitable[None]] | None:
    """Return what writes any text as the stored value of a key; None if the backend offers no way.

    A backend offers one as an async method ``store_raw(key, text)``. Those of this package take any text in a
    commit.
    """
    own: Callable[[str, bytes], Awaitable[None]] | None = getattr(backend, "store_raw", None)
    if own is not None or type(backend)._atomic_commit is StorageBackend._atomic_commit:
        return own

    async def store_raw(key: str, text: bytes) -> None:
        await backend._atomic_commit(Commit((), (Put(key, text),)))

    return store_raw
