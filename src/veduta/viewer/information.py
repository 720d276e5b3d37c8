"""information.json and its maps -> what the report says about how much is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError
from veduta.io.information import (
    FILE_NAME,
    GainMaps,
    GainView,
    InformationRecord,
    Reliability,
    SignalCurve,
    Sparsification,
    read_information,
)
from veduta.io.paths import inside
from veduta.io.tensors import load_tensors
from veduta.measure import auce
from veduta.recipes.colors import information_colors, information_overlay
from veduta.viewer import pictures
from veduta.viewer.charts import Chart, Series
from veduta.viewer.content import GainPicture, Headline, Knowledge, Signal, number

MAX_MAPS = 8
"""Cameras shown with pictures, so that a report stays a few megabytes."""
MAX_LINES = 5
"""Signals drawn, the first ones; the table has all of them."""
LEVEL = 0.9
"""The level whose coverage is told in words."""

_Item = TypeVar("_Item")


def knowledge_of(run: Path) -> Knowledge | None:
    """What the run's information.json and the maps that it names say; None where nothing has been measured.

    InputError where the file is of another form, or a map is missing, unreadable, elsewhere, or of another size than
    its picture.
    """
    record = read_information(run)
    if record is None:
        return None
    views = () if record.maps is None else record.maps.views
    return Knowledge(
        facts=tuple(facts(record)),
        charts=tuple(charts(record)),
        signals=() if record.sparsification is None else tuple(map(_signal, record.sparsification.curves)),
        pictures=() if record.maps is None else tuple(_picture(run, v, record.maps) for v in spread(views, MAX_MAPS)),
        total=len(views),
        top=1.0 if record.maps is None else record.maps.top,
        protocol=record.protocol,
    )


def facts(record: InformationRecord) -> Iterator[Headline]:
    """The large numbers, those that are known."""
    if record.sparsification is not None and record.sparsification.curves:
        first, chance = record.sparsification.curves[0], chance_area(record.sparsification)
        note = f"0 is perfect, {number(chance, 3)} is chance"
        yield Headline(label="AUSE, held out", value=number(first.ause, 3), note=note)
        if first.spearman is not None:
            note = "of gain and error"
            yield Headline(label="Rank correlation", value=number(first.spearman, 2), note=note)
    if record.reliability is not None:
        yield from _reliability_facts(record.reliability)
    if record.noise is not None:
        alike = f"{record.noise.kappa:.3g} pixels count as one"
        note = "assumed: no photographs at hand" if record.noise.assumed else alike
        yield Headline(label="Noise of a photograph", value=f"{record.noise.sigma:.3g}", note=note)


def chance_area(measured: Sparsification) -> float:
    """The AUSE of an order by chance: the area between 1 and the oracle's curve, by the trapezoidal rule."""
    above = 1.0 - torch.tensor(measured.oracle, dtype=torch.float64)
    return float(torch.trapezoid(above, torch.tensor(measured.fractions, dtype=torch.float64)))


def charts(record: InformationRecord) -> Iterator[Chart]:
    """Sparsification and reliability, where they were measured."""
    if record.sparsification is not None:
        yield _sparsification(record.sparsification)
    if record.reliability is not None:
        yield _reliability(record.reliability)


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most ``most`` of the items, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _reliability_facts(measured: Reliability) -> Iterator[Headline]:
    i = min(range(len(measured.levels)), key=lambda i: abs(measured.levels[i] - LEVEL))
    before, after = measured.before[i], measured.before[i] if measured.after is None else measured.after[i]
    note = f"{number(100 * before, 1)} % before calibration" if measured.after is not None else "not calibrated"
    label = f"In the {100 * measured.levels[i]:.3g} % interval"
    yield Headline(label=label, value=number(100 * after, 1), unit="%", note=note)
    if measured.scale is not None:
        yield Headline(label="Std multiplied by", value=f"{measured.scale:.3g}", note="by calibration")


