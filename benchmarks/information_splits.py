"""Which photographs `benchmarks/information.py` fits, and which it looks at afterwards.

A split has photographs to fit, photographs that lie between those (interpolating), and photographs that lie beyond
(extrapolating). Fox has three, which its own ``splits.json`` lists: A, one side by azimuth; B, nine photographs of one
horizontal row; C, every second photograph. The other captures have two, made here from where their cameras stand:

- every second: in order of name, every second photograph is fitted and the others interpolate;
- one side: in order of azimuth about the point that the cameras look at, starting after the widest gap, the first 60 %
  are one side; every fourth of the side (the third, the seventh, ...) interpolates, the rest of it is fitted, and
  everything off that side extrapolates.

Points of structure from motion that fewer than two of the fitted photographs show are left out, so that a fit knows
nothing that only held-out photographs could tell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

import veduta
from veduta.core import Cameras, Capture, Views, ViewSource
from veduta.data import FileViews
from veduta.io.colmap import read_model

SIDE_SHARE = 0.6
"""Share of the photographs, by azimuth, that are one side."""
SIDE_EVERY, SIDE_FIRST = 4, 2
"""Of the side, every so many-th photograph is held out, counted from this one."""
MIN_SIGHTINGS = 2
"""Fitted photographs that must show a point of structure from motion for a fit to start from it."""


@dataclass(frozen=True)
class Split:
    """Names of photographs."""

    train: tuple[str, ...]
    interpolating: tuple[str, ...]
    extrapolating: tuple[str, ...]

    @property
    def held_out(self) -> tuple[str, ...]:
        """All that are not fitted."""
        return self.interpolating + self.extrapolating


@dataclass(frozen=True)
class Place:
    """Where a camera stands as seen from the point that all cameras look at."""

    azimuth_deg: float
    """About the capture's up; 0 in the cameras' mean direction."""
    elevation_deg: float


class Chosen:
    """Some photographs of a source: a ViewSource."""

    def __init__(self, source: ViewSource, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int, /) -> Views:
        """The i-th of the chosen ones."""
        return self._source[self._indices[i]]


def splits_of(capture: Capture) -> dict[str, Split]:
    """The splits of a capture that was opened whole (nothing held out), by name."""
    source = _whole(capture)
    path = capture.source / "splits.json"
    if path.is_file():
        return listed(json.loads(path.read_text(encoding="utf-8")), source.names)
    azimuths = {name: place.azimuth_deg for name, place in places_of(capture).items()}
    return {"every second": every_second(source.names), "one side": one_side(azimuths)}


def listed(content: Mapping[str, object], names: Sequence[str]) -> dict[str, Split]:
    """The splits of a file {"A": {"train": [...], "interp": [...], "extrap": [...]}, ...}; each name once in each."""
    splits: dict[str, Split] = {}
    for key, entry in content.items():
        if not isinstance(entry, Mapping):
            continue
        split = Split(
            train=tuple(entry["train"]), interpolating=tuple(entry["interp"]), extrapolating=tuple(entry["extrap"])
        )
        assert sorted(split.train + split.held_out) == sorted(names), key
        splits[key] = split
    return splits


def every_second(names: Sequence[str]) -> Split:
    """The first name in sorted order and every second one after it are fitted; the others interpolate."""
    ordered = sorted(names)
    return Split(train=tuple(ordered[::2]), interpolating=tuple(ordered[1::2]), extrapolating=())


def one_side(azimuths_deg: Mapping[str, float]) -> Split:
    """The first SIDE_SHARE in :func:`around`'s order are the side; see the module."""
    ordered = around(azimuths_deg)
    side = ordered[: round(SIDE_SHARE * len(ordered))]
    between = side[SIDE_FIRST::SIDE_EVERY]
    return Split(
        train=tuple(name for name in side if name not in between),
        interpolating=tuple(between),
        extrapolating=tuple(ordered[len(side) :]),
    )


def around(azimuths_deg: Mapping[str, float]) -> list[str]:
    """Names by rising azimuth, starting after the widest gap, so that a capture all around has two ends as well."""
    ordered = sorted(azimuths_deg, key=lambda name: (azimuths_deg[name], name))
    values = [azimuths_deg[name] for name in ordered]
    gaps = [(value - values[i - 1]) % 360.0 for i, value in enumerate(values)]
    first = max(range(len(gaps)), key=lambda i: gaps[i])
    return ordered[first:] + ordered[:first]


