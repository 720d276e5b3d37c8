"""Generative densification (Nam et al., CVPR 2025): points with features become many finer Gaussians in one pass.

Each stage mixes the features of its points (two blocks), gives every point several children (UP), and parts these into
leaves, which become Gaussians, and others, which go on to the next stage on a grid of half the pitch. The last stage's
children are all leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from veduta.core import InputError, TensorRecord
from veduta.feedforward.lookup import Lookup, Shown
from veduta.nets import Block, Gate, Points, Split, Upsample, by_rows, items_of, kept

STRIDE = 2
"""By how much a stage's grid is finer than the one before."""


@dataclass(frozen=True, kw_only=True)
class DensifierPlan:
    """The shape of a densifier."""

    channels: tuple[int, ...] = (160, 256)
    """Width of each stage."""
    heads: tuple[int, ...] = (20, 32)
    """Attention heads of each stage."""
    factors: tuple[int, ...] = (2, 4)
    """Children per point of each stage."""
    ratios: tuple[float, ...] = (0.8,)
    """Share of the children that goes on, of each stage but the last."""
    attributes: int = 20
    """Numbers per Gaussian."""
    grid_size: float = 1 / 64
    """Pitch of the first stage's grid, in units of the points' coordinates."""
    reach: float = 0.5
    """How far from its parent a child can be along each axis, in cells of its stage."""
    blocks: int = 2
    """Blocks per stage, each along a curve of its own."""
    drop_path: float = 0.3
    """Share of rows that the first block drops while training; falls to 0 at the last."""
    residual: bool = False
    """Whether a stage's attributes are added to those of the parents, which then are worked out for all children."""
    gate: Gate = "sigmoid"
    """How gradients reach the scores of the split; see :class:`veduta.nets.Split`."""
    shared_cells: Literal["mean", "first"] = "mean"
    """What several points in one cell mean to a convolution; see :class:`veduta.nets.SubmanifoldConv`."""
    fp16_attention: bool = False
    """Whether attention rounds to half precision (:attr:`Compatibility.fp16_attention`)."""
    looks: bool = False
    """Whether children look at the photographs where they are; see :class:`~veduta.feedforward.lookup.Lookup`."""

    def __post_init__(self) -> None:
        stages = len(self.channels)
        sizes = {"heads": stages, "factors": stages, "ratios": stages - 1}
        for name, expected in sizes.items():
            if len(getattr(self, name)) != expected:
                raise InputError(
                    "a densifier whose stages do not fit together",
                    where="DensifierPlan",
                    field=name,
                    expected=f"{expected} values for {stages} stages",
                    got=len(getattr(self, name)),
                )

    @property
    def per_point(self) -> float:
        """Gaussians that one point becomes, on average."""
        total, alive = 0.0, 1.0
        for factor, ratio in zip(self.factors, (*self.ratios, 0.0), strict=True):
            total += alive * factor * (1 - ratio)
            alive *= factor * ratio
        return total


@dataclass(frozen=True, eq=False)
class Leaves(TensorRecord):
    """What became Gaussians in one stage."""

    coords: Float[Tensor, "m 3"]
    attributes: Float[Tensor, "m a"]
    """Raw numbers; what they mean is the model's business."""
    items: Int[Tensor, " m"]
    """The item that each belongs to, ascending."""
    roots: Int[Tensor, " m"]
    """The point that each came from."""
    gates: Float[Tensor, " m"]
    """1, to multiply opacities with: carries gradients to the splits; see :class:`veduta.nets.Split`."""


@dataclass(frozen=True, eq=False)
class Stem(TensorRecord):
    """Points on their way through the stages."""

    coords: Float[Tensor, "n 3"]
    features: Float[Tensor, "n c"]
    counts: Int[Tensor, " b"]
    roots: Int[Tensor, " n"]
    gates: Float[Tensor, " n"]
    attributes: Float[Tensor, "n a"] | None


class Head(nn.Module):
    """Attributes from features, point by point."""

    def __init__(self, channels: int, attributes: int) -> None:
        super().__init__()
        self.feat2attr = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, attributes))

    def forward(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "n a"]:
        """Raw attributes."""
        return by_rows(self.feat2attr, features)


