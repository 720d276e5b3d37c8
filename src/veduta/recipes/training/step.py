"""One example: from views to a loss whose gradients are added to the weights'."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Example, Gaussians, Streams, Views
from veduta.feedforward import Drawing, FeedForward, Prediction, selection_loss
from veduta.feedforward.samples import normalized_places, sampled
from veduta.feedforward.select import look
from veduta.measure import psnr, reconstruction_loss
from veduta.recipes.training.plan import TrainPlan
from veduta.render import Backend


@dataclass(frozen=True)
class Learned:
    """What one example said; PSNR in dB of the views that the model was not shown."""

    loss: float
    coarse_psnr: float
    psnr: float
    gaussians: float


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model's Gaussians are compared with: views that it was shown, if any of them, before the others."""

    cameras: Cameras
    pictures: Float[Tensor, "v h w 3"]
    behind: Float[Tensor, "v 3"]
    """Colour behind each view."""
    shown: int

    def unseen(self) -> Judged:
        """The views alone that the model was not shown, by which models of scenes are judged (MVSplat)."""
        first = self.shown
        return Judged(self.cameras[first:], self.pictures[first:], self.behind[first:], shown=0)


def learn_(
    model: FeedForward,
    example: Example,
    plan: TrainPlan,
    *,
    share: float,
    generator: torch.Generator,
    backend: str | Backend = "auto",
) -> Learned:
    """Add ``share`` of the example's gradients to the weights' and tell how it went.

    Everything random is drawn from ``generator`` (on the CPU); torch's own stream is as it was before.
    """
    device = next(model.parameters()).device
    if plan.turned and example.input_alpha is not None:
        example = turned(example, generator)
    behind = plan.backgrounds[int(torch.randint(len(plan.backgrounds), (1,), generator=generator))]
    example = example.to(device)
    judged = to_judge(example, model.drawing, behind=behind)
    if not model.intake.masked:
        judged = judged.unseen()
    inputs = shown_views(example, model.drawing)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.bf16):
            made = model(inputs, near=example.near, far=example.far, generator=generator)
        levels = (
            [(plan.coarse_weight, made.coarse)]
            if made.coarse is made.fine
            else [
                (plan.coarse_weight, made.coarse),
                (1.0, made.fine),
            ]
        )
        total = torch.zeros((), device=device)
        peaks: list[float] = []
        for weight, gaussians in levels:
            pictures = drawn(gaussians, judged, model.drawing, backend=backend)
            own = reconstruction_loss(
                strip(pictures), strip(judged.pictures), ssim_weight=plan.ssim_weight, scales=plan.ssim_scales
            )
            if plan.carve_weight and example.target_alpha is not None:
                own = own + plan.carve_weight * misplaced(gaussians, example.targets.cameras, example.target_alpha)
            total = total + weight * own
            unseen = pictures.detach()[judged.shown :].clamp(0, 1)
            peaks.append(float(psnr(strip(unseen), strip(judged.pictures[judged.shown :]))))
        if made.scores.requires_grad:
            total = total + plan.selection_weight * selection_loss(
                made.scores, pulls_unseen(made, example, model, backend)
            )
        (share * total).backward()
    return Learned(float(total.detach()), peaks[0], peaks[-1], float(len(made.fine)))


def pulls_unseen(made: Prediction, example: Example, model: FeedForward, backend: str | Backend) -> Float[Tensor, " n"]:
    """How hard the views that the model was not shown pull at its coarse Gaussians: what a selector should foresee."""
    judged = to_judge(example, model.drawing, behind=None)
    views = example.targets.replace(rgb=judged.pictures[judged.shown :])
    return look(made.coarse, views, model.drawing, backend=backend).scores(signed=False)


def shown_views(example: Example, drawing: Drawing) -> Views:
    """The input views as a model takes them: cut-out objects over its background, coverage kept."""
    if example.input_alpha is None:
        return example.inputs
    behind = torch.tensor(drawing.background).to(example.inputs.rgb)
    return example.inputs.replace(rgb=over(example.inputs.rgb, example.input_alpha, behind), alpha=example.input_alpha)


def to_judge(example: Example, drawing: Drawing, *, behind: float | None) -> Judged:
    """All views of an example; ``behind`` those of a cut-out object that are not inputs lies this grey.

    None, and for opaque pictures: the model's background.
    """
    own = torch.tensor(drawing.background).to(example.inputs.rgb)
    inputs, targets = example.inputs, example.targets
    first, others = inputs.rgb, targets.rgb
    other = own if behind is None or example.target_alpha is None else torch.full_like(own, behind)
    if example.input_alpha is not None:
        first = over(first, example.input_alpha, own)
    if example.target_alpha is not None:
        others = over(others, example.target_alpha, other)
    return Judged(
        cameras=Cameras.cat([inputs.cameras, targets.cameras]),
        pictures=torch.cat([first, others]),
        behind=torch.cat([own.expand(len(first), 3), other.expand(len(others), 3)]),
        shown=len(first),
    )


def drawn(
    gaussians: Gaussians, judged: Judged, drawing: Drawing, *, backend: str | Backend = "auto"
) -> Float[Tensor, "v h w 3"]:
    """The Gaussians from all judged cameras, each over its own background."""
    seen = drawing.draw(gaussians.to(torch.float32), judged.cameras, backend=backend)
    change = (judged.behind - judged.behind.new_tensor(drawing.background))[:, None, None]
    return seen.color + (1 - seen.alpha)[..., None] * change


def misplaced(gaussians: Gaussians, cameras: Cameras, alpha: Float[Tensor, "v h w"]) -> Float[Tensor, ""]:
    """Mean opacity of Gaussians, each weighted by how empty the emptiest of its places in the views is."""
    places, _ = normalized_places(gaussians.means.detach().float(), cameras)
    covered = sampled(alpha[:, None], places)[:, 0]
    covered = torch.where((places.abs() < 1).all(dim=-1), covered, 1.0).amin(dim=0)
    return ((1 - covered) * gaussians.opacities).mean()


def over(
    rgb: Float[Tensor, "v h w 3"], alpha: Float[Tensor, "v h w"], behind: Float[Tensor, "3"]
) -> Float[Tensor, "v h w 3"]:
    """Straight colours over a background."""
    return rgb * alpha[..., None] + behind * (1 - alpha[..., None])


def strip(pictures: Float[Tensor, "v h w 3"]) -> Float[Tensor, "h u 3"]:
    """Pictures side by side."""
    return pictures.movedim(0, 1).flatten(1, 2)


def turned(example: Example, generator: torch.Generator) -> Example:
    """The object, with its cameras, turned by one of the 24 rotations of a cube."""
    turn = CUBE[int(torch.randint(len(CUBE), (1,), generator=generator))]

    def moved(views: Views) -> Views:
        pose = views.cameras.world_from_camera
        return views.replace(cameras=views.cameras.replace(world_from_camera=turn.to(pose) @ pose))

    return example.replace(inputs=moved(example.inputs), targets=moved(example.targets))


def _cube_rotations() -> Float[Tensor, "24 4 4"]:
    found: list[Tensor] = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = torch.eye(4)
            turn[:3, :3] = torch.eye(3)[list(order)] * torch.tensor(signs)[:, None]
            if float(torch.linalg.det(turn[:3, :3])) > 0:
                found.append(turn)
    return torch.stack(found)


CUBE = _cube_rotations()
"""World from world."""


def example_generator(seed: int, number: int) -> torch.Generator:
    """All that is random about the example of that number, whichever process meets it, and when."""
    return Streams(seed)(f"example {number}")