def places_of(capture: Capture) -> dict[str, Place]:
    """Every photograph's azimuth and elevation."""
    source = _whole(capture)
    cameras = [source.camera(i) for i in range(len(source))]
    poses = torch.cat([camera.world_from_camera for camera in cameras]).double()
    return dict(zip(source.names, _places(poses, capture.up.double()), strict=True))


def _places(poses: Float[Tensor, "c 4 4"], up: Float[Tensor, "3"]) -> list[Place]:
    away = poses[:, :3, 3] - looked_at(poses)
    high = away @ up
    level = away - high[:, None] * up
    ahead = torch.nn.functional.normalize(level.mean(dim=0), dim=0)
    aside = torch.linalg.cross(up, ahead)
    azimuth = torch.rad2deg(torch.atan2(level @ aside, level @ ahead))
    elevation = torch.rad2deg(torch.asin(high / torch.linalg.vector_norm(away, dim=1)))
    return [Place(a, e) for a, e in zip(azimuth.tolist(), elevation.tolist(), strict=True)]


def looked_at(poses: Float[Tensor, "c 4 4"]) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes (least squares)."""
    forward = poses[:, :3, 2]
    across = torch.eye(3, dtype=poses.dtype) - forward[:, :, None] * forward[:, None, :]
    return torch.linalg.solve(across.sum(dim=0), (across @ poses[:, :3, 3, None]).sum(dim=0)[:, 0])


def open_whole(path: Path, *, max_size: int) -> Capture:
    """The capture with all its photographs in ``train``, but those that its own list holds out in ``test``."""
    return veduta.open_capture(path, max_size=max_size, test_every=0)


def resplit(capture: Capture, split: Split) -> Capture:
    """The capture as if only the photographs to fit had been taken; ``test`` has the held-out ones in order."""
    source = _whole(capture)
    place = {name: i for i, name in enumerate(source.names)}
    train = [place[name] for name in split.train]
    test = [place[name] for name in split.held_out]
    cameras = {"camera": Cameras.cat([source.camera(i) for i in train])}
    assert capture.points is not None, capture.source
    seen = points_seen(capture.source, split.train)
    assert len(seen) == len(capture.points), capture.source
    return replace(
        capture,
        train=Chosen(source, train),
        test=Chosen(source, test),
        cameras=cameras,
        points=capture.points.map(lambda t: t[seen]),
    )


def points_seen(path: Path, names: Sequence[str]) -> Bool[Tensor, " p"]:
    """Which points of a COLMAP model at least MIN_SIGHTINGS of the named photographs show."""
    model = read_model(path / "sparse" / "0")
    chosen = set(names)
    sightings = torch.zeros(len(model.points), dtype=torch.int64)
    ids, order = model.points.ids.sort()
    for image in model.images.values():
        if image.name in chosen:
            shown = image.point3d_ids.unique()
            rows = torch.searchsorted(ids, shown).clamp(max=len(ids) - 1)
            sightings[order[rows[ids[rows] == shown]]] += 1
    return sightings >= MIN_SIGHTINGS


def mean_gap_deg(places: Mapping[str, Place], split: Split) -> float:
    """Mean angle between an extrapolating camera and the nearest fitted one, seen from the point looked at; 0: none."""
    if not split.extrapolating:
        return 0.0
    nearest = [min(_angle(places[a], places[b]) for b in split.train) for a in split.extrapolating]
    return sum(nearest) / len(nearest)


def _angle(a: Place, b: Place) -> float:
    turn = math.radians(a.azimuth_deg - b.azimuth_deg)
    one, other = math.radians(a.elevation_deg), math.radians(b.elevation_deg)
    cosine = math.sin(one) * math.sin(other) + math.cos(one) * math.cos(other) * math.cos(turn)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _whole(capture: Capture) -> FileViews:
    assert isinstance(capture.train, FileViews), capture.source
    assert len(capture.test) == 0, capture.source
    return capture.train
