"""docs/reference.md, made from the docstrings: `python -m tests.api_reference` renews it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import ad_seller.storage as package
from ad_seller.storage import (
    CHANGE_REQUEST_LIFECYCLE,
    ORDER_LIFECYCLE,
    PREFIXES,
    Lease,
    Lifecycle,
    Log,
    Message,
    Outbox,
    StorageBackend,
    StorageError,
    Transaction,
    TransactionLog,
    TransactionOutbox,
)
from tests.docs_samples import ROOT

PAGE = ROOT / "docs" / "reference.md"

GROUPS = {
    "Life": "connect disconnect capabilities",
    "One entry": "get set delete exists ttl expire persist",
    "Several entries": "get_many set_many delete_many keys scan iterate count",
    "Changes that nobody loses": "create compare_and_set get_and_delete increment update transaction transact "
    "run_once lease",
    "Logs and outboxes": "log outbox",
    "Orders and change requests": "transition_order history transition_change_request change_request_history",
    "Sessions of a buyer, agents by URL": "get_buyer_sessions get_buyer_session_ids add_session_to_buyer_index "
    "remove_session_from_buyer_index save_buyer_session delete_buyer_session register_agent unregister_agent "
    "get_agent_id_by_url",
}

_VERBS = ("get", "set", "delete", "update", "list")


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made from the docstrings by `python -m tests.api_reference`."
    yield "[The contract](contract.md) says what holds for all of it."
    told: set[str] = set()
    for title, names in GROUPS.items():
        yield from ("", f"## {title}", "")
        for name in names.split():
            if hasattr(StorageBackend, name):
                told.add(name)
                yield from _entry(f"storage.{name}", inspect.getattr_static(StorageBackend, name))
    yield from _records(told)
    rest = [name for name in _public(StorageBackend) if name not in told]
    if rest:
        yield from ("", "## Further methods", "")
        for name in rest:
            yield from _entry(f"storage.{name}", inspect.getattr_static(StorageBackend, name))
    yield from _class("In a transaction", "tx", Transaction, told)
    yield from _class("A lease", "lease", Lease, set())
    yield from _class("A log", "log", Log, set())
    yield from _class("A log in a transaction", "log", TransactionLog, set())
    yield from _class("An outbox", "outbox", Outbox, set())
    yield from _class("A message of an outbox", "message", Message, set())
    yield from _class("An outbox in a transaction", "outbox", TransactionOutbox, set())
    yield from _lifecycle("The states of an order", ORDER_LIFECYCLE)
    yield from _lifecycle("The states of a change request", CHANGE_REQUEST_LIFECYCLE)
    yield from _audit()
    yield from _functions()
    yield from _errors()


def _public(cls: type) -> list[str]:
    return [name for name in dir(cls) if not name.startswith("_") and not hasattr(object, name)]


def _entry(name: str, member: Any) -> Iterator[str]:
    function = member.fget if isinstance(member, property) else member
    head = name if isinstance(member, property) else f"{name}{_signature(function)}"
    awaited = "await " if inspect.iscoroutinefunction(function) else ""
    yield from (f"### `{name.rpartition('.')[2]}`", "", "```text", *_wrapped(f"{awaited}{head}"), "```", "")
    yield from _text(function)
    yield ""


def _wrapped(head: str) -> list[str]:
    return textwrap.wrap(head, 110, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _signature(function: Any) -> str:
    text = str(inspect.signature(function))
    text = re.sub(r"\bself(, )?", "", text, count=1)
    text = re.sub(r"<(\w+)\.(\w+): [^>]*>", r"\2", text)
    return text.replace("'", "")


def _text(member: Any) -> list[str]:
    found = inspect.getdoc(member) or ""
    found = re.sub(r"^(Args|Returns|Raises|Attributes|Yields):$", r"\n**\1**\n", found, flags=re.MULTILINE)
    lines = [re.sub(r"^    (\S[^:]*): ", r"- \1: ", line) for line in found.splitlines()]
    lines = [re.sub(r"^    +", "  ", line) for line in lines]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return re.sub(r"``([^`]+)``", r"`\1`", text).splitlines()


def _records(told: set[str]) -> Iterator[str]:
    yield from ("", "## Records", "", "A helper for each kind of record; `tx` has them, too.", "")
    yield from ("| kind | key | methods |", "|---|---|---|")
    for kind, prefix in PREFIXES.items():
        own = [name for name in _public(StorageBackend) if re.fullmatch(rf"({'|'.join(_VERBS)})_{kind}s?", name)]
        own.sort(key=lambda name: _VERBS.index(name.partition("_")[0]))
        told.update(own)
        calls = ", ".join(f"`{name}{_plain(getattr(StorageBackend, name))}`" for name in own)
        yield f"| {kind.replace('_', ' ')} | `{prefix}{{id}}` | {calls} |"


def _plain(function: Any) -> str:
    """Return the parameters by name alone, with defaults."""
    parts = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        parts.append(f"{parameter.name}{default}")
    return f"({', '.join(parts)})"


def _class(title: str, name: str, cls: type, known: set[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", *_text(cls), "")
    for method in _public(cls):
        member = inspect.getattr_static(cls, method)
        if method in known and getattr(member, "__qualname__", "").partition(".")[0] != "PlainTransaction":
            continue
        yield from _entry(f"{name}.{method}", member)


def _lifecycle(title: str, lifecycle: Lifecycle) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| status | what may follow |", "|---|---|")
    for status, following in lifecycle.transitions.items():
        yield f"| `{status}` | {', '.join(f'`{name}`' for name in following) or 'nothing: it is an end'} |"


def _audit() -> Iterator[str]:
    yield from (
        "",
        "Each step appends one entry to the record's `audit_log.transitions`: `transition_id`, `from_status`,",
        "`to_status`, `timestamp` (UTC, ISO 8601 without offset), `actor`, `reason`, `metadata`.",
    )


def _functions() -> Iterator[str]:
    yield from ("", "## Functions", "")
    for name in (
        "get_storage",
        "close_storage",
        "get_storage_backend",
        "open_url",
        "register_backend",
        "backend_names",
    ):
        yield from _entry(f"ad_seller.storage.{name}", getattr(package, name))


def _errors() -> Iterator[str]:
    yield from ("", "## Errors", "", "| error | what it means |", "|---|---|")
    for name in package.__all__:
        found = getattr(package, name)
        if isinstance(found, type) and issubclass(found, StorageError):
            yield f"| `{name}` | {_text(found)[0]} |"


if __name__ == "__main__":
    PAGE.write_text(page())
