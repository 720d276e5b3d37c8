"""The Gaussians before the first step."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.fit.scenes import some_cameras
from veduta.core import Cameras, Capture, PointCloud, Track
from veduta.fit import FitPlan, InitialPlan, initial_scene
from veduta.fit.initial import gaussians_on, neighbour_distances, points_of_track, random_points, scene_from_points
from veduta.fit.memory import estimate, resident_bytes
from veduta.geometry import project, rgb_from_dc


def cloud(xyz: torch.Tensor, time: torch.Tensor | None = None) -> PointCloud:
    return PointCloud(xyz=xyz, rgb=torch.rand(len(xyz), 3, generator=torch.Generator().manual_seed(0)), time=time)


def test_sizes_are_distances_to_neighbours() -> None:
    axis = torch.tensor([0.0, 1.0, 3.0, 7.0])
    xyz = torch.stack([axis, torch.zeros(4), torch.zeros(4)], dim=1)
    assert torch.allclose(neighbour_distances(xyz, 2), torch.tensor([2.0, 1.5, 2.5, 5.0]))
    assert torch.isinf(neighbour_distances(xyz[:1], 3)).all()
    assert torch.allclose(neighbour_distances(xyz[:2], 3), torch.ones(2))


def test_sizes_are_bounded_by_the_distance_and_from_below() -> None:
    xyz = torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [100.0, 0, 0], [1.0, 0, 0]])
    gaussians = gaussians_on(cloud(xyz), InitialPlan(max_scale_share=0.1), extent=2.0)
    largest = gaussians.scales.amax(dim=1)
    assert float(largest[4]) == pytest.approx(10.0)
    assert float(largest[5]) == pytest.approx(0.2)
    assert float(gaussians.scales.min()) > 0.0


def test_a_point_gives_a_gaussian_of_its_place_and_colour(capture: Capture) -> None:
    scene = initial_scene(capture, FitPlan(initial=InitialPlan(opacity=0.3)))
    assert capture.points is not None
    assert torch.allclose(scene.background.means, capture.points.xyz, atol=1e-5)
    assert torch.allclose(rgb_from_dc(scene.background.sh[:, 0]), capture.points.rgb, atol=1e-5)
    assert torch.allclose(scene.background.opacities, torch.full((50,), 0.3))


def test_no_more_points_are_taken_than_there_may_be_gaussians(capture: Capture) -> None:
    assert len(initial_scene(capture, FitPlan(max_gaussians=20)).background) == 20


def test_points_that_are_not_finite_are_left_out(capture: Capture) -> None:
    assert capture.points is not None
    xyz = capture.points.xyz.clone()
    xyz[3, 1] = float("nan")
    xyz[4, 0] = float("inf")
    scene = scene_from_points(
        capture.points.replace(xyz=xyz),
        list(capture.cameras.values()),
        {},
        plan=FitPlan(),
        generator=torch.Generator(),
    )
    assert len(scene.background) == 48
    assert torch.isfinite(scene.background.means).all()


def test_random_points_lie_in_some_view() -> None:
    cameras = [some_cameras(3), some_cameras(2, size=16)]
    points = random_points(cameras, InitialPlan(random_points=200), extent=2.0, generator=torch.Generator())
    seen = torch.zeros(200, dtype=torch.bool)
    for group in cameras:
        px, depth = project(points.xyz, group)
        size = torch.tensor([group.width, group.height])
        inside = ((px > -1e-2) & (px < size + 1e-2)).all(dim=2) & (depth > 0.39) & (depth < 10.1)
        seen |= inside.any(dim=0)
    assert bool(seen.all())


def straight_track() -> Track:
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 0, 3] = 10.0
    return Track(
        times=torch.tensor([0.0, 1.0], dtype=torch.float64),
        world_from_object=poses,
        size_m=torch.tensor([2.0, 1.0, 1.0]),
        category="car",
    )


def test_timed_points_belong_to_the_box_of_their_time() -> None:
    xyz = torch.tensor([[0.5, 0, 0], [5.5, 0, 0], [5.5, 0, 0], [9.5, 0.2, 0], [0.5, 0, 0]])
    time = torch.tensor([0.0, 0.5, 0.0, 1.0, 7.0])
    own, inside = points_of_track(cloud(xyz, time), straight_track())
    assert inside.tolist() == [True, True, False, True, False]
    assert torch.allclose(own.xyz, torch.tensor([[0.5, 0, 0], [0.5, 0, 0], [-0.5, 0.2, 0]]), atol=1e-5)


def test_points_without_time_belong_only_to_what_stands_still() -> None:
    xyz = torch.tensor([[0.5, 0, 0], [9.5, 0, 0]])
    _, inside = points_of_track(cloud(xyz), straight_track())
    assert not inside.any()
    parked = straight_track().replace(world_from_object=torch.eye(4).repeat(2, 1, 1))
    own, inside = points_of_track(cloud(xyz), parked)
    assert inside.tolist() == [True, False]
    assert torch.allclose(own.xyz, xyz[:1])


def test_the_memory_estimate_grows_with_what_it_is_for() -> None:
    one = some_cameras(1)
    plain = estimate([one], max_gaussians=1000, sh_degree=3, image_budget_bytes=10**9)
    assert estimate([one], max_gaussians=2000, sh_degree=3, image_budget_bytes=10**9).total > plain.total
    assert estimate([one] * 5, max_gaussians=1000, sh_degree=3, image_budget_bytes=10**9).images == 5 * plain.images
    assert estimate([one] * 5, max_gaussians=1000, sh_degree=3, image_budget_bytes=7).images == 7
    assert estimate([], max_gaussians=0, sh_degree=0, image_budget_bytes=0).total == plain.base
    kept = estimate([one], max_gaussians=1000, sh_degree=3, image_budget_bytes=10**9, kept_bytes=99)
    assert kept.total == plain.total + 99
    resident = resident_bytes()
    assert resident is None or math.log10(resident) > 7


def test_no_two_sizes_of_cameras_are_mixed_up() -> None:
    wide = Cameras.pinhole(torch.eye(4)[None], fx=10.0, fy=10.0, cx=50.0, cy=5.0, width=100, height=10)
    points = random_points([wide], InitialPlan(random_points=500), extent=1.0, generator=torch.Generator())
    slope = points.xyz[:, :2] / points.xyz[:, 2:]
    assert float(slope[:, 0].abs().max()) == pytest.approx(5.0, rel=0.05)
    assert float(slope[:, 1].abs().max()) == pytest.approx(0.5, rel=0.05)
