"""Confidence against its definition, the cost of removal against removal, pruning as counted."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.information import tiny
from veduta.core import Actor, Evidence, Gaussians, InputError, Scene
from veduta.geometry import Similarity, pack, transform_cameras, transform_scene, unpack
from veduta.information import (
    ASSUMED_NOISE,
    confidence,
    gather,
    posterior,
    prune,
    prune_report,
    removal_cost,
)
from veduta.render import render_scene


def eigenvalues(scene: Scene, evidence: Evidence) -> torch.Tensor:
    """Of the information against the prior, by a generalised eigenproblem of its own."""
    found = posterior(scene, evidence, kind="block", noise=ASSUMED_NOISE)
    told = unpack(evidence.fisher) / (ASSUMED_NOISE.kappa * ASSUMED_NOISE.sigma**2)
    return torch.linalg.eigvals(unpack(found.prior) @ told).real


def test_the_block_posteriors_confidence_is_the_share_of_effective_parameters() -> None:
    scene = tiny.scene()
    evidence = tiny.known(scene)
    values = eigenvalues(scene, evidence).clamp(min=0)
    found = confidence(posterior(scene, evidence, kind="block", noise=ASSUMED_NOISE))
    torch.testing.assert_close(found, (values / (1 + values)).sum(dim=1) / 13, rtol=1e-6, atol=1e-8)
    assert 0 < float(found.min()) < float(found.max()) < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["sandwich", "block", "diagonal"])
def test_what_was_never_seen_has_no_confidence(dtype: torch.dtype, kind: str) -> None:
    scene = tiny.scene(moving=True)
    found = posterior(scene, tiny.nothing(scene), kind=kind)
    found = found.replace(covariance=found.covariance.to(dtype), prior=found.prior.to(dtype))
    assert confidence(found).tolist() == [0.0] * len(scene.local())


def test_confidence_grows_with_photographs_and_stays_a_share() -> None:
    scene = tiny.scene()
    few = confidence(posterior(scene, tiny.known(scene, [0.0]), kind="block", noise=ASSUMED_NOISE))
    many = confidence(posterior(scene, tiny.known(scene, [0.0, 40.0, 200.0]), kind="block", noise=ASSUMED_NOISE))
    assert (many >= few - 1e-12).all()
    robust = confidence(posterior(scene, tiny.known(scene)))
    assert ((robust >= 0) & (robust <= 1)).all()


def test_confidence_knows_no_unit_of_length() -> None:
    scene, views = tiny.scene(), tiny.around([-20.0, 30.0])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    world = Similarity(37.0, turn * torch.linalg.det(turn), torch.tensor([1.0, -2.0, 3.0]).double())
    moved = transform_scene(scene, world)
    here = posterior(scene, gather(scene, views, backend="reference"))
    there = posterior(moved, gather(moved, transform_cameras(views, world), backend="reference"))
    torch.testing.assert_close(confidence(there), confidence(here), rtol=1e-6, atol=1e-8)


def test_discs_too_flat_for_float32_are_judged_by_what_can_be_told() -> None:
    scene = tiny.scene()
    flat = scene.background.scales.clone()
    flat[:, 2] = 1e-7 * flat[:, 0]
    scene = Scene(background=scene.background.replace(scales=flat))
    found = posterior(scene, tiny.known(scene), kind="block", noise=ASSUMED_NOISE)
    exact = confidence(found)
    rounded = confidence(found.replace(covariance=found.covariance.float(), prior=found.prior.float()))
    torch.testing.assert_close(rounded.double(), exact, rtol=0, atol=1.5 / 13)
    assert rounded.isfinite().all()


def without(gaussians: Gaussians, row: int) -> Gaussians:
    opacities = gaussians.opacities.clone()
    opacities[row] = 0
    return gaussians.replace(opacities=opacities)


@pytest.mark.parametrize("antialias", [False, True])
def test_removal_costs_what_the_pictures_change_by(antialias: bool) -> None:
    from veduta.core import RasterOptions

    options = RasterOptions(antialias=antialias)
    scene, views = tiny.scene(sky=True), tiny.around([-20.0, 0.0, 30.0])
    cost = removal_cost(gather(scene, views, options=options, backend="reference"), scene)
    before = render_scene(scene, views, options=options, backend="reference").color
    for row in range(len(scene.background)):
        pruned = Scene(background=without(scene.background, row), sky=scene.sky)
        after = render_scene(pruned, views, options=options, backend="reference").color
        torch.testing.assert_close(cost[row], (before - after).square().sum(), rtol=0.02, atol=1e-6)


def test_removal_of_actors_costs_what_the_pictures_change_by() -> None:
    scene, views = tiny.scene(moving=True), tiny.around([0.0, 0.0], times=[0.2, 1.4])
    cost = removal_cost(gather(scene, views, backend="reference"), scene)
    before = render_scene(scene, views, backend="reference").color
    actor = scene.actors["a"]
    gone = {"a": Actor(without(actor.gaussians, 1), actor.motion)}
    after = render_scene(Scene(scene.background, gone), views, backend="reference").color
    torch.testing.assert_close(cost[len(scene.background) + 1], (before - after).square().sum(), rtol=0.02, atol=1e-6)


def test_removal_of_wholly_opaque_gaussians_is_never_cheaper_than_it_looks() -> None:
    scene, views = tiny.scene(), tiny.around([-20.0, 30.0])
    solid = scene.background.opacities.clone()
    solid[:5] = 1.0
    scene = Scene(background=scene.background.replace(opacities=solid))
    cost = removal_cost(gather(scene, views, backend="reference"), scene)
    before = render_scene(scene, views, backend="reference").color
    for row in range(5):
        after = render_scene(Scene(without(scene.background, row)), views, backend="reference").color
        assert float(cost[row]) >= float((before - after).square().sum()) * 0.98
        assert math.isfinite(float(cost[row]))


def test_removal_is_free_where_nothing_was_seen_and_unknown_where_nothing_can_be_told() -> None:
    scene = tiny.scene()
    assert removal_cost(tiny.nothing(scene), scene).tolist() == [0.0] * len(scene.background)
    black = scene.background.replace(opacities=torch.ones(10).double(), sh=torch.full_like(scene.background.sh, -9.0))
    black = black.replace(sh=torch.cat([black.sh[:, :1], torch.zeros_like(black.sh[:, 1:])], dim=1))
    scene = Scene(background=black, sky=tiny.scene(sky=True).sky)
    cost = removal_cost(gather(scene, tiny.around([0.0]), backend="reference"), scene)
    assert torch.isinf(cost).any()
    assert len(prune(scene, cost, keep=0.1).background) == 1


def test_evidence_of_another_scene_has_no_removal_cost() -> None:
    with pytest.raises(InputError, match="belong"):
        removal_cost(tiny.nothing(tiny.scene()), tiny.scene(moving=True))


def test_pruning_keeps_the_highest_scores_of_every_owner() -> None:
    scene = tiny.scene(moving=True, sky=True)
    scores = torch.arange(14.0).flip(0)
    pruned = prune(scene, scores, keep=0.5)
    assert torch.equal(pruned.background.means, scene.background.means[:7])
    assert len(pruned.actors["a"].gaussians) == 0
    assert pruned.actors["a"].motion is scene.actors["a"].motion
    assert pruned.sky is scene.sky
    assert pruned.at(0.5).means.shape == (7, 3)
    above = prune(scene, scores, above=2.0)
    assert len(above.background) == 10
    assert torch.equal(above.actors["a"].gaussians.means, scene.actors["a"].gaussians.means[:2])


def test_pruning_keeps_all_or_nothing_where_asked() -> None:
    scene = tiny.scene(moving=True)
    same = torch.ones(14)
    assert torch.equal(prune(scene, same, keep=1.0).local().means, scene.local().means)
    assert len(prune(scene, same, keep=0.0).local()) == 0
    assert torch.equal(prune(scene, same, keep=0.5).background.means, scene.background.means[:7])  # equals: first rows


def test_what_cannot_be_pruned_by_is_refused() -> None:
    scene = tiny.scene()
    with pytest.raises(InputError, match="not the scene's scores"):
        prune(scene, torch.ones(3), keep=0.5)
    with pytest.raises(InputError, match="not numbers"):
        prune(scene, torch.full((10,), math.nan), keep=0.5)
    with pytest.raises(InputError, match="not a share"):
        prune(scene, torch.ones(10), keep=1.5)
    with pytest.raises(TypeError, match="not both"):
        prune(scene, torch.ones(10), keep=0.5, above=1.0)
    with pytest.raises(TypeError, match="keep or above"):
        prune(scene, torch.ones(10))


def test_the_report_says_what_each_share_costs() -> None:
    scene, cameras = tiny.scene(moving=True), tiny.around([-10.0, 20.0], times=[0.5, 1.0])
    photos = tiny.photographs(scene, cameras, noise=0.0)
    scores = removal_cost(gather(scene, photos, backend="reference"), scene)
    rows = prune_report(scene, scores, photos, shares=(1.0, 0.8, 0.0), backend="reference")
    assert [row.gaussians for row in rows] == [14, 11, 0]
    assert [row.keep for row in rows] == [1.0, 0.8, 0.0]
    assert [row.bytes for row in rows] == [14 * 4 * 26, 11 * 4 * 26, 0]  # degree 1: 14 + 3 x 4 numbers
    assert rows[0].psnr > rows[1].psnr > rows[2].psnr
    assert rows[1].threshold == float(scores.sort(descending=True).values[10])
    assert rows[2].threshold == math.inf
    blind = prune_report(scene, scores.max() - scores, photos, shares=(0.8,), backend="reference")
    assert blind[0].psnr < rows[1].psnr  # the wrong ones went
    with pytest.raises(InputError, match="no photographs"):
        prune_report(scene, scores, [])


def test_photographs_that_are_masked_altogether_do_not_judge_a_pruning() -> None:
    scene, cameras = tiny.scene(), tiny.around([-10.0, 20.0])
    photos = tiny.photographs(scene, cameras, noise=0.1)
    scores = torch.rand(10, generator=torch.Generator().manual_seed(0))
    masked = [photos[0], photos[1].replace(weight=torch.zeros_like(photos[1].weight))]
    expected = prune_report(scene, scores, [photos[0]], shares=(0.5,), backend="reference")
    assert prune_report(scene, scores, masked, shares=(0.5,), backend="reference") == expected
    with pytest.raises(InputError, match="masked altogether"):
        prune_report(scene, scores, masked[1:], shares=(0.5,), backend="reference")


def test_packed_diagonal() -> None:
    scene = tiny.scene()
    block = torch.diag(torch.arange(1.0, 14.0).double())
    block[9, 9] = 5.0
    evidence = tiny.nothing(scene).replace(fisher=pack(block).expand(10, 91))
    expected = 5.0 / (1 - scene.background.opacities).square()
    torch.testing.assert_close(removal_cost(evidence, scene), expected)
