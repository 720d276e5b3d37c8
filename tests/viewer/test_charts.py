"""Charts: ticks are round and inside, every logged point is drawn and can be read off."""

from __future__ import annotations

import itertools
import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veduta.viewer.charts import MAX_POINTS, Chart, Series, chart_svg, finite, log_ticks, nice_ticks, smooth, thin

VALUES = st.floats(-1e6, 1e6)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hover_of(svg: str) -> dict:
    attributes = next(attrs for tag, attrs in Tags(svg).found if tag == "svg")
    return json.loads(attributes["data-chart"] or "")


def one(points: tuple[tuple[float, float], ...], **settings) -> Chart:
    return Chart(title="Loss", series=(Series(name="loss", points=points),), **settings)


@given(VALUES, st.floats(1e-3, 1e6))
def test_ticks_lie_inside_at_even_round_distances(low: float, span: float):
    high = low + span
    ticks = nice_ticks(low, high)
    slack = 1e-6 * span
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    gaps = {round((b - a) / (high - low), 6) for a, b in itertools.pairwise(ticks)}
    assert len(gaps) <= 1
    assert 2 <= len(ticks) <= 8


def test_ticks_of_a_flat_range_are_that_value():
    assert nice_ticks(3.0, 3.0) == [3.0]


@given(st.floats(1e-6, 1e3), st.floats(2.0, 1e6))
def test_logarithmic_ticks_lie_inside(low: float, factor: float):
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in log_ticks(low, low * factor))


@given(st.lists(st.tuples(VALUES, VALUES), max_size=2 * MAX_POINTS))
def test_thinning_keeps_the_ends_and_the_bound(points: list[tuple[float, float]]):
    kept = thin(tuple(points), most=50)
    assert len(kept) <= max(50, 0)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert set(kept) <= set(points)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200))
def test_smoothing_stays_within_the_values_and_keeps_constants(ys: list[float]):
    smoothed = smooth(tuple(enumerate(ys)))
    assert [x for x, _ in smoothed] == list(range(len(ys)))
    assert min(ys) - 1e-9 <= min(y for _, y in smoothed) <= max(y for _, y in smoothed) <= max(ys) + 1e-9
    assert smooth(tuple((x, 4.0) for x in range(9))) == tuple((x, 4.0) for x in range(9))


def test_a_single_outlier_leaves_no_trace_in_a_smoothed_line():
    ys = [1.0] * 30
    ys[14] = 50.0
    assert {y for _, y in smooth(tuple(enumerate(ys)))} == {1.0}


def test_every_logged_point_can_be_read_and_is_drawn_where_it_belongs():
    points = ((0.0, 1.0), (50.0, 0.4), (100.0, 0.2))
    hover = hover_of(chart_svg(one(points)))
    series = hover["series"][0]
    assert [tuple(p) for p in series["points"]] == list(points)
    left, right, top, bottom = hover["plot"]
    assert [x for x, _ in series["at"]] == [left, (left + right) / 2, right]
    heights = [y for _, y in series["at"]]
    assert heights == sorted(heights), "smaller values lie lower"
    assert all(top <= y <= bottom for y in heights)


@pytest.mark.parametrize("log", [False, True])
def test_values_that_cannot_be_drawn_are_left_out(log: bool):
    points = ((0.0, math.nan), (1.0, 2.0), (2.0, math.inf), (3.0, -1.0), (4.0, 1.0))
    drawn = hover_of(chart_svg(one(points, log=log)))["series"][0]["points"]
    assert drawn == ([[1.0, 2.0], [4.0, 1.0]] if log else [[1.0, 2.0], [3.0, -1.0], [4.0, 1.0]])
    assert all(math.isfinite(y) for _, y in finite(points))


def test_without_two_points_there_is_nothing_to_draw():
    assert chart_svg(one(())) == ""
    assert chart_svg(one(((1.0, 2.0),))) == ""


def test_a_chart_tells_screen_readers_what_it_shows():
    svg = chart_svg(one(((0.0, 1.0), (10.0, 0.25)), digits=3))
    attributes = next(attrs for tag, attrs in Tags(svg).found if tag == "svg")
    assert attributes["role"] == "img"
    assert "Loss" in (attributes["aria-label"] or "")
    assert "0.250" in (attributes["aria-label"] or "")


def test_names_in_a_chart_are_escaped():
    series = Series(name='"><script>alert(1)</script>', points=((0.0, 1.0), (1.0, 2.0)))
    svg = chart_svg(Chart(title="<b>", series=(series, series)))
    assert {tag for tag, _ in Tags(svg).found} <= {"svg", "line", "text", "polyline", "circle", "g"}
