"""The densifier of the small object model: the photographs are looked at again where the new Gaussians are.

Before that the coarse Gaussians may be changed in rounds: what the photographs say of each, in view of what is drawn in
their places, changes its colour and opacity, and all are drawn anew. What a photograph sees of a Gaussian depends on
those before it, so that a second look says more than the first: surfaces that were hidden come to light, as when a
block is carved by its colours (space carving, Kutulakos & Seitz 2000), but learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu

from veduta.core import Cameras, Gaussians, Views
from veduta.feedforward.bounds import GROUPS, MAX_CHANNELS, between, check_settings
from veduta.feedforward.coarse import Coarse, Intake
from veduta.feedforward.decode import OPACITY_SHIFT, object_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan
from veduta.feedforward.drawing import Drawing
from veduta.feedforward.learned_selection import LearnedSelector
from veduta.feedforward.models import FeedForward
from veduta.feedforward.objects import unchosen
from veduta.feedforward.samples import normalized_places, sampled
from veduta.feedforward.select import SELECTORS, Look, Selector
from veduta.feedforward.small import (
    BLURS,
    REDUCTION,
    ImageBlock,
    SmallBackbone,
    SmallPlan,
    image_layers,
    quiet,
    surroundings,
    with_color,
)

LAYERS = 9
"""Of what photographs and drawn pictures show: premultiplied colours (3 + 3), alphas (1 + 1), drawn depth."""
FAINT = 0.02
"""Added to the alpha of a photograph before its logarithm lowers the photograph's say."""


@dataclass(frozen=True, kw_only=True)
class SmallDensifierPlan:
    """The size of the densifier and how much it densifies."""

    budget: int = 512
    """Coarse Gaussians that are densified."""
    selection: Literal["gradient", "signed-gradient", "random", "learned"] = "gradient"
    """Which they are; see :mod:`veduta.feedforward.select`."""
    width: int = 48
    """Of both stages."""
    map_channels: int = 16
    """Of maps of what the photographs show and the drawn pictures do not."""
    rounds: int = 0
    """How often all coarse Gaussians are changed by what the photographs say of them, and drawn again, beforehand."""
    asked: int = 24
    """Numbers with which a point asks the photographs, and hidden ones of the answer."""
    factors: tuple[int, ...] = (2, 4)
    """Children per point of each stage."""
    ratio: float = 0.8
    """Share of the first stage's children that goes on; with 1 nothing is split."""
    drop_path: float = 0.0
    """Share of rows that the first block drops while training."""
    scale_share: float = 1 / 7
    """Standard deviation of a fresh network's new Gaussians, as a share of a voxel."""
    opacity_logit: float = 0.5
    """Added to that of their parents for new Gaussians, which are smaller."""

    def __post_init__(self) -> None:
        stages, children = len(self.factors), math.prod(self.factors)
        check_settings(
            self,
            {
                "budget": between(self.budget, 1, 1_000_000),
                "width": between(self.width, GROUPS, MAX_CHANNELS, multiple=GROUPS),
                "map_channels": between(self.map_channels, GROUPS, MAX_CHANNELS, multiple=GROUPS),
                "rounds": between(self.rounds, 0, 16),
                "asked": between(self.asked, 1, MAX_CHANNELS),
                "factors": (
                    1 <= stages <= 8 and min(self.factors) >= 1 and children <= 1024,
                    "1 to 8 factors of 1 or more, at most 1024 children in all",
                ),
                "ratio": (0 < self.ratio <= 1, "above 0, at most 1"),
                "drop_path": (0 <= self.drop_path < 1, "0 or more, below 1"),
                "scale_share": (0 < self.scale_share <= 10, "above 0, at most 10"),
                "opacity_logit": between(self.opacity_logit, -100, 100),
            },
        )


