"""Which files of the agent's storage folder this package replaces, judged by what they define."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import ad_seller.storage
from ad_seller.storage import SESSION_INDEX_PREFIX, StorageBackend

from .. import PROGRAM
from .checkout import OURS, Checkout
from .definitions import Definitions, Function, fingerprint, read_definitions, statements

Verdict = Literal["replaced", "edited", "stays"]

#: What older agents define in each file: classes, and functions at the top.
OLDER: dict[str, set[str]] = {
    "__init__": set(),
    "base": {"StorageBackend"},
    "factory": {"get_storage_backend", "get_storage", "close_storage"},
    "sqlite_backend": {"SQLiteBackend"},
    "redis_backend": {"RedisBackend"},
    "postgres_backend": {"PostgresBackend"},
    "hybrid_backend": {"HybridBackend"},
}
#: What these classes offer beside the methods of `StorageBackend`, here and there.
_EXTRA = {
    "RedisBackend": {"publish", "incr", "get_stats"},
    "PostgresBackend": {"cleanup_expired"},
}
#: The constructors, as the contract has them.
_CONSTRUCTORS = {
    "SQLiteBackend": ["database_url"],
    "RedisBackend": ["redis_url", "key_prefix='ad_seller:'"],
    "PostgresBackend": ["database_url", "pool_min=2", "pool_max=10"],
    "HybridBackend": ["postgres", "redis"],
}
_USED = {*sys.stdlib_module_names, "ad_seller", "aiosqlite", "asyncpg", "redis"}
_HYBRID = {"session:", "session_index:", "cache:", "lock:", "pubsub:", "rate_limit:"}
_PUBLIC_NAMES = {"logger", "log", "REDIS_AVAILABLE", "ASYNCPG_AVAILABLE", "POSTGRES_AVAILABLE"}
#: Fingerprints of the public agent's releases; `python -m tests.adoption.releases` renews them.
RELEASED = Path(__file__).with_name("released.json")
_OWN_WORK = 3  #: statements; shorter functions can hardly be written differently


@dataclass(frozen=True, slots=True)
class StorageFile:
    """A file of the agent's storage folder.

    Attributes:
        path: where it is.
        verdict: ``replaced`` by this package; ``edited``: it bears the name of a file of this package, but has
            more or other things in it; ``stays``.
        reasons: why, in sentences.
    """

    path: Path
    verdict: Verdict
    reasons: tuple[str, ...]


def judge_files(checkout: Checkout, replace: set[str]) -> list[StorageFile]:
    """Judge every file of the storage folder.

    Args:
        checkout: the agent.
        replace: names of edited files that are replaced all the same; ``all`` for each.
    """
    if not checkout.storage.is_dir():
        return []
    paths = [path for path in checkout.storage.iterdir() if path.suffix == ".py" or _is_package(path)]
    return [_judge(path, replace) for path in sorted(paths, key=lambda path: path.name)]


def _is_package(path: Path) -> bool:
    return path.is_dir() and path.name != "__pycache__" and any(path.rglob("*.py"))


def _judge(path: Path, replace: set[str]) -> StorageFile:
    if path.stem not in OLDER or path.is_dir():
        if path.stem not in _our_modules():
            return StorageFile(path, "stays", ("imported beside this package",))
        reason = f"this package has a module {path.stem!r}, which would be imported instead: rename yours"
        return StorageFile(path, "edited", (reason,))
    try:
        found = read_definitions(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        return StorageFile(path, "edited", (f"it is no Python that can be parsed here: {error}",))
    known = _is_release(path.stem, found)
    reasons = () if known else tuple(_differences(path.stem, found))
    if not reasons:
        if path.stem == "__init__":
            return StorageFile(path, "replaced", ("hands on names that this package has, too",))
        defined = ", ".join(sorted(OLDER[path.stem]))
        source = (
            "as the public agent released it"
            if known
            else "no release that is known here, judged by what it defines"
        )
        return StorageFile(path, "replaced", (f"defines {defined}; {source}",))
    if replace & {path.name, path.stem, "all"}:
        return StorageFile(path, "replaced", ("as you told; what it has more is lost: " + "; ".join(reasons),))
    return StorageFile(path, "edited", reasons)


@cache
def _our_modules() -> frozenset[str]:
    """Return the names of our modules; in a folder of installed packages an agent's may lie beside them."""
    inside = Path("ad_seller", "storage")
    try:
        files = [Path(file) for file in distribution(PROGRAM).files or ()]
    except PackageNotFoundError:
        files = []
    names = {file.relative_to(inside).parts[0] for file in files if file.is_relative_to(inside)}
    if "__init__.py" not in names:  # a checkout, installed as editable or just on the path
        names = {path.name for path in OURS.iterdir()}
    return frozenset(Path(name).stem for name in names)


def _differences(module: str, found: Definitions) -> Iterator[str]:
    """Return what the file has more than, or other than, this package."""
    yield from _foreign_definitions(module, found)
    for name, function in found.functions.items():
        yield from _foreign_parameters(name, function)
    yield from _foreign_imports(found)
    yield from _foreign_texts(module, found)
    yield from _edited_functions(module, found)


