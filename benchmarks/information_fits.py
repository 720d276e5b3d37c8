"""The fitted scenes that `benchmarks/information.py` looks at, kept in a folder so that they are fitted once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from information_splits import Split, mean_gap_deg, open_whole, places_of, resplit, splits_of

import veduta
from veduta import kernels
from veduta.core import Capture, Scene, ViewSource
from veduta.fit import FitPlan
from veduta.measure import psnr
from veduta.render import render_scene

CAPTURES = ("fox", "m360_kitchen_sparse", "llff_fern", "vrnerf_apartment")
FOX_ORDER = ("A", "C", "B")
SEEDS = (0, 1, 2)
STEPS = 1500
MAX_SIZE = 480
"""Longer side of the photographs in pixels."""


@dataclass(frozen=True)
class Fit:
    """One scene: which capture, which photographs of it, which seed."""

    capture: str
    split: str
    seed: int

    @property
    def name(self) -> str:
        """As files are called."""
        return f"{self.capture} {self.split} {self.seed}".replace(" ", "-")


@dataclass(frozen=True)
class Fitted:
    """A fit's scene and what it was fitted to."""

    fit: Fit
    split: Split
    capture: Capture
    """``train`` as fitted; ``test``: interpolating, then extrapolating photographs."""
    scene: Scene
    facts: dict[str, float]


def all_fits(data: Path) -> Iterator[Fit]:
    """Every fit; the first seed of all before the second."""
    for seed in SEEDS:
        for capture in CAPTURES:
            splits = splits_of(open_whole(data / "static" / capture, max_size=MAX_SIZE))
            for split in sorted(splits, key=lambda key: FOX_ORDER.index(key) if key in FOX_ORDER else 0):
                yield Fit(capture, split, seed)


def all_splits(data: Path) -> list[dict[str, Any]]:
    """One row per capture and split: how many photographs, how far the extrapolating ones are, and their names."""
    rows: list[dict[str, Any]] = []
    for capture in CAPTURES:
        whole = open_whole(data / "static" / capture, max_size=MAX_SIZE)
        places = places_of(whole)
        for name, split in splits_of(whole).items():
            parts = {"fitted": split.train, "interpolating": split.interpolating, "extrapolating": split.extrapolating}
            row: dict[str, Any] = {"capture": capture, "split": name}
            row |= {part: len(names) for part, names in parts.items()}
            row["degrees to the nearest fitted"] = round(mean_gap_deg(places, split), 1)
            row |= {f"names, {part}": " ".join(Path(n).stem for n in names) for part, names in parts.items()}
            rows.append(row)
    return rows


def fitted(fit: Fit, *, data: Path, cache: Path) -> Fitted:
    """The scene from the cache, or fitted now (one thread) and kept there."""
    whole = open_whole(data / "static" / fit.capture, max_size=MAX_SIZE)
    split = splits_of(whole)[fit.split]
    capture = resplit(whole, split)
    path, facts_path = cache / f"{fit.name}.safetensors", cache / f"{fit.name}.json"
    if facts_path.exists():
        return Fitted(fit, split, capture, veduta.load(path), json.loads(facts_path.read_text()))
    kernels.set_threads(1)
    torch.set_num_threads(1)
    cpu = time.process_time()
    scene = veduta.fit(capture, FitPlan(steps=STEPS, seed=fit.seed))
    facts = {"cpu_s": time.process_time() - cpu, "gaussians": len(scene.background)}
    held_out = scores(scene, capture.test)
    between = len(split.interpolating)
    parts = {"train": scores(scene, capture.train), "interpolating": held_out[:between]}
    parts["extrapolating"] = held_out[between:]
    facts |= {f"{part}_psnr": sum(values) / len(values) for part, values in parts.items() if values}
    cache.mkdir(parents=True, exist_ok=True)
    veduta.save(scene, path, overwrite=True)
    facts_path.write_text(json.dumps(facts))
    return Fitted(fit, split, capture, scene, facts)


def scores(scene: Scene, views: ViewSource) -> list[float]:
    """PSNR of each photograph's render, clamped to 0..1."""
    found: list[float] = []
    for i in range(len(views)):
        view = views[i]
        with torch.no_grad():
            color = render_scene(scene, view.cameras).color.clamp(0, 1)
        found.append(float(psnr(color, view.rgb, view.weight)[0]))
    return found
