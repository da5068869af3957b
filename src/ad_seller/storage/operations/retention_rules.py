"""Rules of what is removed when, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from ..errors import InvalidArgumentError, shown
from ..records.codec import encode
from ..records.keys import check_key
from ..records.several import all_of_kind
from ..seller.log_entries import LogForm
from ..seller.outbox_entries import OutboxForm
from .fields import Place, first_refused, is_period, period_of, place_of, shown_period, values_at
from .holds import out_of_reach
from .rule_files import rules_in


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What is removed when.

    Attributes:
        name: for reports.
        prefix: of the keys.
        log: the name of a log, in place of a prefix.
        outbox: the name of an outbox, in place of a prefix: of its messages those that were set aside; what waits
            is never removed, and what was delivered is gone.
        by: the fields that the log is read by, as its users declare them.
        since: the field of a record that holds the time from which its age counts, e.g. of its completion. A
            record without such a time is kept. Not for logs and outboxes: their ids hold it.
        older_than: seconds; what is older is removed.
        keep_newest: in place of an age: so many are kept.
        minimum_age: seconds; what is younger is kept, however many there are.
        where: fields of records, and the values of which they must hold one; others are kept.
    """

    name: str
    prefix: str = ""
    log: str = ""
    outbox: str = ""
    by: tuple[str, ...] = ()
    since: str = ""
    older_than: float | None = None
    keep_newest: int | None = None
    minimum_age: float = 0.0
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def keys(self) -> str:
        """With what the keys begin that the rule is about."""
        if self.outbox:
            return OutboxForm.of(self.outbox).failed_prefix
        return LogForm.of(self.log, self.by).prefix if self.log else self.prefix

    def wants(self, record: Any) -> bool:
        """Tell whether a record is one that the rule is about."""
        return all(
            any(found in values for found in values_at(record, place_of(name, "where")))
            for name, values in self.where.items()
        )

    @property
    def place(self) -> Place:
        """Where the time is."""
        return place_of(self.since, "since")


def read_rules(path: Path) -> list[RetentionRule]:
    """Read the rules of a TOML or JSON file: a list named ``rules``; periods are seconds, or text such as ``30d``.

    Raises:
        InvalidArgumentError: it holds something else, or rules that contradict each other.
        OSError: it cannot be read.
    """
    return check_rules(rule_of(one) for one in rules_in(path))


def rule_of(data: object) -> RetentionRule:
    """Make a rule of what a file says.

    Raises:
        InvalidArgumentError: a name that is not known, or a value that is none.
    """
    known = {each.name for each in fields(RetentionRule)}
    if not isinstance(data, dict) or not data.keys() <= known or not isinstance(data.get("name"), str):
        raise InvalidArgumentError(f"A rule has a name and some of {', '.join(sorted(known))}; got {shown(data)}")
    name, periods = data["name"], {}
    for each in ("older_than", "minimum_age"):
        if each in data:
            periods[each] = period_of(data[each], f"{each} of the rule {name!r}")
    where = data.get("where", {})
    if not isinstance(where, dict):
        raise InvalidArgumentError(f"where of the rule {name!r} is fields and their values, not {shown(where)}")
    many = {place: tuple(one) if isinstance(one, list) else (one,) for place, one in where.items()}
    by = data.get("by", ())
    return RetentionRule(**{**data, **periods, "where": many, "by": tuple(by) if isinstance(by, list) else by})


def check_rules(rules: Iterable[RetentionRule]) -> list[RetentionRule]:
    """Return the rules if each is complete and no two contradict each other.

    Raises:
        InvalidArgumentError: says which rule, and what to do.
    """
    found = list(all_of_kind("Rules", rules, RetentionRule))
    for rule in found:
        problem = _problem(rule)
        if problem is not None:
            raise InvalidArgumentError(f"The rule {shown(rule.name)} {problem}")
    for one, other in combinations(found, 2):
        if one.name == other.name:
            raise InvalidArgumentError(f"Two rules are called {one.name!r}; reports could not tell them apart")
        if (one.keys.startswith(other.keys) or other.keys.startswith(one.keys)) and not _disjoint(one, other):
            raise InvalidArgumentError(
                f"The rules {one.name!r} and {other.name!r} contradict each other: both are about keys that begin "
                f"with {max(one.keys, other.keys, key=len)!r}. Make one of them, or give both a where with "
                "the same field and different values"
            )
    return found


def _problem(rule: RetentionRule) -> str | None:
    """Return what is wrong with a rule by itself."""
    if not isinstance(rule.name, str) or not rule.name:
        return "has no name"
    if (problem := _misfit(rule)) is not None:
        return problem
    if [bool(rule.prefix), bool(rule.log), bool(rule.outbox)].count(True) != 1:
        return "needs a prefix of keys, or the name of a log or an outbox; without any it would be about everything"
    if (problem := _unfit(rule) or out_of_reach(rule.keys)) is not None:
        return problem
    if (rule.older_than is None) == (rule.keep_newest is None):
        return "needs older_than or keep_newest, one of the two"
    count = rule.keep_newest
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
        return f"has keep_newest={shown(count)}, which is no whole number of 0 or more"
    if rule.older_than is not None and rule.older_than < rule.minimum_age:
        return (
            f"contradicts itself: it removes what is older than {shown_period(rule.older_than)}, and keeps what is "
            f"younger than {shown_period(rule.minimum_age)}"
        )
    if rule.log and rule.where:
        return "is about a log, which is trimmed up to a time: it takes no where"
    if rule.since and not rule.prefix:
        return "is about ids that hold the time: it takes no since"
    if rule.by and not rule.log:
        return "has by=, which is for logs"
    if rule.prefix:
        return first_refused([("since", rule.since, lambda: rule.place)])
    return None


def _misfit(rule: RetentionRule) -> str | None:
    """Return which part of a rule is of another type than it should be: a file, and a program, can say anything."""
    for name in ("prefix", "log", "outbox", "since"):
        if not isinstance(value := getattr(rule, name), str):
            return f"has {name}={shown(value)}, which is no text"
    if not isinstance(rule.by, tuple | list) or not all(isinstance(one, str) for one in rule.by):
        return f"has by={shown(rule.by)}, which is no list of fields"
    if not isinstance(rule.where, Mapping) or not all(isinstance(one, tuple | list) for one in rule.where.values()):
        return f"has where={shown(rule.where)}, which is no fields with a list of values each"
    for name in ("older_than", "minimum_age"):
        value = getattr(rule, name)
        if (value is not None or name == "minimum_age") and not is_period(value):
            return f"has {name}={shown(value)}, which is no number of seconds"
    return None


def _unfit(rule: RetentionRule) -> str | None:
    """Return which part of a rule no key can fit, or no record."""

    def places() -> None:
        for name in rule.where:
            place_of(name, "where")

    about = next(name for name in ("prefix", "log", "outbox") if getattr(rule, name))
    return first_refused(
        [
            ("name", rule.name, lambda: encode(rule.name)),
            (about, getattr(rule, about), lambda: check_key(replace(rule, by=()).keys)),
            ("by", rule.by, lambda: LogForm.of("log", rule.by)),
            ("where", rule.where, places),
        ]
    )


def _disjoint(one: RetentionRule, other: RetentionRule) -> bool:
    """Tell whether no record can be meant by both: they want different values of one field."""
    return any(
        name in other.where and not any(value in other.where[name] for value in values)
        for name, values in one.where.items()
    )
