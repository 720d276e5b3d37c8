"""The published models: how they are put together, and what their tensors are called.

Generative Densification (Nam et al., CVPR 2025) on LaRa, plain and residual, and on MVSplat; LaRa and MVSplat alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from veduta.feedforward import dino
from veduta.feedforward.coarse import Intake
from veduta.feedforward.compatibility import OBJECT, OBJECT_RESIDUAL, SCENE, Compatibility
from veduta.feedforward.densify import DensifierPlan
from veduta.feedforward.drawing import BLACK, WHITE, Drawing
from veduta.feedforward.lara import Lara, LaraNet, VoxelDecoder, cell_centres
from veduta.feedforward.learned_selection import LearnedSelector
from veduta.feedforward.models import FeedForward
from veduta.feedforward.mvsplat import Mvsplat
from veduta.feedforward.objects import ObjectDensifier, Recolouring
from veduta.feedforward.scene import RAW, SCENE_PLAN, SceneDensifier
from veduta.feedforward.select import ByGradient
from veduta.nets import Gate

OBJECT_INTAKE = Intake(min_views=2, max_views=4, size_px=(512, 512), masked=True)
SCENE_INTAKE = Intake(min_views=2, multiple_px=64)
OBJECT_BUDGET, SCENE_BUDGET = 12_000, 30_000
"""Gaussians densified per object, and per view of a scene."""
VOXEL_CHANNELS = 80
"""Width of LaRa's voxel features."""
NEAR_PLANE = 0.2
"""Of the rasterisers that the weights were trained with."""


@dataclass(frozen=True, kw_only=True)
class Improvements:
    """What goes beyond the published models; their weights fit those without any."""

    looks: bool = False
    """Children look at the photographs where they are, in every stage; see :mod:`veduta.feedforward.lookup`."""
    gate: Gate | None = None
    """How gradients reach the splits, such as ``rendered``; None: as published. See :class:`veduta.nets.Split`."""
    together: bool = False
    """All views of a scene are densified as one cloud."""
    learned_selection: bool = False
    """What is densified is learned; see :mod:`veduta.feedforward.learned_selection`."""


def object_gd(
    compatibility: Compatibility | None = None,
    improvements: Improvements | None = None,
    *,
    residual: bool = False,
) -> FeedForward:
    """Objects from four views: 133 million parameters; ``residual`` adds attributes stage by stage."""
    flags = Compatibility() if compatibility is None else compatibility
    more = Improvements() if improvements is None else improvements
    plan = DensifierPlan(
        shared_cells="first" if flags.first_duplicate else "mean",
        fp16_attention=flags.fp16_attention,
        residual=residual,
        gate=more.gate or ("softmax" if residual else "sigmoid"),
        looks=more.looks,
        grid_size=1 / 32 if flags.coords_x2 else 1 / 64,
    )
    return FeedForward(
        Lara(LaraNet(half_pixel_shift=flags.half_pixel_shift)),
        ObjectDensifier(plan, compatibility=flags),
        intake=OBJECT_INTAKE,
        drawing=_drawing(flags),
        budget=OBJECT_BUDGET,
        selector=LearnedSelector(VOXEL_CHANNELS) if more.learned_selection else None,
    )


def object_gd_residual(
    compatibility: Compatibility | None = None, improvements: Improvements | None = None
) -> FeedForward:
    """:func:`object_gd` with residual attributes."""
    return object_gd(compatibility, improvements, residual=True)


def scene_gd(compatibility: Compatibility | None = None, improvements: Improvements | None = None) -> FeedForward:
    """Scenes from two or more views: 28 million parameters."""
    flags = Compatibility() if compatibility is None else compatibility
    more = Improvements() if improvements is None else improvements
    plan = replace(
        SCENE_PLAN,
        gate=more.gate or "softmax",
        looks=more.looks,
        shared_cells="first" if flags.first_duplicate else "mean",
        fp16_attention=flags.fp16_attention,
    )
    return FeedForward(
        Mvsplat(flags),
        SceneDensifier(plan, together=more.together, compatibility=flags),
        intake=SCENE_INTAKE,
        drawing=Drawing(background=BLACK, near_m=NEAR_PLANE, clamp=False),
        budget=SCENE_BUDGET,
        selector=LearnedSelector(RAW) if more.learned_selection else ByGradient(signed=True),
    )


def lara(compatibility: Compatibility | None = None, improvements: Improvements | None = None) -> FeedForward:
    """LaRa alone, its flat Gaussians drawn as thin ones: 125 million parameters. It has nothing to improve."""
    flags = Compatibility() if compatibility is None else compatibility
    net = LaraNet(half_pixel_shift=flags.half_pixel_shift, decoder=VoxelDecoder(per_voxel=2, axes=2))
    densifier = Recolouring(compatibility=flags)
    return FeedForward(Lara(net), densifier, intake=OBJECT_INTAKE, drawing=_drawing(flags), budget=0)