def _foreign_definitions(module: str, found: Definitions) -> Iterator[str]:
    tops = {*found.classes, *(name for name in found.functions if "." not in name)}
    if module != "__init__" and not tops & OLDER[module]:
        has = f"defines {', '.join(sorted(tops))}" if tops else "defines nothing"
        yield f"{has}, not {', '.join(sorted(OLDER[module]))}"
        return
    for name in sorted(tops - OLDER[module]):
        if not name.startswith("_"):
            yield f"defines {name}, which this package does not have"
    for name in sorted(found.names - _PUBLIC_NAMES):
        if not name.startswith("_"):
            yield f"sets {name}, which this package does not have"
    for name in found.functions:
        owner, _, method = name.partition(".")
        if owner in OLDER[module] and method and not method.startswith("_") and not _have(owner, method):
            yield f"defines {name}(), which this package does not have"


def _have(owner: str, method: str) -> bool:
    return hasattr(StorageBackend, method) or method in _EXTRA.get(owner, ())


def _foreign_parameters(name: str, function: Function) -> Iterator[str]:
    owner, _, method = name.partition(".")
    ours = _CONSTRUCTORS.get(owner) if method == "__init__" else _our_parameters(method)
    theirs = _parameters(function)[1:]
    if ours is None or not method or (method.startswith("_") and method != "__init__"):
        return
    for position, parameter in enumerate(theirs):
        default = parameter.partition("=")[2]
        if position >= len(ours):
            yield f"{name}() takes {parameter}, which this package does not"
        elif default not in ("", "None") and default != ours[position].partition("=")[2]:
            yield f"{name}() takes {parameter}, here it is {ours[position]}"


def _our_parameters(method: str) -> list[str] | None:
    function = getattr(StorageBackend, method, None) if method else None
    if function is None:
        return None
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [each.name if each.default is each.empty else f"{each.name}={each.default!r}" for each in parameters]


def _parameters(function: Function) -> list[str]:
    """Return the parameters with their defaults."""
    places = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(places) - len(function.args.defaults)) + list(function.args.defaults)
    places += function.args.kwonlyargs
    defaults += function.args.kw_defaults
    pairs = zip(places, defaults, strict=True)
    return [place.arg if default is None else f"{place.arg}={ast.unparse(default)}" for place, default in pairs]


def _foreign_imports(found: Definitions) -> Iterator[str]:
    for each in found.imported:
        module, _, name = each.partition(":")
        if module.startswith(("..", "ad_seller.config")):
            continue
        inside = (
            module.removeprefix("ad_seller.storage").removeprefix(".")
            if module.startswith(("ad_seller", "."))
            else None
        )
        if inside is None and module.partition(".")[0] not in _USED:
            yield f"imports {module}"
        elif inside and inside.partition(".")[0] not in _our_modules():
            yield f"hands on {name or 'all'} of {module}: import it from there"
        elif inside == "" and name not in _our_modules() and not hasattr(ad_seller.storage, name):
            yield f"hands on {name}: import it from its module"


def _foreign_texts(module: str, found: Definitions) -> Iterator[str]:
    """Look for a table, a key prefix or a distribution of keys other than ours: the data would not be found."""
    if module == "base":
        known = {*ad_seller.storage.PREFIXES.values(), SESSION_INDEX_PREFIX, "session_index:", "agent_url_index:"}
        for text in sorted(set(found.texts) - known):
            if text.endswith(":") and text.isprintable() and " " not in text:
                yield f"uses the key prefix {text!r}"
    is_sql = module in ("sqlite_backend", "postgres_backend")
    if is_sql and not any("kv_store" in text for text in found.texts):
        yield "does not use the table kv_store: its data would not be found"
    if module == "hybrid_backend":
        prefixes = {text for text in found.texts if text.endswith(":")}
        if prefixes and prefixes != _HYBRID:
            yield f"sends other prefixes to Redis: {', '.join(sorted(prefixes ^ _HYBRID))}"


# --- the releases of the public agent ----------------------------------------------------------------------


@cache
def _released() -> dict[str, dict[str, list[str]]]:
    """Return the fingerprints of all functions, by file and name, that the public agent's releases have had."""
    released: dict[str, dict[str, list[str]]] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return released


def _is_release(module: str, found: Definitions) -> bool:
    released = _released().get(module, {})
    if not found.functions or set(found.classes) - OLDER[module]:
        return False
    same = all(fingerprint(function) in released.get(name, ()) for name, function in found.functions.items())
    return same and not [
        *_foreign_texts(module, found),
        *_foreign_imports(found),
        *_foreign_definitions(module, found),
    ]


def _edited_functions(module: str, found: Definitions) -> Iterator[str]:
    """Tell which functions of a released file were changed; for a file that is no such copy, nothing.

    A copy is a file of whose longer functions at least half are as they were released.
    """
    released = _released().get(module, {})
    longer = [name for name, function in found.functions.items() if statements(function) >= _OWN_WORK]
    same = {name for name, function in found.functions.items() if fingerprint(function) in released.get(name, ())}
    if len(same & set(longer)) * 2 < max(len(longer), 1):
        return
    for name in sorted(set(found.functions) - same):
        yield f"the code of {name}() is not that of a release of the public agent"