class SmallDensifier(nn.Module):
    """A :class:`~veduta.feedforward.models.Finer`."""

    def __init__(self, coarse: SmallPlan, plan: SmallDensifierPlan, drawing: Drawing | None = None) -> None:
        super().__init__()
        self.coarse_plan, self.plan = coarse, plan
        self.drawing = Drawing() if drawing is None else drawing
        self.sh_numbers = coarse.attributes - 8
        self.entry = nn.Conv2d(LAYERS, plan.map_channels, 4, stride=2, padding=1)
        self.block = ImageBlock(plan.map_channels)
        self.rounds = nn.ModuleList(Round(coarse, plan) for _ in range(plan.rounds))
        self.ask_coarse = Ask(coarse.channels, plan, answers=plan.asked + self.sh_numbers + 1)
        self.mix = nn.Linear(coarse.channels + plan.asked, plan.width)
        stages = len(plan.factors)
        self.densifier = Densifier(
            DensifierPlan(
                channels=(plan.width,) * stages,
                heads=(plan.width // 8,) * stages,
                factors=plan.factors,
                ratios=(plan.ratio,) * (stages - 1),
                attributes=coarse.attributes + plan.asked,
                grid_size=coarse.pitch,
                drop_path=plan.drop_path,
            )
        )
        for stage in self.densifier.dec:
            quiet(stage.get_submodule("head.feat2attr.2"), quaternion_at=self.sh_numbers + 4, rows=coarse.attributes)
        self.ask_fine = Ask(plan.asked, plan, answers=self.sh_numbers + 1)

    def forward(
        self,
        coarse: Coarse,
        chosen: Int[Tensor, " m"],
        views: Views,
        seen: Look,
        *,
        near: float,
        generator: torch.Generator | None = None,
    ) -> Gaussians:
        """The new Gaussians, stage by stage, then the others, in other colours and opacities."""
        told = self.thought_over(coarse, views, seen)
        means, change, fade = coarse.gaussians.means, told.change, told.fade
        stages = self.densifier(
            means[chosen], told.features[chosen], torch.tensor([len(chosen)], device=chosen.device), generator=generator
        )
        coords = torch.cat([leaves.coords for leaves in stages])
        raw = torch.cat([leaves.attributes for leaves in stages]).to(coords)
        gates = torch.cat([leaves.gates for leaves in stages])
        roots = torch.cat([leaves.roots for leaves in stages])
        changed = recolored(coarse.gaussians, change, fade)[unchosen(chosen, len(means))]
        parents = logits_of(coarse.gaussians).detach() + (fade[:, 0] if self.rounds else 0.0)
        born = self.born(coords, raw, parents[chosen][roots], told.shown)
        return Gaussians.cat([born.replace(opacities=born.opacities * gates), changed])

    def thought_over(self, coarse: Coarse, views: Views, seen: Look) -> Told:
        """What becomes of the coarse Gaussians, round by round."""
        means, features = coarse.gaussians.means, coarse.features
        change, fade = means.new_zeros(len(means), self.sh_numbers), means.new_zeros(len(means), 1)
        for one in self.rounds:
            features, more, less = one(features, means, self.shown(views, seen))
            change, fade = change + more, fade + less
            seen = self.seen_again(recolored(coarse.gaussians, change, fade), views, seen)
        shown = self.shown(views, seen)
        answer, _ = self.ask_coarse(features, means, shown)
        told, more, less = answer.split([self.plan.asked, self.sh_numbers, 1], dim=1)
        features = self.mix(torch.cat([features, told], dim=1))
        return Told(features, change + more, fade + less, shown)

    @torch.no_grad()
    def seen_again(self, gaussians: Gaussians, views: Views, before: Look) -> Look:
        """How changed Gaussians look from the photographs; what pulls at them is not worked out anew."""
        drawn = self.drawing.draw(gaussians.detach(), views.cameras)
        color = drawn.color.clamp(0, 1) if self.drawing.clamp else drawn.color
        return Look(color, drawn.alpha, drawn.depth, before.signed, before.absolute)

    def shown(self, views: Views, seen: Look) -> Pictures:
        """Photographs, what is drawn in their places, and maps of both."""
        photographs = image_layers(views)
        alpha = seen.alpha[:, None]
        drawn = torch.cat([seen.color.permute(0, 3, 1, 2) - (1 - alpha), alpha], dim=1)
        distance = views.cameras.positions_world.norm(dim=1)[:, None, None].to(seen.depth)
        depth = torch.where(seen.alpha > FAINT, (seen.depth - distance) / self.coarse_plan.pitch, 0.0)[:, None]
        maps = self.block(self.entry(torch.cat([photographs, drawn, 0.1 * depth.clamp(-16, 16)], dim=1)))
        maps = torch.cat([maps, surroundings(avg_pool2d(photographs[:, 3:], REDUCTION))], dim=1)
        return Pictures(photographs, drawn, seen.depth, maps, views.cameras, self.coarse_plan.pitch)

    def born(
        self,
        coords: Float[Tensor, "m 3"],
        raw: Float[Tensor, "m a"],
        logits: Float[Tensor, " m"],
        shown: Pictures,
    ) -> Gaussians:
        """New Gaussians that took their colours from the photographs, and opacities (``logits``) from their parents."""
        plain, asked = raw.split([self.coarse_plan.attributes, self.plan.asked], dim=1)
        answer, color = self.ask_fine(asked, coords, shown)
        plain = with_color(plain, color)
        n = self.sh_numbers
        opacity = plain[:, n : n + 1] + answer[:, n:] + logits[:, None] + self.plan.opacity_logit - OPACITY_SHIFT
        full = torch.cat([plain[:, :n] + answer[:, :n], opacity, plain[:, n + 1 :]], dim=1)
        return object_gaussians(coords, full, unit_scale=self.coarse_plan.pitch * self.plan.scale_share)


@dataclass(frozen=True, eq=False)
class Pictures:
    """What points can look at."""

    photographs: Float[Tensor, "v 4 h w"]
    drawn: Float[Tensor, "v 4 h w"]
    depth: Float[Tensor, "v h w"]
    maps: Float[Tensor, "v c a b"]
    cameras: Cameras
    unit: float
    """In which depths are compared."""

    def at(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "v t n"], Bool[Tensor, "v n"]]:
        """What each photograph says of each point (colour and alpha first), and whether it is in the picture."""
        places, z = normalized_places(points, self.cameras)
        large = torch.cat([self.photographs, self.drawn, self.depth[:, None]], dim=1)
        taken = sampled(large, places)
        behind = ((taken[:, 8:] - z[:, None]) / self.unit).clamp(-4, 4)
        towards = points - self.cameras.positions_world[:, None].to(points)
        towards = nn.functional.normalize(towards, dim=-1).permute(0, 2, 1)
        said = torch.cat([taken[:, :8], behind, towards, sampled(self.maps, places)], dim=1)
        return said, (places.abs() < 1).all(dim=-1)