def _sparsification(measured: Sparsification) -> Chart:
    percent = [100.0 * fraction for fraction in measured.fractions]

    def line(name: str, values: Sequence[float], **style: bool) -> Series:
        return Series(name=name, points=tuple(zip(percent, values, strict=True)), **style)

    shown = measured.curves[:MAX_LINES]
    return Chart(
        title="Sparsification",
        series=(*(line(curve.name, curve.values) for curve in shown), line("oracle", measured.oracle, reference=True)),
        from_zero=True,
        over="share of the pixels taken away",
        at="{} % taken away",
        note="".join(f"AUSE: {curve.name} {number(curve.ause, 3)}" for curve in shown[:1]),
        caption=(
            f"Error that is left ({measured.error}, {_views(measured.views)}, 1 for all pixels) as the least known "
            "pixels are taken away, in % of all. The oracle takes away the largest errors; AUSE is the area between."
        ),
    )


def _reliability(measured: Reliability) -> Chart:
    percent = [100.0 * level for level in measured.levels]

    def line(name: str, values: Sequence[float], **style: bool) -> Series:
        points = ((level, 100.0 * value) for level, value in zip(percent, values, strict=True))
        return Series(name=name, points=tuple(points), **style)

    after = () if measured.after is None else (line("calibrated", measured.after, marked=True),)
    ideal = Series(name="ideal", points=tuple((x, x) for x in (0.0, *percent, 100.0)), reference=True)
    before = line("as predicted" if measured.after is None else "before", measured.before, marked=True)
    return Chart(
        title="Reliability",
        series=(*after, before, ideal),
        unit=" %",
        digits=1,
        span=(0.0, 100.0),
        over="nominal level of the interval",
        at="{} % interval",
        note=f"Area to the ideal: {_areas(measured)}",
        caption=(
            f"Share of the errors ({_views(measured.views)}) that the interval holds, over the share that it should "
            "hold, in %. Below the diagonal the prediction is too sure of itself."
        ),
    )


def _areas(measured: Reliability) -> str:
    levels = torch.tensor(measured.levels, dtype=torch.float64)

    def area(values: Sequence[float]) -> str:
        return number(float(auce(levels, torch.tensor(values, dtype=torch.float64))), 3)

    before = area(measured.before)
    return before if measured.after is None else f"{area(measured.after)} calibrated, {before} before"


def _views(count: int) -> str:
    return "1 held-out view" if count == 1 else f"{count:,} held-out views"


def _signal(curve: SignalCurve) -> Signal:
    ause = None if math.isnan(curve.ause) else curve.ause
    return Signal(name=curve.name, ause=ause, pooled=curve.pooled, spearman=curve.spearman)


def _picture(run: Path, view: GainView, maps: GainMaps) -> GainPicture:
    where = run / FILE_NAME
    render = pictures.read_rgb(inside(run, view.render, where=where, field="maps.views.render"))
    gain = _gain(inside(run, view.gain, where=where, field="maps.views.gain"), render)
    overlay = information_overlay(render, gain, maps.top)
    height, width = gain.shape
    return GainPicture(
        name=view.name,
        mean=float(gain.double().mean()),
        aspect=width / height,
        render=pictures.data_uri(render),
        overlay=pictures.data_uri(overlay),
        gain=pictures.data_uri(information_colors(gain, maps.top)),
        error=None if view.photo is None else _error(run, view.photo, render, run / view.render),
        thumbnail=pictures.thumbnail_uri(overlay),
    )


def _gain(path: Path, render: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    tensors, _ = load_tensors(path)
    gain = tensors.get("gain")
    expected = f"a gain for each of {render.shape[1]}x{render.shape[0]} pixels"
    if gain is None:
        raise InputError("no map of gains", where=path, field="gain", expected=expected, got="nothing")
    if not gain.is_floating_point() or gain.shape != render.shape[:2]:
        got = f"{'x'.join(str(size) for size in reversed(gain.shape))} of {gain.dtype}"
        raise InputError("not a map of gains", where=path, field="gain", expected=expected, got=got)
    return gain.float()


def _error(run: Path, photo: str, render: Float[Tensor, "h w 3"], where: Path) -> str:
    seen = pictures.read_rgb(inside(run, photo, where=run / FILE_NAME, field="maps.views.photo"))
    pictures.require_same_size(seen, render, where=where)
    return pictures.data_uri(pictures.error_map(seen, render))
