"""What a report says, as plain values: the page lays them out and knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from veduta.viewer.charts import Chart


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the large numbers at the top."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one held-out photograph was predicted; None where unknown."""

    name: str
    psnr: float | None
    ssim: float | None
    depth_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One held-out view to look at; pictures are ``data:`` addresses."""

    score: Score
    aspect: float
    """Width over height."""
    photo: str
    render: str
    error: str
    depth: str | None
    thumbnail: str


@dataclass(frozen=True, kw_only=True)
class GainPicture:
    """What one camera would still be told; pictures are ``data:`` addresses."""

    name: str
    mean: float
    """Mean gain, nats per pixel."""
    aspect: float
    render: str
    overlay: str
    gain: str
    error: str | None
    """Of the render against the photograph; None where none was taken there."""
    thumbnail: str


@dataclass(frozen=True, kw_only=True)
class Signal:
    """How well one signal sorts pixels by their error; None where unknown."""

    name: str
    ause: float | None
    pooled: float | None
    spearman: float | None


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """How much is known of the scene."""

    facts: tuple[Headline, ...]
    charts: tuple[Chart, ...]
    signals: tuple[Signal, ...]
    pictures: tuple[GainPicture, ...]
    total: int
    """Maps that there are, shown or not."""
    top: float
    """The gain of the last colour, in nats."""
    protocol: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything on the page; every text is taken as hostile and escaped by the page."""

    title: str
    created: str
    summary: str
    headlines: tuple[Headline, ...]
    pictures: tuple[Picture, ...]
    scores: tuple[Score, ...]
    charts: tuple[Chart, ...]
    depth_unit: str = ""
    protocol: str = ""
    notes: tuple[str, ...] = ()
    settings: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Groups of (name, value)."""
    command: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    knowledge: Knowledge | None = None


def number(value: float | None, digits: int) -> str:
    """Fixed digits; an en dash where unknown or not a number, and the sign for infinity."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if value == float("inf") else f"{value:z.{digits}f}"


def duration(seconds: float) -> str:
    """45 s, 5 min 12 s, 2 h 03 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def flatten(settings: Mapping[str, object], *, loose: str = "general") -> dict[str, tuple[tuple[str, str], ...]]:
    """Nested settings as groups by their first key, with dotted names inside; single values go to ``loose``."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            groups.setdefault(str(key), []).extend(_leaves(value, ""))
        else:
            groups.setdefault(loose, []).append((str(key), _text(value)))
    return {name: tuple(rows) for name, rows in groups.items()}


def _leaves(settings: Mapping[object, object], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows.extend(_leaves(value, f"{prefix}{key}."))
        else:
            rows.append((f"{prefix}{key}", _text(value)))
    return rows


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value) or "none"
    return str(value)
