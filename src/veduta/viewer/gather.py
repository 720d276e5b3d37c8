"""A run's folder -> the content of its report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from veduta.io.paths import inside
from veduta.io.tensors import load_tensors
from veduta.recipes.evaluate import Evaluation, ViewScore
from veduta.viewer import pictures
from veduta.viewer.content import Headline, Picture, Score, duration, number

MAX_VIEWS = 12
"""Views shown with pictures, so that a report stays a few megabytes."""


@dataclass(frozen=True, kw_only=True)
class RunStats:
    """What a fit took and left; None where unknown."""

    gaussians: int | None = None
    steps: int | None = None
    seconds: float | None = None
    """Wall time of the fit."""
    peak_bytes: int | None = None
    """Most memory that the process held."""
    photos: int | None = None
    """Photographs trained on."""
    hardware: str = ""
    """What it ran on, in words: "CPU (AVX-512), 2 threads"."""


def headlines(evaluation: Evaluation | None, stats: RunStats, *, depth_unit: str) -> tuple[Headline, ...]:
    """The large numbers, those that are known."""
    tiles: list[Headline] = []
    if evaluation is not None and evaluation.views:
        views = evaluation.views
        tiles.append(_spread("PSNR, held out", views, lambda v: v.psnr, digits=2, unit="dB"))
        tiles.append(_spread("SSIM, held out", views, lambda v: v.ssim, digits=3))
        if evaluation.depth_error is not None:
            tiles.append(_spread("Depth error", views, lambda v: v.depth_error, digits=3, unit=depth_unit))
    if stats.gaussians is not None:
        tiles.append(Headline(label="Gaussians", value=f"{stats.gaussians:,}"))
    if stats.seconds is not None:
        steps = "" if stats.steps is None else f"{stats.steps:,} steps"
        tiles.append(Headline(label="Time to fit", value=duration(stats.seconds), note=steps))
    if stats.peak_bytes is not None:
        value, unit = _size(stats.peak_bytes)
        tiles.append(Headline(label="Memory, at most", value=value, unit=unit))
    return tuple(tiles)


def _spread(
    label: str, views: Sequence[ViewScore], value: Callable[[ViewScore], float | None], *, digits: int, unit: str = ""
) -> Headline:
    known = [x for x in (value(view) for view in views) if x is not None and not math.isnan(x)]
    if not known:
        return Headline(label=label, value=number(None, digits))
    span = f"{number(min(known), digits)} to {number(max(known), digits)}" if len(known) > 1 else "1 view"
    return Headline(label=label, value=number(sum(known) / len(known), digits), unit=unit, note=span)


def _size(count: int) -> tuple[str, str]:
    return (f"{count / 1e9:.2f}", "GB") if count >= 1e9 else (f"{count / 1e6:.0f}", "MB")


def summary(stats: RunStats, held_out: int) -> str:
    """One sentence: what was made of what."""
    made = f"{stats.gaussians:,} Gaussians" if stats.gaussians is not None else "A scene of Gaussians"
    photos = f" learned from {stats.photos:,} photographs" if stats.photos else ""
    time = f" in {duration(stats.seconds)}" if stats.seconds is not None else ""
    place = f" on {stats.hardware}" if stats.hardware else ""
    judged = "1 photograph" if held_out == 1 else f"{held_out:,} photographs"
    against = f", judged on {judged} that it never saw" if held_out else ""
    return f"{made}{photos}{time}{place}{against}."


def score_of(view: ViewScore) -> Score:
    """A view's numbers."""
    return Score(name=view.name, psnr=view.psnr, ssim=view.ssim, depth_error=view.depth_error)


def chosen(views: Sequence[ViewScore], most: int = MAX_VIEWS) -> list[ViewScore]:
    """At most ``most`` of the views that have pictures, in their order: spread evenly over the ranking by PSNR.

    Views without a PSNR are shown only where there is room for all.
    """
    shown = [view for view in views if view.photo is not None and view.render is not None]
    if len(shown) <= most:
        return shown
    ranked = sorted((view.psnr, i) for i, view in enumerate(shown) if view.psnr is not None)
    count = min(most, len(ranked))
    picked = {ranked[round(k * (len(ranked) - 1) / max(1, count - 1))][1] for k in range(count)}
    return [shown[i] for i in sorted(picked)]


def picture_of(run: Path, view: ViewScore) -> Picture:
    """A view's pictures, read from the run's folder; InputError where one is missing, unreadable or elsewhere."""
    assert view.photo is not None
    assert view.render is not None
    where = run / "eval.json"
    photo = pictures.read_rgb(inside(run, view.photo, where=where, field="photo"))
    render = pictures.read_rgb(inside(run, view.render, where=where, field="render"))
    pictures.require_same_size(photo, render, where=run / view.render)
    height, width = photo.shape[:2]
    return Picture(
        score=score_of(view),
        aspect=width / height,
        photo=pictures.data_uri(photo),
        render=pictures.data_uri(render),
        error=pictures.data_uri(pictures.error_map(photo, render)),
        depth=None if view.depth is None else _depth(inside(run, view.depth, where=where, field="depth")),
        thumbnail=pictures.thumbnail_uri(photo),
    )


def _depth(path: Path) -> str | None:
    tensors, _ = load_tensors(path)
    depth = tensors.get("depth")
    if depth is None or depth.ndim != 2 or depth.numel() == 0:
        return None
    return pictures.data_uri(pictures.depth_map(depth.to(torch.float32)))
