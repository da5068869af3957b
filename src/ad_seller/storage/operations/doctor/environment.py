"""The settings of this process: which of them nobody reads, and which contradict each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from ...base import StorageBackend
from ...errors import ConfigurationError, MissingDependencyError, redact
from ...factory import get_storage_backend, open_url
from ...registry import backend_names
from ...settings import DATABASE_PASSWORDS, DEFAULT_DATABASE_URL, read_variables
from .findings import Finding
from .variables import nearest_setting, read_elsewhere


def examine_settings(
    url: str | None = None, *, namespace: str | None = None
) -> tuple[list[Finding], StorageBackend | None]:
    """Look at the environment and ``.env``, and make the store that they name.

    Args:
        url: of a store; then only the options among the settings count.
        namespace: whose entries are to be looked at; None for what the URL or the settings say.

    Returns:
        What was found, and the store, not connected; None if none can be made, which is among the findings.
    """
    found: list[Finding] = []
    try:
        variables = read_variables()
        found += _unread(variables)
        if url is None:
            found += _contradictions(variables)
        # Looking makes no store where there is none.
        if url is None:
            return found, get_storage_backend(create=False, namespace=namespace)
        return found, open_url(url, create=False, namespace=namespace)
    except MissingDependencyError as error:
        found.append(Finding("driver-missing", redact(str(error))))
    except ConfigurationError as error:
        found.append(Finding("configuration-refused", redact(str(error))))
    return found, None


def _unread(variables: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(variables):
        if name == "STORAGE_BACKEND":
            yield Finding("setting-unread", f"STORAGE_BACKEND={variables[name]}", "the environment")
        elif not read_elsewhere(name):
            near = nearest_setting(name)
            hint = f"; is {near} meant?" if near else ""
            yield Finding("variable-unread", f"Nobody reads {name}{hint}", "the environment")


def _contradictions(variables: Mapping[str, str]) -> Iterator[Finding]:
    where = "the environment"
    kind = variables.get("STORAGE_TYPE", "sqlite").lower()
    database = variables.get("DATABASE_URL", DEFAULT_DATABASE_URL)
    if kind not in backend_names():
        yield Finding("type-unknown", f"STORAGE_TYPE={kind}", where)
    if "REDIS_URL" in variables and kind in ("sqlite", "postgres", "memory"):
        yield Finding("redis-url-unused", f"REDIS_URL is set, and STORAGE_TYPE is {kind}", where)
    if kind == "memory" and workers() > 1:
        yield Finding("memory-shared", f"STORAGE_TYPE=memory with {workers()} workers (WEB_CONCURRENCY)", where)
    if (
        kind in ("postgres", "hybrid")
        and _lacks_password(database)
        and not variables.keys() & {*DATABASE_PASSWORDS}
    ):
        yield Finding("url-without-password", f"{redact(database)}, and no password is set", where)


def _lacks_password(url: str) -> bool:
    login, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at) and ":" not in login and "password=" not in url


def workers() -> int:
    """Return how many processes serve the agent, as far as WEB_CONCURRENCY says; else 1."""
    text = os.environ.get("WEB_CONCURRENCY", "").strip()
    return int(text) if text.isdecimal() and int(text) else 1
