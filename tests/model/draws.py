"""Keys, values, patterns and times for the state machine: few enough to meet again, odd enough to hurt."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.json_values import values as any_values

KEYS = [
    "a",
    "a:1",
    "a:10",
    "a:2",
    "A:1",
    "a:*",
    "a:[1]",
    "a%_b",
    "a\\b",
    "a\n",
    "a\u0001",
    "\u00e9:1",
    "\uffff",
    "\U0001f600",
    "session:1",
    "session:2",
    "cache:x",
    "order:1",
    "order:2",
    "quote:1",
    "deal:1",
]

#: Keys that every backend can commit together: of one prefix, so on one side of a hybrid.
TOGETHER = ["deal:1", "deal:2", "deal:3", "deal:\u00e9"]

keys = st.sampled_from(KEYS)
together = st.sampled_from(TOGETHER)

plain_values = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        1.0,
        -0.0,
        1e22,
        2**64,
        "",
        "x",
        "1",
        "\0",
        "\u2028",
        [],
        {},
        [1],
        [True],
        {"b": 1, "a": 2},
    ]
)
values = st.one_of(plain_values, plain_values, any_values)

#: Multiples of a power of two, so that sums of seconds are exact.
ttls = st.sampled_from([None, None, None, 0.25, 1, 1.5, 60, 86_400])
long_ttls = st.sampled_from([None, None, 3600, 7200.5, 86_400])

patterns = st.one_of(
    st.sampled_from(
        ["*", "a*", "a:*", "a:?", "?", "[aA]:1", "a:\\*", "order:*", "*1", "a:[[]1]", "", "session:*", "[^a]*"]
    ),
    keys,
    st.lists(st.sampled_from(["a", ":", "1", "*", "?", "[a-z]", "[!a]", "\\*", "["]), max_size=4).map("".join),
)

# --- records for filtered listings -------------------------------------------------------------------------

fields: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "booked",
        "booked ",
        "BOOKED",
        "",
        "a\0b",
        "\u00e9",
        "e\u0301",
        "x" * 3000,
        "1",
        "true",
        1,
        1.0,
        0,
        True,
        False,
        2**70,
        [],
        {},
        ["booked"],
    ]
)
records: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"status": fields}),
    st.fixed_dictionaries({}, optional={"status": fields, "buyer_id": fields, "order_id": fields, "n": values}),
    st.fixed_dictionaries({"product": st.one_of(fields, st.fixed_dictionaries({"product_id": fields}))}),
    plain_values,
)
record_ids = st.sampled_from(["1", "2", "3", "4", "\u00e9"])

#: For each kind of record: its prefix, and where the field of each filter stands.
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "order": {"status": ("status",)},
    "quote": {"status": ("status",), "buyer_id": ("buyer_id",), "product_id": ("product", "product_id")},
    "change_request": {"order_id": ("order_id",), "status": ("status",)},
}
kinds = st.sampled_from(sorted(PLACES))


@st.composite
def filters(draw: st.DrawFn, kind: str, known: list[Any]) -> dict[str, Any] | None:
    """Draw what a listing of ``kind`` can be asked for; mostly for what one of the ``known`` records holds."""
    asked: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(sorted(PLACES[kind])), min_size=1, max_size=2, unique=True)):
        held = [found for record in known if (found := _held(record, PLACES[kind][name])) is not None]
        asked[name] = draw(st.one_of(fields, st.sampled_from(held)) if held else fields)
    return asked if draw(st.integers(0, 9)) else draw(st.sampled_from([None, {}]))


def _held(record: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


# --- steps of a transaction ----------------------------------------------------------------------------------

steps = st.one_of(
    st.tuples(st.just("get"), together),
    st.tuples(st.just("exists"), together),
    st.tuples(st.just("set"), together, values, long_ttls),
    st.tuples(st.just("delete"), together),
    st.tuples(st.just("create"), together, values, long_ttls),
    st.tuples(st.just("keep"), together, values),
    st.tuples(st.just("update"), together, st.sampled_from(["leave", "delete", "new"])),
)
