"""How many Gaussians the published shapes give, counted on networks of the true sizes but few channels."""

from __future__ import annotations

import dataclasses

import torch

from tests.unit.feedforward.tiny import cloud, ring
from veduta.core import Views
from veduta.feedforward import Coarse, DensifierPlan, ObjectDensifier, SceneDensifier, select
from veduta.feedforward.published import OBJECT_BUDGET, SCENE_BUDGET
from veduta.feedforward.scene import SCENE_PLAN
from veduta.feedforward.select import Look

NARROW = {"blocks": 1, "drop_path": 0.0}


def unseen(views: int, gaussians: int) -> tuple[Views, Look]:
    """Photographs and looks of nothing."""
    shown = Views.of(ring(views, size=8), rgb=torch.zeros(views, 8, 8, 3))
    flat, none = torch.zeros(views, 8, 8), torch.zeros(gaussians, 2)
    return shown, Look(shown.rgb, flat, flat, none, none)


@torch.no_grad()
def test_an_object_of_all_voxels_has_331_744() -> None:
    count = 64**3
    generator = torch.Generator().manual_seed(0)
    gaussians = cloud(8, generator).map(lambda t: t.repeat(count // 8, *[1] * (t.ndim - 1)))
    coarse = Coarse(gaussians, torch.zeros(count, 4), torch.zeros(count, dtype=torch.long))
    plan = DensifierPlan(channels=(8, 8), heads=(1, 1), **NARROW)
    chosen = select(torch.rand(count, generator=generator), OBJECT_BUDGET, sources=coarse.sources)
    union = ObjectDensifier(plan, channels=4, heads=1)(coarse, chosen, *unseen(2, count), near=1)
    assert len(union) == 331_744


@torch.no_grad()
def test_a_scene_of_two_views_has_347_072() -> None:
    each = 256**2
    generator = torch.Generator().manual_seed(0)
    gaussians = cloud(8, generator).map(lambda t: t.repeat(2 * each // 8, *[1] * (t.ndim - 1)))
    coarse = Coarse(gaussians, torch.zeros(2 * each, 4), torch.arange(2).repeat_interleave(each))
    plan = dataclasses.replace(SCENE_PLAN, channels=(32, 8, 8), heads=(4, 1, 1), **NARROW)
    chosen = select(torch.rand(2 * each, generator=generator), SCENE_BUDGET, sources=coarse.sources)
    union = SceneDensifier(plan, raw=4, width=16)(coarse, chosen, *unseen(2, 2 * each), near=1)
    assert len(union) == 347_072
