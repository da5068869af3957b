"""The plots are well-formed SVG, and show what they are given."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.svg import Bar, Line, Panel, bar_plot, decades, growth_plot, short

SVG = "{http://www.w3.org/2000/svg}"


def growth() -> ElementTree.Element:
    line = Line("a <b> & c", [(1_000, 10.0), (10_000, 12.0), (100_000, 100.0)])
    other = Line("other", [(1_000, 1.0), (100_000, 5_000.0)])
    return ElementTree.fromstring(growth_plot("T", [Panel("get", [line, other]), Panel("set", [])], x="n", y="us"))


class TestGrowth:
    def test_has_a_line_for_each_contender_and_a_key(self) -> None:
        texts = [text.text for text in growth().iter(f"{SVG}text")]
        assert "a <b> & c" in texts
        assert "other" in texts
        assert "not measured" in texts
        assert len(list(growth().iter(f"{SVG}polyline"))) == 2 + 2  # in the panel and in the key

    def test_equal_factors_are_equal_distances(self) -> None:
        points = next(growth().iter(f"{SVG}polyline")).attrib["points"].split()
        xs = [float(point.split(",")[0]) for point in points]
        assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)

    def test_higher_costs_are_higher_up(self) -> None:
        points = next(growth().iter(f"{SVG}polyline")).attrib["points"].split()
        ys = [float(point.split(",")[1]) for point in points]
        assert ys[0] > ys[1] > ys[2]

    def test_everything_lies_inside(self) -> None:
        root = growth()
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for dot in root.iter(f"{SVG}circle"):
            assert 0 < float(dot.attrib["cx"]) < width
            assert 0 < float(dot.attrib["cy"]) < height

    def test_is_readable_on_dark_pages(self) -> None:
        assert "prefers-color-scheme: dark" in growth_plot("T", [], x="n", y="us")


class TestBars:
    def test_are_as_long_as_their_numbers_say(self) -> None:
        bars = [Bar("ours", 200.0, "200", strong=True), Bar("other", 50.0, "50"), Bar("none", 0.0, "0")]
        root = ElementTree.fromstring(bar_plot("T", "t", [("get", bars)]))
        widths = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect")]
        assert widths == [420.0, 105.0, 1.0]


class TestScales:
    @pytest.mark.parametrize(
        ("numbers", "expected"),
        [([1_000, 100_000], [1e3, 1e4, 1e5]), ([3, 20], [1, 10, 100]), ([10], [10, 100]), ([0.5], [0.1, 1])],
    )
    def test_decades_enclose(self, numbers: list[float], expected: list[float]) -> None:
        assert decades(numbers) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("number", "text"), [(1_000, "1k"), (1e6, "1M"), (100_000, "100k"), (10, "10"), (0.1, "0.1")]
    )
    def test_numbers_are_short(self, number: float, text: str) -> None:
        assert short(number) == text
