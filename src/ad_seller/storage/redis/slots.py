"""What the nodes of a cluster say about its slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis.crc import key_slot

from ..driver.failures import NotSentError

SLOTS: Final = 16_384

Node = tuple[str, int]

#: What each master says of itself: its ranges of slots, and marks for those that are on their way.
Layout = dict[Node, tuple[str, ...]]


#: Slots that share a lane: so few that a dead master holds up hardly anything but its own slots.
_LANE_SLOTS = 1_024


class UncoveredError(NotSentError):
    """A slot has no master."""


def lane_of(name: str) -> int:
    """Return the lane of a name in Redis: a part of the slots, which stays the same when masters change."""
    return key_slot(name.encode()) // _LANE_SLOTS


def address(host: str, port: int, asked: Node) -> Node:
    """Return where a node is; one without a name or with an unknown one is on the host that was asked."""
    return (asked[0] if host in ("", "?") else host), port


def owners_of(ranges: list[Any], asked: Node) -> dict[int, Node]:
    """Return the master of each slot, from the answer to CLUSTER SLOTS."""
    owners: dict[int, Node] = {}
    for first, last, (host, port, *_), *_ in ranges:
        node = address((host or b"").decode(), int(port), asked)
        owners.update(dict.fromkeys(range(int(first), int(last) + 1), node))
    return owners


def layout_of(texts: dict[Node, str]) -> Layout:
    """Return who owns what, from what each master answers to CLUSTER NODES.

    Raises:
        UncoveredError: a slot has no master.
        NotSentError: one of them is not a master any more.
    """
    layout: Layout = {}
    for node, text in texts.items():
        lines = [line.split() for line in text.splitlines()]
        own = next(line for line in lines if "myself" in line[2])
        if "master" not in own[2]:
            raise NotSentError(f"{node[0]}:{node[1]} is not a master (any more)")
        layout[node] = tuple(own[8:])
        # The first slot may be on its way to a master that owns none yet.
        targets = {mark[1:-1].partition("->-")[2] for mark in own[8:] if "->-" in mark}
        for line in lines:
            if line[0] in targets:
                host, _, port = line[1].partition("@")[0].rpartition(":")
                layout.setdefault(address(host, int(port), node), ())
    missing = SLOTS - _covered([span for slots in layout.values() for span in _spans(slots)])
    if missing:
        raise UncoveredError(f"{missing:,} of {SLOTS:,} slots have no master")
    return layout


def is_moving(layout: Layout) -> bool:
    """Tell whether a slot is on its way."""
    return any(text.startswith("[") for slots in layout.values() for text in slots)


def _spans(slots: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Return first and last slot of each range."""
    for text in slots:
        if not text.startswith("["):
            first, _, last = text.partition("-")
            yield int(first), int(last or first)


def _covered(spans: list[tuple[int, int]]) -> int:
    """Return how many slots the ranges hold; for a moment two masters can name the same."""
    covered, end = 0, -1
    for first, last in sorted(spans):
        covered += max(0, last - max(first - 1, end))
        end = max(end, last)
    return covered
