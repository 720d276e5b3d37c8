"""Laws of information: what must not change it, what must lower it, and how near it comes to the whole truth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.unit.information import tiny
from tests.unit.information.dense import dense_jacobian, dense_picture
from veduta.core import Actor, Cameras, Evidence, InformationMap, Noise, Scene, Views
from veduta.geometry import (
    RigidMotion,
    Similarity,
    dc_from_rgb,
    matrix_from_quat,
    rigid,
    rigid_inverse,
    so3_exp,
    transform_cameras,
    transform_scene,
    unpack,
)
from veduta.information import KINDS, gather, posterior
from veduta.information import map as information_map
from veduta.information.directions import no_directions
from veduta.information.posterior import Prior, prior_factor
from veduta.measure import spearman
from veduta.render.reference import SMOOTH, Reference

TRAINING = tiny.around([-30.0, -5.0, 20.0, 45.0], times=[0.0, 0.5, 1.2, 2.0])
NOVEL = tiny.around([-70.0, 5.0, 110.0], times=[0.3, 1.0, 2.0])
NOISE = Noise(sigma=0.03, kappa=2.0, tau=0.25)


def of(scene: Scene, views: list[Views], **settings) -> Evidence:
    return gather(scene, views, backend="reference", **settings)


def maps(scene: Scene, evidence: Evidence, cameras: Cameras = NOVEL, **settings) -> InformationMap:
    return information_map(scene, posterior(scene, evidence, **settings), cameras, backend="reference")


def assert_same(a: InformationMap, b: InformationMap, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(a.gain, b.gain, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(a.variance, b.variance, rtol=tolerance, atol=tolerance * float(a.variance.max()))


def repeated(evidence: Evidence, times: float) -> Evidence:
    """As if every photograph had been taken so often."""
    assert evidence.score is not None
    return evidence.replace(
        fisher=times * evidence.fisher,
        score=times * evidence.score,
        sky=evidence.sky.replace(seen=times * evidence.sky.seen),
    )


def moved_views(views: list[Views], similarity: Similarity) -> list[Views]:
    return [view.replace(cameras=transform_cameras(view.cameras, similarity)) for view in views]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["scaled", "turned", "moved"])
def test_the_world_s_unit_and_axes_do_not_matter(kind: str, what: str) -> None:
    """With actors, and to rounding. The background is known: its map's cells are fixed to the world's axes."""
    turn = so3_exp(torch.tensor([0.4, -0.9, 0.3], dtype=torch.float64))
    similarity = {
        "scaled": Similarity(37.0, torch.eye(3).double(), torch.zeros(3).double()),
        "turned": Similarity(1.0, turn, torch.zeros(3).double()),
        "moved": Similarity(0.01, turn.T, torch.tensor([3.0, -7.0, 1.0]).double()),
    }[what]
    scene = tiny.scene(moving=True)
    views = tiny.photographs(scene, TRAINING)
    here = maps(scene, of(scene, views, known_background=True), kind=kind)
    there_scene, there_views = transform_scene(scene, similarity), moved_views(views, similarity)
    evidence = of(there_scene, there_views, known_background=True)
    assert_same(here, maps(there_scene, evidence, transform_cameras(NOVEL, similarity), kind=kind), 1e-6)


def test_a_turned_world_s_background_is_known_as_well_to_the_size_of_a_cell() -> None:
    turn = Similarity(1.0, so3_exp(torch.tensor([0.0, 0.0, 0.7]).double()), torch.zeros(3).double())
    scene = tiny.scene()
    wide = tiny.around([0.0, 3.0, 6.0], width=60, height=48, far=9.0)
    views = tiny.photographs(scene, wide)
    here = maps(scene, of(scene, views), wide)
    there = maps(transform_scene(scene, turn), of(transform_scene(scene, turn), moved_views(views, turn)),
                 transform_cameras(wide, turn))  # fmt: skip
    assert float((here.gain - there.gain).abs().mean()) < 0.25 * float(here.gain.mean())


def test_the_order_of_gaussians_does_not_matter() -> None:
    scene = tiny.scene(sky=True)
    views = tiny.photographs(scene, TRAINING)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    other = replace(scene, background=scene.background[order])
    evidence, mixed = of(scene, views), of(other, views)
    torch.testing.assert_close(mixed.fisher, evidence.fisher[order], rtol=1e-9, atol=1e-9)
    assert_same(maps(scene, evidence), maps(other, mixed))


def test_the_order_of_views_does_not_matter() -> None:
    scene = tiny.scene(moving=True)
    views = tiny.photographs(scene, TRAINING)
    assert_same(maps(scene, of(scene, views)), maps(scene, of(scene, views[::-1])))


def test_a_moving_object_is_known_as_if_the_cameras_had_moved() -> None:
    """Its evidence over times, in its own frame, is that of the same object at rest and cameras that move instead."""
    motion, own = tiny.drive(), tiny.gaussians(6, seed=5, spread=0.4)
    still = Scene(background=own)
    moving = Scene(background=tiny.gaussians(0), actors={"a": Actor(own, motion)})
    views = tiny.photographs(moving, TRAINING)

    def beside(cameras: Cameras) -> Cameras:
        poses = torch.stack([motion.pose(time) for time in cameras.time.tolist()])
        return cameras.replace(world_from_camera=rigid_inverse(poses) @ cameras.world_from_camera)

    there, here = of(moving, views), of(still, [view.replace(cameras=beside(view.cameras)) for view in views])
    assert there.score is not None
    assert here.score is not None
    for a, b in ((there.fisher, here.fisher), (there.score, here.score)):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9 * float(b.abs().max()))
    known = no_directions(known=True)  # the object's frame has no directions of its own
    found, expected = (
        maps(scene, evidence.replace(sky=known), cameras, noise=NOISE)
        for scene, evidence, cameras in ((moving, there, NOVEL), (still, here, beside(NOVEL)))
    )
    torch.testing.assert_close(found.color, expected.color)
    assert_same(found, expected, 1e-6)


def test_motions_that_end_in_the_same_place_give_the_same_evidence() -> None:
    """A pose in the motion or in the Gaussians: the object's own frame is where its Gaussians are written down."""
    turn, place = so3_exp(torch.tensor([0.3, 0.5, -0.2]).double()), torch.tensor([0.1, 0.0, 0.2]).double()
    own = tiny.gaussians(5, seed=3, spread=0.4)
    standing = RigidMotion(times=torch.zeros(1).double(), world_from_object=rigid(turn, place)[None], tolerance_s=9.0)
    actor = Actor(own, standing)
    apart = Scene(background=tiny.gaussians(0), actors={"a": actor})
    whole = Scene(background=actor.at(0.0))
    views = tiny.photographs(apart, TRAINING)
    assert_same(maps(apart, of(apart, views)), maps(whole, of(whole, views)), 1e-7)