@dataclass(frozen=True, eq=False)
class Told:
    """What the photographs said of n coarse Gaussians."""

    features: Float[Tensor, "n w"]
    change: Float[Tensor, "n s"]
    """Of their SH coefficients."""
    fade: Float[Tensor, "n 1"]
    """Of the logits of their opacities."""
    shown: Pictures
    """The last look."""


def logits_of(gaussians: Gaussians) -> Float[Tensor, " n"]:
    """Of opacities."""
    return torch.logit(gaussians.opacities, eps=1e-6)


def recolored(gaussians: Gaussians, change: Float[Tensor, "n s"], fade: Float[Tensor, "n 1"]) -> Gaussians:
    """The same with other SH coefficients and opacities."""
    return gaussians.replace(
        sh=gaussians.sh + change.unflatten(1, (-1, 3)), opacities=torch.sigmoid(logits_of(gaussians) + fade[:, 0])
    )


class Ask(nn.Module):
    """Points ask every photograph; the answers are weighed against each other, in no order."""

    def __init__(self, channels: int, plan: SmallDensifierPlan, *, answers: int) -> None:
        super().__init__()
        said = 8 + 1 + 3 + plan.map_channels + len(BLURS)
        self.query = nn.Linear(channels, plan.asked)
        self.token = nn.Linear(said, plan.asked)
        self.say = nn.Linear(plan.asked, 1)
        self.answer = nn.Sequential(
            nn.Linear(2 * plan.asked + 3, plan.asked), nn.GELU(), nn.Linear(plan.asked, answers)
        )
        last = self.answer[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.weight.mul_(0.1)

    def forward(
        self, features: Float[Tensor, "n c"], points: Float[Tensor, "n 3"], shown: Pictures
    ) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n 3"]]:
        """Answers, and the colour that the photographs agree on."""
        said, inside = shown.at(points)
        query = self.query(features)
        hidden = gelu(self.token(said.permute(2, 0, 1)) + query[:, None])
        alpha = said[:, 3].T
        logits = self.say(hidden)[..., 0] + torch.log(alpha.clamp_min(0) + FAINT)
        weights = logits.masked_fill(~inside.T, -20.0).softmax(dim=1)[..., None]
        colors = (said[:, :3] / said[:, 3:4].clamp_min(FAINT)).permute(2, 0, 1).clamp(0, 1)
        color = (weights * colors).sum(dim=1)
        spread = (weights * (colors - color[:, None]).square()).sum(dim=1)
        pooled = (weights * hidden).sum(dim=1)
        return self.answer(torch.cat([query, pooled, spread], dim=1)).to(points), color


class Round(nn.Module):
    """All coarse Gaussians ask the photographs and take the answers along."""

    def __init__(self, coarse: SmallPlan, plan: SmallDensifierPlan) -> None:
        super().__init__()
        self.parts = [plan.asked, coarse.attributes - 8, 1]
        self.ask = Ask(coarse.channels, plan, answers=sum(self.parts))
        self.take = nn.Linear(plan.asked, coarse.channels)

    def forward(
        self, features: Float[Tensor, "n c"], means: Float[Tensor, "n 3"], shown: Pictures
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n s"], Float[Tensor, "n 1"]]:
        """Features, and changes of SH coefficients and of the logits of opacities."""
        answer, _ = self.ask(features, means, shown)
        told, change, fade = answer.split(self.parts, dim=1)
        return features + self.take(told), change, fade


def small_object_model(
    coarse: SmallPlan | None = None, densifier: SmallDensifierPlan | None = None, *, selector: Selector | None = None
) -> FeedForward:
    """Photographs of a masked object over white -> Gaussians; without a ``densifier`` the coarse ones only.

    ``selector``: another than the one that the densifier's plan names.
    """
    plan = SmallPlan() if coarse is None else coarse
    if selector is None and densifier is not None:
        learned = densifier.selection == "learned"
        selector = LearnedSelector(plan.channels) if learned else SELECTORS[densifier.selection]
    drawing = Drawing()
    return FeedForward(
        SmallBackbone(plan),
        None if densifier is None else SmallDensifier(plan, densifier, drawing),
        intake=Intake(size_px=(plan.size_px, plan.size_px), min_views=2, max_views=None, masked=True),
        drawing=drawing,
        budget=0 if densifier is None else densifier.budget,
        selector=selector,
    )
