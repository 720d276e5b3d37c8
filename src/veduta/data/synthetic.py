"""Synthetic captures with the truth about everything: poses, depth, objects, motion, at any viewpoint and time.

Three procedural scenes, cast exactly by :mod:`veduta.data.synthetic_trace`: ``room``, ``street`` (in which a car moves)
and ``tabletop``. The same seed makes the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Capture, PointCloud, Streams, Views
from veduta.data.splits import every_nth
from veduta.data.synthetic_files import seen_points, write_capture
from veduta.data.synthetic_room import room
from veduta.data.synthetic_stage import UP, SyntheticScene, SyntheticViews
from veduta.data.synthetic_street import street
from veduta.data.synthetic_tabletop import tabletop
from veduta.geometry import unproject_rays

__all__ = [
    "PRESETS",
    "Preset",
    "SyntheticScene",
    "SyntheticSource",
    "SyntheticViews",
    "room",
    "street",
    "synthetic_capture",
    "tabletop",
    "write_capture",
]

Preset = Literal["room", "street", "tabletop"]
PRESETS: Mapping[Preset, Callable[[int], SyntheticScene]] = {"room": room, "street": street, "tabletop": tabletop}


@dataclass(frozen=True, eq=False)
class SyntheticSource:
    """Photographs in memory; each :class:`Views` carries its exact depth and sky."""

    views: Views
    points: PointCloud

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, i: int, /) -> Views:
        """The i-th photograph."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.views[i]

    @property
    def names(self) -> tuple[str, ...]:
        """The photographs' names."""
        return self.views.names

    def sparse_depth(self, i: int, /) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Pixels, z depths and weights of the points that are seen in the i-th photograph."""
        _, px, depth = seen_points(self.points.xyz, self[i])
        return px, depth, torch.ones_like(depth)


def synthetic_capture(
    preset: Preset | SyntheticScene,
    *,
    views: int = 40,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    points: int = 5000,
    test_every: int = 8,
) -> Capture:
    """Photographs of a scene with exact poses, and points on its surfaces as structure from motion would find them.

    Every ``test_every``-th view is held out (0: none). The points lie on what the training photographs show and stands
    still, with its colour there; the sky and moving objects have none. The street's ``tracks`` hold its moving car.
    """
    scene = PRESETS[preset](seed) if isinstance(preset, str) else preset
    assert views >= 1, views
    taken = scene.render(scene.cameras(views, width=width, height=height))
    names = tuple(f"{i:04d}.png" for i in range(views))
    split = every_nth(names, test_every)
    train = [i for i, name in enumerate(names) if name in set(split.train)]
    test = [i for i, name in enumerate(names) if name in set(split.test)]
    cloud = _surface_points(taken, train, points, scene.tracks, Streams(seed)("synthetic points"))
    return Capture(
        train=SyntheticSource(_views(taken, train, names), cloud),
        test=SyntheticSource(_views(taken, test, names), cloud),
        cameras={"camera": taken.cameras},
        points=cloud,
        tracks=dict(scene.tracks),
        up=torch.tensor(UP),
        metric=True,
        source=Path(f"synthetic-{scene.name}-{seed}"),
    )


def _views(taken: SyntheticViews, rows: list[int], names: tuple[str, ...]) -> Views:
    return Views(
        cameras=taken.cameras[rows],
        rgb=taken.rgb[rows],
        weight=torch.ones_like(taken.depth[rows]),
        names=tuple(names[i] for i in rows),
        depth=taken.depth[rows],
        depth_valid=~taken.sky[rows],
        sky=taken.sky[rows],
    )


def _surface_points(
    taken: SyntheticViews, rows: list[int], count: int, moving: Mapping[str, object], generator: torch.Generator
) -> PointCloud:
    """Points at the centres of randomly chosen pixels."""
    still = ~taken.sky[rows]
    for name in moving:
        still &= taken.objects[rows] != taken.names.index(name)
    eligible = torch.nonzero(still.flatten()).squeeze(1)
    chosen = eligible[torch.randint(len(eligible), (count,), generator=generator)] if len(eligible) else eligible
    xyz = _points_at(taken, rows)[chosen]
    return PointCloud(xyz=xyz, rgb=taken.rgb[rows].reshape(-1, 3)[chosen])


def _points_at(taken: SyntheticViews, rows: list[int]) -> Float[Tensor, "p 3"]:
    """World positions of all pixel centres of some views."""
    cameras = taken.cameras[rows]
    origins, directions = unproject_rays(cameras)
    axes = cameras.world_from_camera[:, None, None, :3, 2]
    reach = taken.depth[rows] / (directions * axes).sum(dim=-1)
    return (origins[:, None, None] + directions * reach[..., None]).reshape(-1, 3)