@pytest.mark.parametrize("kind", ["block", "diagonal"])
def test_gain_falls_as_views_are_repeated(kind: str) -> None:
    scene = tiny.scene(sky=True)
    evidence, before = of(scene, tiny.photographs(scene, TRAINING)), None
    for times in (1, 2, 5, 30, 1000):
        gain = maps(scene, repeated(evidence, times), kind=kind, noise=NOISE).gain
        if before is not None:
            assert bool((gain <= before + 1e-9).all())
            assert float(gain.sum()) < 0.99 * float(before.sum())
        before = gain


def test_gain_vanishes_where_views_were_repeated_often() -> None:
    """For every kind: the sandwich too, which a few views with large residuals may raise at first."""
    scene = tiny.scene()
    evidence = of(scene, tiny.photographs(scene, TRAINING), known_background=True)
    for kind in KINDS:
        gains = [maps(scene, repeated(evidence, n), TRAINING, kind=kind, noise=NOISE).gain for n in (1, 1e2, 1e4, 1e6)]
        for less, more in zip(gains[1:], gains[:-1], strict=True):
            assert bool((less <= more + 1e-9).all())
        assert float(gains[-1].max()) < 1e-2


def test_repeating_a_view_is_gathering_it_twice() -> None:
    scene = tiny.scene()
    views = tiny.photographs(scene, TRAINING[:1])
    once, twice = of(scene, views), of(scene, [*views, *views])
    torch.testing.assert_close(twice.fisher, 2 * once.fisher)
    torch.testing.assert_close(twice.score, 2 * once.score)
    assert twice.views == 2


