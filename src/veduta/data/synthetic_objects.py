"""An endless supply of procedural textured objects, drawn with exact cameras and masks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from veduta.core import Cameras, Example
from veduta.data.mesh_render import Light, MeshRenderer
from veduta.data.meshes import BOX_RADIUS, TexturedMesh
from veduta.data.object_kinds import KINDS, Maker
from veduta.data.object_views import DEPTH_MARGIN, align_to_first, camera_groups, members, one_of_each, random_rig

_RIG_VIEWS = 24
"""Cameras of a rig at least; a third of it is drawn at most, so that groups hold a choice."""


@dataclass(frozen=True)
class SyntheticObjects:
    """``count`` different objects, each made when it is asked for, from ``seed`` and its index alone.

    Needs the extra ``objects`` (Embree). Objects lie in [-0.5, 0.5]^3 in the frame of the first input (see
    :func:`align_to_first`; aims are a little uneven, so up to 0.02 beyond); colour is straight, alpha exact to
    1 / samples^2.
    """

    count: int
    size_px: int = 128
    """Width and height of the pictures."""
    inputs: int = 4
    targets: int = 4
    seed: int = 0
    samples: int = 2
    """Rays per pixel along each axis."""

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """Object ``index`` from a rig of cameras that ``generator`` draws, each input from another side."""
        rig = random_rig(self._rig_views, generator, size_px=self.size_px)
        inputs = _drawn(rig, self.inputs, generator)
        targets = _drawn(rig, self.targets, generator, without=inputs)
        return self._example(index, rig, inputs, targets)

    def evaluation(self, index: int) -> Example:
        """Object ``index`` from a rig of its own: inputs are the first views of their groups, targets the last."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        rig = random_rig(self._rig_views, generator, size_px=self.size_px)
        inputs = [group[0] for group in members(camera_groups(rig.positions_world, self.inputs))]
        targets = [group[-1] for group in members(camera_groups(rig.positions_world, self.targets))]
        return self._example(index, rig, inputs, targets)

    @property
    def _rig_views(self) -> int:
        return max(_RIG_VIEWS, 3 * (self.inputs + self.targets))

    def mesh(self, index: int) -> TexturedMesh:
        """Object ``index`` itself."""
        return self._made(index)[0]

    def _made(self, index: int) -> tuple[TexturedMesh, Light]:
        assert 0 <= index < self.count, index
        rng = np.random.default_rng([self.seed, index])
        mesh = _maker(rng)(rng).boxed(BOX_RADIUS * rng.uniform(0.85, 1.0))
        return mesh, _light(rng)

    def _example(self, index: int, rig: Cameras, inputs: list[int], targets: list[int]) -> Example:
        mesh, light = self._made(index)
        return object_example(
            f"synthetic_{self.seed}_{index:07d}",
            MeshRenderer(mesh),
            rig[inputs],
            rig[targets],
            light=light,
            samples=self.samples,
        )


def object_example(
    name: str, renderer: MeshRenderer, inputs: Cameras, targets: Cameras, *, light: Light, samples: int
) -> Example:
    """Pictures of one object, in the frame of the first input."""
    shown, judged = (renderer.draw(cameras, light=light, samples=samples) for cameras in (inputs, targets))
    distance = float(inputs.positions_world[0].norm())
    example = Example(
        name=name,
        inputs=shown.views,
        targets=judged.views,
        near=distance - DEPTH_MARGIN,
        far=distance + DEPTH_MARGIN,
        input_alpha=shown.alpha,
        target_alpha=judged.alpha,
    )
    return align_to_first(example)


def _drawn(rig: Cameras, count: int, generator: torch.Generator, *, without: list[int] | None = None) -> list[int]:
    """One view out of each of ``count`` groups of the rig."""
    groups = members(camera_groups(rig.positions_world, count))
    return one_of_each(groups, generator, without=without or ())


def _maker(rng: np.random.Generator) -> Maker:
    makers = [maker for maker, _ in KINDS.values()]
    shares = np.array([share for _, share in KINDS.values()])
    return makers[int(rng.choice(len(makers), p=shares / shares.sum()))]


def _light(rng: np.random.Generator) -> Light:
    """A lamp from somewhere above, strong or weak."""
    azimuth, height = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 1.2)
    key = rng.uniform(0.25, 0.7)
    return Light(
        towards=(math.cos(azimuth), math.sin(azimuth), height),
        key=key,
        fill=rng.uniform(0.05, 0.25),
        ambient=rng.uniform(0.95, 1.1) - key,
    )
