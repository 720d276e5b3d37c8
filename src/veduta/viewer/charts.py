"""Line charts as inline SVG: axes, ticks, and the points themselves for the page's hover."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from veduta.viewer.markup import safe

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 250
"""Units of the view box; the page scales it to its column."""
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 14, 30
"""Margins around the plot, in the same units."""
MAX_POINTS = 600
"""Longer series are thinned to about this many points; the first and the last always stay."""
SMOOTH_SHARE = 25
"""A smoothed line takes the median over 1/25 of the points."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: points in order of x, finite values only."""

    name: str
    points: tuple[Point, ...]
    noisy: bool = False
    """Draw the points faintly, and their moving median over them."""
    marked: bool = False
    """Draw a dot at each point."""
    reference: bool = False
    """Draw it dashed and quietly: what the others are to be held against."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One pair of axes, over optimisation steps unless said otherwise."""

    title: str
    series: tuple[Series, ...]
    log: bool = False
    """Logarithmic y axis; values <= 0 are left out."""
    from_zero: bool = False
    """The y axis starts at 0."""
    unit: str = ""
    digits: int = 2
    """Digits after the point in the hover's numbers."""
    over: str = "optimisation steps"
    """What x is, in words; charts over the same are read together."""
    at: str = "step {}"
    """How a place on the x axis is told, with its whole number for {}."""
    span: tuple[float, float] | None = None
    """The y axis's ends; None fits it to the points."""
    note: str = ""
    """What is told while nothing is pointed at; the last values unless given."""
    caption: str = ""
    """How to read it."""


def finite(points: Sequence[Point], *, positive: bool = False) -> tuple[Point, ...]:
    """The points that can be drawn: finite, and y > 0 where ``positive``."""
    return tuple((x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or not positive))