def test_larger_residuals_leave_more_unknown() -> None:
    """Only the sandwich sees which Gaussians they belong to."""
    scene = tiny.scene()
    views = tiny.photographs(scene, TRAINING)
    shown = tiny.scene().background
    wrong = replace(scene, background=shown.replace(sh=shown.sh + 0.3))
    badly = tiny.photographs(wrong, TRAINING)
    told = [of(scene, photos, known_background=True) for photos in (views, badly)]
    well, ill = (maps(scene, evidence, TRAINING, noise=NOISE).variance for evidence in told)
    assert float(ill.mean()) > 2 * float(well.mean())
    block = [maps(scene, evidence, noise=NOISE, kind="block").variance for evidence in told]
    torch.testing.assert_close(block[0], block[1])


def overlapping(seed: int) -> Scene:
    """24 strongly overlapping, half transparent Gaussians of all colours."""
    generator = torch.Generator().manual_seed(seed)
    gaussians = tiny.gaussians(24, sh_degree=0, size=0.2, seed=seed, spread=0.5)
    colors = torch.rand(24, 1, 3, generator=generator, dtype=torch.float64)
    opacities = 0.2 + 0.6 * torch.rand(24, generator=generator, dtype=torch.float64)
    return Scene(background=gaussians.replace(sh=dc_from_rgb(colors), opacities=opacities))


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_rank_pixels_as_the_hessian_of_all_gaussians_together_does(seed: int) -> None:
    """Five cameras on one side, four others up to the far side; no cut-offs, so that the Jacobian is everywhere one."""
    scene, smooth, noise = overlapping(seed), Reference(cutoffs=SMOOTH), replace(NOISE, kappa=1.0)
    training = tiny.around([-40.0, -20.0, 0.0, 20.0, 40.0], width=16, height=12)
    novel = tiny.around([10.0, 70.0, 110.0, 150.0], width=16, height=12)
    drawn = smooth.rasterize(scene.background, novel)
    torch.testing.assert_close(dense_picture(scene.background, novel[0]), drawn.color[0], rtol=0, atol=1e-12)
    evidence = gather(scene, training, backend=smooth, known_background=True)
    whole, covered = joint_gain(scene, training, novel, noise), drawn.alpha > 0.03
    found = {}
    for kind in ("block", "diagonal"):
        after = posterior(scene, evidence, kind=kind, noise=noise)
        gain = information_map(scene, after, novel, backend=smooth).gain
        found[kind] = float(spearman(gain[covered], whole[covered]))
    assert found["block"] > 0.97
    assert found["diagonal"] < found["block"]


def joint_gain(scene: Scene, training: Cameras, novel: Cameras, noise: Noise) -> Tensor:
    """The gain "c h w" with the Hessian of all parameters of all Gaussians, and with nothing saturated."""
    factor = torch.block_diag(*prior_factor(scene.background, Prior(), tau=noise.tau))
    told = torch.zeros_like(factor)
    for i in range(len(training)):
        j = dense_jacobian(scene.background, training[i]).flatten(0, 2) @ factor
        told += j.T @ j / (noise.kappa * noise.sigma**2)
    known = torch.linalg.inv(torch.eye(len(told), dtype=torch.float64) + told)
    gains: list[Tensor] = []
    for i in range(len(novel)):
        j = dense_jacobian(scene.background, novel[i]) @ factor / noise.sigma
        gains.append(0.5 * torch.logdet(torch.eye(3, dtype=torch.float64) + j @ known @ j.mT))
    return torch.stack(gains)


def test_every_block_of_random_scenes_is_positive() -> None:
    for seed in range(4):
        scene = tiny.scene(moving=True, sky=True, seed=seed)
        evidence = of(scene, tiny.photographs(scene, TRAINING, seed=seed))
        assert evidence.score is not None
        for blocks in (evidence.fisher, evidence.score):
            assert float(tiny.least_eigenvalues(blocks).min()) > -1e-9
        for kind in KINDS:
            found = posterior(scene, evidence, kind=kind)
            assert float(tiny.least_eigenvalues(found.covariance).min()) > -1e-9
            assert float(tiny.least_eigenvalues(found.prior).min()) > 0


def test_the_prior_s_unit_is_the_gaussian_s_own() -> None:
    """One prior deviation moves a Gaussian by its own size along its own axes."""
    scene = tiny.scene()
    factor = prior_factor(scene.background, Prior(), tau=0.2)[:, :3, :3]
    local = matrix_from_quat(scene.background.quats).mT @ factor
    torch.testing.assert_close(local, torch.diag_embed(scene.background.scales))
    blocks = unpack(posterior(scene, tiny.nothing(scene)).prior)[:, :3, :3]
    torch.testing.assert_close(blocks, factor @ factor.mT)
