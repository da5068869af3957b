"""The storage types by name. Nothing of a backend is imported before it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from .base import StorageBackend
from .errors import ConfigurationError, MissingDependencyError, shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

#: Other packages register backends under this entry-point group: ``name = "module:Class"``.
ENTRY_POINT_GROUP = "ad_seller.storage.backends"

BackendClass = type[StorageBackend]


class Registration(NamedTuple):
    """One storage type.

    Attributes:
        target: "module:Class", or the class itself.
        extra: the extra of this package that brings its library, if it needs one.
    """

    target: str | BackendClass
    extra: str | None = None


#: What people write for a type, and what is not like its name.
_MEANT = {"pg": "postgres", "psql": "postgres", "valkey": "redis", "file": "sqlite", "ram": "memory"}

_PACKAGE = __package__
_registered: dict[str, Registration] = {
    "sqlite": Registration(f"{_PACKAGE}.sqlite.backend:SQLiteBackend"),
    "redis": Registration(f"{_PACKAGE}.redis.backend:RedisBackend", extra="redis"),
    "postgres": Registration(f"{_PACKAGE}.postgres.backend:PostgresBackend", extra="postgres"),
    "hybrid": Registration(f"{_PACKAGE}.hybrid.backend:HybridBackend"),
    "memory": Registration(f"{_PACKAGE}.memory.backend:MemoryBackend"),
}

#: The storage types of this package.
BUILT_IN = frozenset(_registered)


def register_backend(name: str, backend: str | BackendClass, *, replace: bool = False) -> None:
    """Make a backend available as a storage type.

    Args:
        name: the storage type, e.g. for ``STORAGE_TYPE``; case does not count.
        backend: the class, or "module:Class", which is imported at first use. It is called with
            ``database_url`` if its ``__init__`` takes an argument of that name.
        replace: whether an existing type of that name may be replaced.

    Raises:
        ConfigurationError: the name is taken, or an argument cannot be used.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"A storage type is a non-empty str, not {shown(name)}")
    if not _is_target(backend):
        raise ConfigurationError(
            f'A backend is a subclass of StorageBackend or "module:Class", not {shown(backend)}'
        )
    key = name.strip().lower()
    known = _registered.get(key)
    if known is not None and known.target != backend and not replace:
        raise ConfigurationError(
            f"Storage type {key!r} is taken by {known.target}; choose another name, or pass replace=True"
        )
    _registered[key] = Registration(backend)


def _is_target(backend: object) -> bool:
    if isinstance(backend, str):
        module, _, name = backend.partition(":")
        return bool(module and name)
    return isinstance(backend, type) and issubclass(backend, StorageBackend)


def backend_names() -> list[str]:
    """Return the known storage types, sorted."""
    return sorted({*_registered, *(point.name for point in _entry_points())})


def find_backend(name: str) -> BackendClass:
    """Return the class of a storage type.

    Raises:
        ConfigurationError: there is no such type, or its class cannot be imported.
        MissingDependencyError: its library is not installed.
    """
    registration = _registered.get(name) or _from_entry_points(name)
    if registration is None:
        raise ConfigurationError(
            f"Unknown storage type: {name!r}.{_suggestion(name)} Known types: {', '.join(backend_names())}. "
            "Others can be added with register_backend()."
        )
    return _load(name, registration)


def _suggestion(name: str) -> str:
    """Return a sentence with the type that was probably meant, if there is one."""
    from difflib import get_close_matches  # for those who make a mistake

    [near] = get_close_matches(name, backend_names(), n=1, cutoff=0.5) or [_MEANT.get(name, "")]
    return f" Did you mean {near!r}?" if near else ""


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points  # costs a third of our start, and most need it never

    return entry_points(group=ENTRY_POINT_GROUP)


def _from_entry_points(name: str) -> Registration | None:
    points = [point for point in _entry_points() if point.name.lower() == name]
    if len({point.value for point in points}) > 1:
        values = ", ".join(sorted(point.value for point in points))
        raise ConfigurationError(
            f"Storage type {name!r} is offered by several packages: {values}; remove all but one"
        )
    return Registration(points[0].value) if points else None


def _load(name: str, registration: Registration) -> BackendClass:
    if not isinstance(registration.target, str):
        return registration.target
    module_name, _, class_name = registration.target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if registration.extra is not None:
            raise MissingDependencyError(
                f"Storage type {name!r} needs a package that is not installed ({error.name}). "
                f"Install it with: pip install 'ad-seller-storage[{registration.extra}]'"
            ) from error
        raise ConfigurationError(f"Storage type {name!r}: cannot import {registration.target}: {error}") from error
    except Exception as error:  # a module of somebody else may raise anything
        raise ConfigurationError(
            f"Storage type {name!r}: {module_name} fails when it is imported: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ConfigurationError(f"Storage type {name!r}: {module_name} has no {class_name}")
    if not (isinstance(found, type) and issubclass(found, StorageBackend)):
        raise ConfigurationError(f"Storage type {name!r}: {registration.target} is no subclass of StorageBackend")
    return found