def thin(points: tuple[Point, ...], most: int = MAX_POINTS) -> tuple[Point, ...]:
    """At most ``most`` points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return points
    last = len(points) - 1
    return tuple(points[round(i * last / (most - 1))] for i in range(most))


def smooth(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Moving median of y, over the part of its window that there is at both ends; single outliers leave no trace."""
    reach = len(points) // SMOOTH_SHARE // 2 + 1
    ys = [y for _, y in points]
    return tuple((x, median(ys[max(0, i - reach) : i + reach + 1])) for i, (x, _) in enumerate(points))


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that lie within [low, high], about ``count`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within [low, high]; only the powers where there are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low * 0.999 <= m * 10.0**e <= high * 1.001]
    return ticks if len(ticks) <= 7 else [t for t in ticks if f"{t:e}".startswith("1.")]


def short(value: float) -> str:
    """A tick's label: 0.05, 27.5, 1,500 -> 1.5k, 2,000,000 -> 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def chart_svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element, readable without scripts; ``""`` where no series has two points."""
    series = [(s, thin(finite(s.points, positive=chart.log))) for s in chart.series]
    drawn = [(s, points) for s, points in series if points]
    if not any(len(points) > 1 for _, points in drawn):
        return ""
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    x_low, x_high = min(0.0, *xs), max(xs)
    y_low, y_high = _y_range(ys, chart)
    to_x = _scale(x_low, x_high, LEFT, WIDTH - RIGHT, log=False)
    to_y = _scale(y_low, y_high, HEIGHT - BOTTOM, TOP, log=chart.log)
    parts = [_axes(chart, to_x, to_y, (x_low, x_high), (y_low, y_high))]
    parts += [_line(i, s, points, to_x, to_y) for i, (s, points) in enumerate(drawn)]
    hover = {
        "x": [x_low, x_high],
        "plot": [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM],
        "digits": chart.digits,
        "unit": chart.unit,
        "over": chart.over,
        "told": chart.at,
        "series": [
            {
                "name": s.name,
                "kind": _kind(i, s),
                "points": points,
                "at": [[_r(to_x(x)), _r(to_y(y))] for x, y in points],
            }
            for i, (s, points) in enumerate(drawn)
        ],
    }
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
        f'aria-label="{safe(f"{chart.title} over {chart.over}; {ending(chart)}.")}" '
        f'data-chart="{safe(json.dumps(hover, separators=(",", ":")))}">{"".join(parts)}'
        f'<g class="hover" hidden><line y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></g></svg>'
    )


def chart_card(chart: Chart) -> str:
    """The chart with its title, legend and readout; ``""`` where there is nothing to draw."""
    drawn = chart_svg(chart)
    if not drawn:
        return ""
    keys = [(_kind(i, s), s.name) for i, s in enumerate(s for s in chart.series if s.points)]
    legend = "".join(f'<span class="key {kind}">{safe(name)}</span>' for kind, name in keys) if len(keys) > 1 else ""
    unit = chart.unit and f",{chart.unit}"
    scale = '<span class="quiet">log scale</span>' if chart.log else ""
    caption = f'<p class="caption quiet">{safe(chart.caption)}</p>' if chart.caption else ""
    return (
        f'<div class="card"><h3>{safe(chart.title + unit)}</h3>'
        f'<div class="legend">{legend}{scale}</div>{drawn}'
        f'<output class="readout" aria-live="off">{safe(ending(chart))}</output>{caption}</div>'
    )


def ending(chart: Chart) -> str:
    """The chart's note; without one the last values in words, a noisy series by its median near the end."""
    if chart.note:
        return chart.note
    last: list[str] = []
    for s in chart.series:
        points = thin(finite(s.points, positive=chart.log))
        if points:
            value = (smooth(points) if s.noisy else points)[-1][1]
            name = f"{s.name} " if len(chart.series) > 1 else ""
            last.append(f"{name}{value:,.{chart.digits}f}{chart.unit}")
    return f"last: {', '.join(last)}"


def _y_range(ys: list[float], chart: Chart) -> tuple[float, float]:
    low, high = min(ys), max(ys)
    if chart.span is not None:
        return chart.span
    if chart.log:
        return low / 1.1, high * 1.1
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if chart.from_zero and low >= 0 else low - pad), high + pad


def _scale(low: float, high: float, start: float, end: float, *, log: bool) -> Callable[[float], float]:
    a, b = (math.log(low), math.log(high)) if log else (low, high)
    span = b - a or 1.0
    return lambda value: start + (end - start) * ((math.log(value) if log else value) - a) / span


def _kind(index: int, series: Series) -> str:
    """The classes of a series' line, dots and key."""
    return f"s{index} reference" if series.reference else f"s{index}"


def _r(value: float) -> float:
    return round(value, 1)


def _axes(
    chart: Chart,
    to_x: Callable[[float], float],
    to_y: Callable[[float], float],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> str:
    parts: list[str] = []
    for tick in log_ticks(*y_range) if chart.log else nice_ticks(*y_range):
        y = _r(to_y(tick))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y}" dy="0.32em" text-anchor="end">{short(tick)}</text>')
    floor = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    for tick in nice_ticks(*x_range, count=4):
        x = _r(to_x(tick))
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{floor}" y2="{floor + 4}"/>')
        anchor = "end" if x > WIDTH - RIGHT - 8 else "middle"
        shift = WIDTH - RIGHT + 2 if anchor == "end" else x
        parts.append(f'<text class="tick" x="{shift}" y="{floor + 17}" text-anchor="{anchor}">{short(tick)}</text>')
    return "".join(parts)


def _line(
    index: int,
    series: Series,
    points: tuple[Point, ...],
    to_x: Callable[[float], float],
    to_y: Callable[[float], float],
) -> str:
    kind = _kind(index, series)

    def path(chosen: tuple[Point, ...], weight: str) -> str:
        at = " ".join(f"{_r(to_x(x))},{_r(to_y(y))}" for x, y in chosen)
        return f'<polyline class="{weight} {kind}" points="{at}"/>'

    line = smooth(points) if series.noisy else points
    faint = path(points, "faint") if series.noisy else ""
    dots = "".join(
        f'<circle class="dot {kind}" cx="{_r(to_x(x))}" cy="{_r(to_y(y))}" r="3"/>'
        for x, y in (line if series.marked else () if series.reference else line[-1:])
    )
    return faint + path(line, "line") + dots
