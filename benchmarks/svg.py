"""Plots as SVG text: panels with lines on logarithmic axes, and bars. Readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Told apart by colour-blind readers too, and by both backgrounds (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "4 4", "1 3", "10 4", "3 2")

_STYLE = """
<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .panel { font-weight: 600; }
  .small { font-size: 11px; fill: #57606a; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9da7b3; }
    .grid { stroke: #3d444d; }
  }
</style>
"""


@dataclass(frozen=True)
class Line:
    """One contender's points: x and y, both positive."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Bar:
    """One number, and what is written beside it."""

    label: str
    number: float
    note: str
    strong: bool = False


def growth_plot(title: str, panels: Sequence[Panel], *, x: str, y: str) -> str:
    """Panels side by side, three in a row, both axes logarithmic and common to all."""
    width, height, columns = 300, 210, 3
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    colours = {label: (COLOURS[i % len(COLOURS)], _DASHES[i % len(_DASHES)]) for i, label in enumerate(labels)}
    rows = max(1, math.ceil(len(panels) / columns))
    parts = [_text(16, 24, title, "title"), _text(16, 42, f"x: {x}; y: {y}; both logarithmic", "small")]
    parts += [
        _panel(panel, 16 + i % columns * (width + 16), 58 + i // columns * (height + 20), width, height, colours)
        for i, panel in enumerate(panels)
    ]
    at = 16.0
    bottom = 58 + rows * (height + 20)
    for label, (colour, dash) in colours.items():
        parts.append(_line([(at, bottom), (at + 26, bottom)], colour, dash))
        parts.append(_text(at + 32, bottom + 4, label))
        at += 52 + 7 * len(label)
    return _document(columns * (width + 16) + 16, bottom + 20, parts)


def _panel(
    panel: Panel, left: float, top: float, width: float, height: float, colours: dict[str, tuple[str, str]]
) -> str:
    points = [point for line in panel.lines for point in line.points]
    parts = [_text(left + 44, top + 12, panel.title, "panel")]
    if not points:
        return "".join([*parts, _text(left + 44, top + 60, "not measured", "small")])
    xs, ys = decades(point[0] for point in points), decades(point[1] for point in points)
    box = (left + 44, top + 22, width - 56, height - 48)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return (
            box[0] + box[2] * _share(point[0], xs),
            box[1] + box[3] * (1 - _share(point[1], ys)),
        )

    for number in xs:
        at = place((number, ys[0]))[0]
        parts.append(_rule(at, box[1], at, box[1] + box[3]))
        parts.append(_text(at, box[1] + box[3] + 15, short(number), "small", "middle"))
    for number in ys:
        at = place((xs[0], number))[1]
        parts.append(_rule(box[0], at, box[0] + box[2], at))
        parts.append(_text(box[0] - 6, at + 4, short(number), "small", "end"))
    for line in panel.lines:
        parts.append(_line([place(point) for point in line.points], *colours[line.label]))
        parts += [_dot(place(point), colours[line.label][0]) for point in line.points]
    return "".join(parts)


def bar_plot(title: str, subtitle: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Groups of horizontal bars, each group with a scale of its own from 0 to its longest bar."""
    labels, full, line = 210, 420, 18
    parts = [_text(16, 24, title, "title"), _text(16, 42, subtitle, "small")]
    top = 66.0
    for name, bars in groups:
        parts.append(_text(16, top, name, "panel"))
        longest = max((bar.number for bar in bars), default=0) or 1
        for bar in bars:
            top += line
            width = full * bar.number / longest
            colour = COLOURS[0] if bar.strong else COLOURS[-1]
            parts.append(_text(labels, top, bar.label, "", "end"))
            parts.append(
                f'<rect x="{labels + 8}" y="{top - 10:.1f}" width="{max(width, 1):.1f}" height="12" rx="2" '
                f'fill="{colour}"/>'
            )
            parts.append(_text(labels + 14 + width, top, bar.note, "small"))
        top += 30
    return _document(labels + full + 150, top, parts)


def decades(numbers: object) -> list[float]:
    """The powers of ten from below the smallest number to above the largest; two at least."""
    found = list(numbers)  # type: ignore[call-overload]
    low, high = math.floor(math.log10(min(found)) + 1e-9), math.ceil(math.log10(max(found)) - 1e-9)
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def short(number: float) -> str:
    """1k, 20k, 1M, 0.1."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def _share(number: float, scale: list[float]) -> float:
    low, high = math.log10(scale[0]), math.log10(scale[-1])
    return (math.log10(number) - low) / (high - low)


def _document(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">{_STYLE}' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _line(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line" points="{places}" stroke="{colour}" stroke-dasharray="{dash}"/>'


def _dot(place: tuple[float, float], colour: str) -> str:
    return f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3" fill="{colour}"/>'