class Stage(nn.Module):
    """Blocks, children, parting, attributes."""

    def __init__(self, plan: DensifierPlan, index: int) -> None:
        super().__init__()
        channels = plan.channels[index]
        last = index == len(plan.channels) - 1
        out = channels if last else plan.channels[index + 1]
        rates = torch.linspace(plan.drop_path, 0, plan.blocks * len(plan.channels), device="cpu").tolist()
        own = rates[plan.blocks * index : plan.blocks * (index + 1)]
        self.depth, self.residual = plan.blocks, plan.residual
        self.grid_size = plan.grid_size / STRIDE**index
        for i, rate in enumerate(own):
            block = Block(
                channels,
                plan.heads[index],
                curve=i % 4,
                drop_path=rate,
                shared_cells=plan.shared_cells,
                half_precision=plan.fp16_attention,
            )
            self.add_module(f"block{i}", block)
        self.up = Upsample(channels, out, plan.factors[index], reach=plan.reach, drop_path=own[-1])
        self.look = Lookup(out) if plan.looks else None
        self.mask = None if last else Split(out, plan.ratios[index], gate=plan.gate)
        self.head = Head(out, plan.attributes)

    def forward(self, stem: Stem, shown: Shown | None, generator: torch.Generator | None) -> tuple[Leaves, Stem | None]:
        """This stage's leaves, and what goes on (None after the last)."""
        points = Points.along_curves(stem.coords, stem.counts, self.grid_size, generator=generator)
        features = stem.features
        for i in range(self.depth):
            features = self.get_submodule(f"block{i}")(features, points)
        coords, features = self.up(stem.coords, features, self.grid_size)
        if self.look is not None:
            assert shown is not None, "a densifier that looks needs pictures"
            features = self.look(features, coords, shown)
        factor, counts = self.up.factor, stem.counts * self.up.factor
        roots, gates = stem.roots.repeat_interleave(factor), stem.gates.repeat_interleave(factor)
        attributes = self._of_all(features, stem) if self.residual else None
        if self.mask is None:
            given = self.head(features) if attributes is None else attributes
            return Leaves(coords, given, items_of(counts), roots, gates), None
        parting = self.mask(features, counts)
        on, leaf, gates = parting.goes_on, parting.leaves, gates * parting.gates
        given = self.head(parting.features[leaf]) if attributes is None else attributes[leaf]
        ahead = torch.tensor([kept(self.mask.ratio, n) for n in counts.tolist()], device=counts.device)
        handed = None if attributes is None else attributes[on]
        return (
            Leaves(coords[leaf], given, items_of(counts - ahead), roots[leaf], gates[leaf]),
            Stem(coords[on], parting.features[on], ahead, roots[on], gates[on], handed),
        )

    def _of_all(self, features: Float[Tensor, "m c"], stem: Stem) -> Float[Tensor, "m a"]:
        own = self.head(features)
        if stem.attributes is None:
            return own
        return own + stem.attributes.repeat_interleave(self.up.factor, dim=0)


class Densifier(nn.Module):
    """All stages. Deterministic in evaluation; children of equal scores are parted in the order of their rows."""

    def __init__(self, plan: DensifierPlan | None = None) -> None:
        super().__init__()
        self.plan = DensifierPlan() if plan is None else plan
        self.dec = nn.ModuleList(Stage(self.plan, index) for index in range(len(self.plan.channels)))

    def forward(
        self,
        coords: Float[Tensor, "n 3"],
        features: Float[Tensor, "n c"],
        counts: Int[Tensor, " b"],
        *,
        shown: Shown | None = None,
        generator: torch.Generator | None = None,
    ) -> Sequence[Leaves]:
        """The leaves of every stage, for items of ``counts`` points one after the other, all of them ``shown``.

        A ``generator`` is used while training only: the order of curves is drawn from it.
        """
        drawn = generator if self.training else None
        roots = torch.arange(len(coords), device=coords.device)
        stem: Stem | None = Stem(coords, features, counts, roots, torch.ones_like(features[:, 0]), None)
        made: list[Leaves] = []
        for stage in self.dec:
            assert stem is not None
            leaves, stem = stage(stem, shown, drawn)
            made.append(leaves)
        return made
