"""Densified scenes: unions, views apart and together, units."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.unit.feedforward.tiny import cloud, ring
from veduta.core import Views
from veduta.feedforward import Coarse, Compatibility, DensifierPlan, Drawing, SceneDensifier, look, select
from veduta.feedforward.densify import Leaves
from veduta.feedforward.scene import scene_samples
from veduta.geometry import Similarity, transform_cameras, transform_points

TINY = DensifierPlan(
    channels=(64, 16, 8),
    heads=(8, 2, 1),
    factors=(2, 2, 2),
    ratios=(0.5, 0.8),
    attributes=83,
    grid_size=0.01,
    reach=0.1,
    residual=True,
)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def scene(generator: torch.Generator, each: int = 60) -> tuple[Coarse, Views]:
    views = Views.of(ring(2), rgb=torch.rand(2, 32, 32, 3, generator=generator))
    gaussians = cloud(2 * each, generator, degree=3)
    features = torch.randn(2 * each, 10, generator=generator)
    return Coarse(gaussians, features, torch.arange(2).repeat_interleave(each)), views


def densifier(plan: DensifierPlan = TINY, *, together: bool = False) -> SceneDensifier:
    torch.manual_seed(0)
    return SceneDensifier(plan, raw=10, width=32, together=together).eval()


@torch.no_grad()
def test_union_by_view(generator: torch.Generator) -> None:
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    chosen = select(seen.scores(signed=True), 20, sources=coarse.sources)
    assert torch.bincount(coarse.sources[chosen]).tolist() == [20, 20]
    union = densifier()(coarse, chosen, views, seen, near=1)
    fresh = 20 + 8 + 64  # 40 children, 20 leaves; 40, 8 leaves; 64
    assert len(union) == 2 * (fresh + 40)
    kept = [row for row in range(60) if row not in chosen.tolist()]
    assert torch.equal(union.means[fresh : fresh + 40], coarse.gaussians.means[kept])
    assert union.sh.shape[1] == 16


@torch.no_grad()
def test_half_precision_ends_where_numbers_become_gaussians(generator: torch.Generator) -> None:
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    chosen = select(seen.scores(signed=True), 20, sources=coarse.sources)
    made: list[Sequence[Leaves]] = []

    def keep(net: object, given: object, stages: Any) -> None:
        made.append(stages)

    def again(net: object, given: object, stages: object) -> list[Leaves]:
        return [leaves.to(torch.float32) for leaves in made.pop(0)]

    half, full = densifier(), densifier()
    half.point_decoder.register_forward_hook(keep)
    with torch.autocast("cpu", torch.bfloat16):
        union = half(coarse, chosen, views, seen, near=1)
    full.point_decoder.register_forward_hook(again)
    exact = full(coarse, chosen, views, seen, near=1)
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(union, name), getattr(exact, name)), name


@torch.no_grad()
def test_views_apart_do_not_see_each_other_and_together_they_do(generator: torch.Generator) -> None:
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    chosen = select(seen.scores(signed=True), 20, sources=coarse.sources)
    other = coarse.replace(features=torch.where(coarse.sources[:, None] == 1, -coarse.features, coarse.features))
    fresh = 92
    for together in (False, True):
        net = densifier(together=together)
        first, second = (net(given, chosen, views, seen, near=1) for given in (coarse, other))
        same = torch.equal(first.sh[: fresh // 2], second.sh[: fresh // 2])
        assert same is not together


@torch.no_grad()
def test_together_each_gaussian_is_decoded_by_its_own_view(generator: torch.Generator) -> None:
    """The number from all views is the same as apart; each lies near the pixels of the view that it is counted to."""
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    chosen = select(seen.scores(signed=True), 20, sources=coarse.sources)
    net = densifier(together=True)
    samples = scene_samples(coarse.gaussians.means, views, seen, near=1, compatibility=Compatibility())
    rows = [chosen[coarse.sources[chosen] == view] for view in range(2)]
    made = net.points(coarse.gaussians.means, coarse.features, rows, samples, views.cameras)
    assert sum(len(points.means) for stages in made for points in stages) == 2 * 92
    for view, stages in enumerate(made):
        for points in stages:
            assert torch.equal(points.world_from_camera, views.cameras.world_from_camera[view])
            nearest = torch.cdist(points.means, coarse.gaussians.means[rows[view]]).amin(dim=1)
            assert float(nearest.max()) < 0.005


@torch.no_grad()
def test_samples_do_not_depend_on_the_unit_of_length(generator: torch.Generator) -> None:
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    larger = Similarity(3.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    means = coarse.gaussians.means
    plain = scene_samples(means, views, seen, near=1, compatibility=Compatibility())
    scaled = scene_samples(
        transform_points(means, larger),
        views.replace(cameras=transform_cameras(views.cameras, larger)),
        seen.replace(depth=3 * seen.depth),
        near=3,
        compatibility=Compatibility(),
    )
    assert torch.allclose(plain, scaled, atol=1e-4)
    published = scene_samples(means, views, seen, near=1, compatibility=Compatibility(unnormalised_depth=True))
    assert torch.equal(published[:, :7], plain[:, :7])
    assert not torch.allclose(published[:, 7], plain[:, 7], atol=1e-3)


def test_gates_let_render_gradients_reach_the_splits(generator: torch.Generator) -> None:
    coarse, views = scene(generator)
    seen = look(coarse.gaussians, views, Drawing())
    chosen = select(seen.scores(signed=True), 20, sources=coarse.sources)
    reached: dict[str, float] = {}
    for gate in ("softmax", "rendered"):
        net = densifier(dataclasses.replace(TINY, gate=gate))
        union = net(coarse, chosen, views, seen, near=1)
        (Drawing().draw(union, views.cameras).color - views.rgb).square().mean().backward()
        weight = net.point_decoder.dec[0].get_submodule("mask.net.2").get_parameter("weight")
        reached[gate] = 0.0 if weight.grad is None else float(weight.grad.norm())
    assert reached["rendered"] > 5 * reached["softmax"]
