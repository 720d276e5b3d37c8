"""Models on a GPU, pretended: everything follows the photographs and comes to the same numbers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.pretend import PRETENDED, PretendTensor, pretending, values
from tests.unit.feedforward.test_backbones import street
from tests.unit.feedforward.tiny import PLAN, SIZE, Stored, cloud, object_model, pictures
from veduta.core import Gaussians, Views
from veduta.feedforward import (
    ByGradient,
    Coarse,
    Compatibility,
    DensifierPlan,
    Drawing,
    FeedForward,
    LearnedSelector,
    Look,
    ObjectDensifier,
    Prediction,
    SceneDensifier,
    models,
)
from veduta.feedforward.compatibility import SCENE
from veduta.feedforward.mvsplat import Mvsplat
from veduta.feedforward.published import SCENE_INTAKE
from veduta.feedforward.scene import RAW

MANY = Compatibility(half_pixel_shift=True, unnormalised_depth=True, first_duplicate=True, coords_x2=True)


def on_both(model: FeedForward, views: Views, far: float) -> tuple[Prediction, Prediction]:
    """Predictions on the CPU, and on the pretended GPU."""
    model = model.eval()
    with torch.no_grad():
        here = model(views, near=1.0, far=far, backend="reference")
        state: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with pretending():
            there = {name: PretendTensor(value.detach()) for name, value in state.items()}
            named = {"near": 1.0, "far": far, "backend": "reference"}
            return here, torch.func.functional_call(model, there, (views.to(PRETENDED),), named)


def compare(here: Prediction, there: Prediction) -> None:
    assert isinstance(there.fine.means, PretendTensor)
    assert torch.equal(values(there.chosen), here.chosen)
    for field in dataclasses.fields(here.fine):
        torch.testing.assert_close(values(getattr(there.fine, field.name)), getattr(here.fine, field.name))


@pytest.mark.parametrize("published", [False, True])
def test_objects(published: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    model = object_model(generator, count=60, budget=20)
    plan = dataclasses.replace(PLAN, looks=not published, shared_cells="first" if published else "mean")
    model.densifier = ObjectDensifier(plan, channels=8, heads=2, compatibility=MANY if published else None)
    model.drawing = Drawing(mirrored=published)
    views = pictures(generator, 2)
    assert views.cameras.width == SIZE
    compare(*on_both(model, views, far=3.0))


def unseen(gaussians: Gaussians, views: Views, drawing: Drawing, *, backend: str) -> Look:
    """Instead of a look, which takes the plain rasteriser seconds: numbers that follow places and photographs."""
    flat = views.rgb.mean(dim=-1)
    return Look(1 - views.rgb, flat, 1 + flat, gaussians.means[:, :2], gaussians.means[:, 1:].abs())


class Paired(Stored):
    """Half of the Gaussians from each of two views."""

    def forward(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        coarse = super().forward(views, near=near, far=far)
        rows = torch.arange(len(coarse.sources), device=coarse.sources.device)
        return coarse.replace(sources=2 * rows // len(rows))


@pytest.mark.parametrize("published", [False, True])
def test_scenes(published: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrow densifier, as published after MVSplat's network."""
    monkeypatch.setattr(models, "look", unseen)
    torch.manual_seed(0)
    flags = SCENE if published else Compatibility()
    plan = DensifierPlan(
        channels=(64, 16),
        heads=(8, 2),
        factors=(2, 2),
        ratios=(0.5,),
        attributes=83,
        grid_size=0.01,
        reach=0.1,
        residual=True,
        looks=not published,
        gate="softmax" if published else "rendered",
    )
    model = FeedForward(
        Mvsplat(flags) if published else Paired(cloud(200, torch.Generator().manual_seed(0), degree=3)),
        SceneDensifier(plan, raw=RAW if published else 8, width=32, together=not published, compatibility=flags),
        intake=SCENE_INTAKE,
        drawing=Drawing(background=(0.0, 0.0, 0.0), clamp=False),
        budget=30,
        selector=ByGradient(signed=True) if published else LearnedSelector(8),
    )
    compare(*on_both(model, street(), far=100.0))