def mvsplat(compatibility: Compatibility | None = None, improvements: Improvements | None = None) -> FeedForward:
    """MVSplat alone: 12 million parameters. It has nothing to improve."""
    drawing = Drawing(background=BLACK, near_m=NEAR_PLANE, clamp=False)
    return FeedForward(Mvsplat(compatibility), intake=SCENE_INTAKE, drawing=drawing)


def _drawing(flags: Compatibility) -> Drawing:
    return Drawing(background=WHITE, near_m=NEAR_PLANE, mirrored=flags.neg_campos)


IMAGE_ENCODER = "net.img_encoder.model."
OBJECT_NAMES = (
    (IMAGE_ENCODER, "backbone.net.img_encoder."),
    ("net.decoder.norm.", "densifier.fine.norm."),
    ("net.decoder.cross_att.", "densifier.fine.cross_att."),
    ("net.decoder.mlp_fine.", "densifier.fine.mlp_fine."),
    ("net.dec.", "densifier.densifier.dec."),
    ("net.", "backbone.net."),
)
"""What published names begin with, and ours; the first that fits counts."""
MVSPLAT_NAMES = (("encoder.", "backbone.net."),)
SCENE_NAMES = (*MVSPLAT_NAMES, ("", "densifier."))


@runtime_checkable
class Build(Protocol):
    """Puts a model together."""

    def __call__(
        self, compatibility: Compatibility | None = None, improvements: Improvements | None = None
    ) -> FeedForward:
        """Freshly initialised."""
        ...


@dataclass(frozen=True, kw_only=True)
class Published:
    """One of the published models."""

    title: str
    build: Build
    """Without weights."""
    compatibility: Compatibility
    """What its weights need."""
    names: tuple[tuple[str, str], ...]
    """See :data:`OBJECT_NAMES`."""
    constants: Mapping[str, tuple[int, ...]]
    """Tensors in its checkpoints that hold nothing learned and that our model does without."""

    def outline(self) -> FeedForward:
        """The model without memory for its weights (torch's ``meta`` device)."""
        with torch.device("meta"):
            return self.build(self.compatibility).eval()


PUBLISHED: Mapping[str, Published] = {
    "object": Published(
        title="Generative Densification of objects",
        build=object_gd,
        compatibility=OBJECT,
        names=OBJECT_NAMES,
        constants={},
    ),
    "object-residual": Published(
        title="Generative Densification of objects, residual",
        build=object_gd_residual,
        compatibility=OBJECT_RESIDUAL,
        names=OBJECT_NAMES,
        constants={},
    ),
    "scene": Published(
        title="Generative Densification of scenes",
        build=scene_gd,
        compatibility=SCENE,
        names=SCENE_NAMES,
        constants={},
    ),
    "lara": Published(
        title="LaRa",
        build=lara,
        compatibility=OBJECT,
        names=OBJECT_NAMES,
        constants={"net.dense_grid": (32, 32, 32, 3), "net.centers": (64, 64, 64, 3)},
    ),
    "mvsplat": Published(title="MVSplat", build=mvsplat, compatibility=SCENE, names=MVSPLAT_NAMES, constants={}),
}
"""By kind."""


def to_published(kind: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's state under the published names, constants included."""
    published = PUBLISHED[kind]
    renamed = _renamed(state, [(ours, theirs) for theirs, ours in published.names], dino.to_published)
    device = next(iter(state.values())).device
    return renamed | {key: cell_centres(shape[0]).to(device) for key, shape in published.constants.items()}


def from_published(kind: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`to_published`, for a state that has just the published names."""
    published = PUBLISHED[kind]
    learned = {key: value for key, value in state.items() if key not in published.constants}
    return _renamed(learned, published.names, dino.from_published)


def _renamed(
    state: Mapping[str, Tensor],
    names: Sequence[tuple[str, str]],
    encoder_renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """By what names begin with, from the first of each pair to the second; the image encoder's by a function."""
    renamed: dict[str, Tensor] = {}
    encoder: dict[str, Tensor] = {}
    prefix = ""
    for key, value in state.items():
        pair = next(pair for pair in names if key.startswith(pair[0]))
        bare = key.removeprefix(pair[0])
        if IMAGE_ENCODER in pair:
            encoder[bare], prefix = value, pair[1]
        else:
            renamed[pair[1] + bare] = value
    return renamed | {prefix + key: value for key, value in encoder_renamed(encoder).items()}


def expected_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a published checkpoint."""
    state = to_published(kind, PUBLISHED[kind].outline().state_dict())
    return {key: tuple(value.shape) for key, value in state.items()}
