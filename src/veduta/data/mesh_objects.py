"""Real textured assets as examples: a folder of meshes, drawn from fixed places for comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from veduta.core import Cameras, Example, InputError
from veduta.data.mesh_files import MESH_SUFFIXES, load_mesh
from veduta.data.mesh_render import Light, MeshRenderer
from veduta.data.object_views import camera_groups, members, one_of_each, random_rig, round_the_object
from veduta.data.synthetic_objects import object_example

_RIG_VIEWS = 24
_FOV = math.radians(45)
_INPUT_ELEVATIONS = (0.3, 0.5)
_TARGET_ELEVATIONS = (0.15, 0.6, 0.4, 0.0)
"""Radians, in turn around the object."""


@dataclass(frozen=True)
class MeshObjects:
    """The meshes (.glb, .gltf, .obj) of a folder by name; needs the extra ``objects`` (trimesh, Embree).

    Each lies in [-0.5, 0.5]^3 in the frame of the first input, under the same light, whatever it was modelled in.
    Raises InputError where the folder holds none; a mesh is read when it is asked for.
    """

    folder: Path
    size_px: int = 128
    """Width and height of the pictures."""
    inputs: int = 4
    targets: int = 4
    samples: int = 4
    """Rays per pixel along each axis."""
    light: Light = field(default_factory=Light)

    def __post_init__(self) -> None:
        if not self.paths:
            raise InputError(
                "no meshes",
                where=self.folder,
                expected=", ".join(MESH_SUFFIXES),
                hint="Give the folder that holds them.",
            )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The files, by name."""
        if not self.folder.is_dir():
            raise InputError("no such folder", where=self.folder, expected="a folder of meshes")
        return tuple(sorted(p for p in self.folder.iterdir() if p.suffix.lower() in MESH_SUFFIXES))

    def __len__(self) -> int:
        return len(self.paths)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """Mesh ``index`` from a rig of cameras that ``generator`` draws, each input from another side."""
        views = max(_RIG_VIEWS, 3 * (self.inputs + self.targets))
        rig = random_rig(views, generator, size_px=self.size_px)
        inputs = one_of_each(members(camera_groups(rig.positions_world, self.inputs)), generator)
        groups = members(camera_groups(rig.positions_world, self.targets))
        return self._example(index, rig[inputs], rig[one_of_each(groups, generator, without=inputs)])

    def evaluation(self, index: int) -> Example:
        """Mesh ``index`` from fixed places: inputs evenly around it, targets halfway between, at other heights."""
        inputs = self._ring(self.inputs, start=0.5, elevations=_INPUT_ELEVATIONS)
        targets = self._ring(self.targets, start=0.5 + math.pi / self.inputs, elevations=_TARGET_ELEVATIONS)
        return self._example(index, inputs, targets)

    def _ring(self, count: int, *, start: float, elevations: tuple[float, ...]) -> Cameras:
        azimuths = start + torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
        heights = torch.tensor([elevations[i % len(elevations)] for i in range(count)], dtype=torch.float64)
        return round_the_object(azimuths, heights, size_px=self.size_px, fov=_FOV)

    def _example(self, index: int, inputs: Cameras, targets: Cameras) -> Example:
        path = self.paths[index]
        renderer = MeshRenderer(load_mesh(path))
        return object_example(path.stem, renderer, inputs, targets, light=self.light, samples=self.samples)
