"""Means over photographs and seeds, with standard errors, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Measured = dict[str, Any]
"""What `benchmarks/information.py` measured about one scene."""
PARTS = ("scale", "noise", "before, interpolating", "after, interpolating", "after, extrapolating")
"""Of what is measured about intervals; extrapolating photographs are not in every split."""


def overview(measured: Sequence[Measured], signals: Iterable[str]) -> list[dict[str, Any]]:
    """AUSE-MAE of every signal side by side: a row per scene and which of its held-out photographs."""
    rows: list[dict[str, Any]] = []
    for (capture, split), group in by_scene(measured).items():
        kinds = {view["interpolating"] for view in group[0]["views"]}
        parts: dict[str, tuple[bool, ...]] = {"interpolating": (True,), "extrapolating": (False,), "all": (True, False)}
        for part, wanted in parts.items():
            if not kinds.issuperset(wanted):
                continue
            row: dict[str, Any] = {"capture": capture, "split": split, "photographs": part, "seeds": len(group)}
            for signal in signals:
                value = per_view(
                    group,
                    lambda v, s=signal: v["signals"][s]["mae"],
                    lambda v, w=wanted: v["interpolating"] in w,
                )
                row[signal] = with_error(value)
            rows.append(row)
    return rows


def summary(measured: Sequence[Measured], signals: Iterable[str]) -> list[dict[str, Any]]:
    """One row per capture, split and signal: mean +- standard error over photographs, seeds averaged first."""
    rows: list[dict[str, Any]] = []
    for (capture, split), group in by_scene(measured).items():
        for signal in signals:
            between = per_view(group, lambda v, s=signal: v["signals"][s]["mae"], lambda v: v["interpolating"])
            beyond = per_view(group, lambda v, s=signal: v["signals"][s]["mae"], lambda v: not v["interpolating"])
            every = per_view(group, lambda v, s=signal: v["signals"][s]["mae"])
            pooled = [m["pooled"][signal] for m in group]
            rows.append(
                {
                    "capture": capture,
                    "split": split,
                    "signal": signal,
                    "interpolating MAE": with_error(between),
                    "extrapolating MAE": with_error(beyond),
                    "MAE": with_error(every),
                    "seeds": f"{spread_of_seeds(group, signal):.3f}",
                    "MSE": with_error(per_view(group, lambda v, s=signal: v["signals"][s]["mse"])),
                    "Spearman": f"{mean(per_view(group, lambda v, s=signal: v['signals'][s]['rho'])):.2f}",
                    "pooled MAE": f"{mean(pooled):.3f}",
                }
            )
    return rows


def differences(measured: Sequence[Measured], default: str, signals: Iterable[str]) -> list[dict[str, Any]]:
    """One row per signal: how much lower the default's AUSE-MAE is, photograph by photograph, on every split."""
    rows: list[dict[str, Any]] = []
    for signal in signals:
        if signal == default:
            continue
        row: dict[str, Any] = {"against": signal}
        for (capture, split), group in by_scene(measured).items():
            ours = per_view(group, lambda v: v["signals"][default]["mae"])
            theirs = per_view(group, lambda v, s=signal: v["signals"][s]["mae"])
            gains = [b - a for a, b in zip(ours, theirs, strict=True)]
            row[f"{capture} {split}"] = f"{with_error(gains)} ({sum(g > 0 for g in gains)}/{len(gains)})"
        rows.append(row)
    return rows


def intervals(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row per scene and way of predicting: mean over seeds of the shares (in %) of errors within the intervals."""
    rows: list[dict[str, Any]] = []
    for (capture, split), group in by_scene(measured).items():
        for name in group[0]["coverage"]:
            row: dict[str, Any] = {"capture": capture, "split": split, "predicted by": name}
            for part in PARTS:
                columns = zip(*(scene["coverage"][name].get(part, []) for scene in group), strict=True)
                factor, digits = (1, 2) if part in {"scale", "noise"} else (100, 0)
                row[part] = " / ".join(f"{factor * mean(values):.{digits}f}" for values in columns)
            rows.append(row)
    return rows


def by_scene(measured: Sequence[Measured]) -> dict[tuple[str, str], list[Measured]]:
    """All seeds of each capture and split."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for scene in measured:
        groups.setdefault((scene["capture"], scene["split"]), []).append(scene)
    return groups


def per_view(
    group: Sequence[Measured],
    value: Callable[[dict[str, Any]], float],
    wanted: Callable[[dict[str, Any]], bool] = lambda view: True,
) -> list[float]:
    """A value per wanted photograph, averaged over seeds."""
    columns = [[value(view) for view in scene["views"] if wanted(view)] for scene in group]
    return [mean(values) for values in zip(*columns, strict=True)]


def spread_of_seeds(group: Sequence[Measured], signal: str) -> float:
    """Standard deviation over seeds of the mean over photographs; 0 for one seed."""
    means = [mean([view["signals"][signal]["mae"] for view in scene["views"]]) for scene in group]
    return 0.0 if len(means) < 2 else deviation(means)


def mean(values: Sequence[float]) -> float:
    """NaN for none."""
    return sum(values) / len(values) if values else math.nan


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN for fewer than two."""
    if len(values) < 2:
        return math.nan
    middle = mean(values)
    return math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1))


def with_error(values: Sequence[float]) -> str:
    """Mean and standard error; empty for none."""
    if not values:
        return ""
    return f"{mean(values):.3f} ± {deviation(values) / math.sqrt(len(values)):.3f}"
