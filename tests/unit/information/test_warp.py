"""Training views asked about a camera: who is asked, what is compared, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from veduta import information
from veduta.core import Actor, Cameras, Gaussians, InputError, Scene, Sky, Views
from veduta.geometry import Similarity, so3_exp, transform_cameras, transform_gaussians
from veduta.information import WarpConsistency
from veduta.information.warp import UNSEEN, surface_points, warp_difference
from veduta.render import render_scene
from veduta.render.reference import Reference

WIDTH, HEIGHT = 24, 20


def wall(*, z: float = 4.0, half: float = 3.0, seed: int = 0, step: float = 0.25) -> Gaussians:
    """An opaque wall across the view, of smooth random colours."""
    line = torch.arange(-half, half + 1e-6, step, dtype=torch.float64)
    y, x = (t.reshape(-1) for t in torch.meshgrid(line, line, indexing="ij"))
    count = len(x)
    source = torch.Generator().manual_seed(seed)
    phase = torch.rand(3, generator=source, dtype=torch.float64) * 6
    depth = z + 1e-3 * torch.rand(count, generator=source, dtype=torch.float64)  # no ties, so one order of drawing
    return Gaussians(
        means=torch.stack([x, y, depth], dim=-1),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(count, 1),
        scales=torch.tensor([[step, step, 0.01]], dtype=torch.float64).repeat(count, 1),
        opacities=torch.full((count,), 0.99, dtype=torch.float64),
        sh=torch.sin(x[:, None] + 0.5 * y[:, None] + phase)[:, None, :],
    )


def cameras(*x: float, time: float = 0.0) -> Cameras:
    poses = torch.eye(4, dtype=torch.float64).repeat(len(x), 1, 1)
    poses[:, 0, 3] = torch.tensor(x, dtype=torch.float64)
    return Cameras.pinhole(
        poses,
        fx=20.0,
        fy=20.0,
        cx=WIDTH / 2,
        cy=HEIGHT / 2,
        width=WIDTH,
        height=HEIGHT,
        time=torch.full((len(x),), time, dtype=torch.float64),
    )


def color_at(scene: Scene, camera: Cameras) -> Tensor:
    return render_scene(scene, camera).color[0]


def turned(camera: Cameras, degrees: float) -> Cameras:
    """About its own vertical."""
    pose = camera.world_from_camera.clone()
    pose[0, :3, :3] = pose[0, :3, :3] @ so3_exp(torch.tensor([0.0, degrees / 57.29578, 0.0], dtype=torch.float64))
    return camera.replace(world_from_camera=pose)


@dataclass(frozen=True)
class Sideways:
    """One unit to the right per second."""

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        return gaussians.replace(means=gaussians.means + gaussians.means.new_tensor([time, 0.0, 0.0]))


class Counting(Reference):
    """The reference, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0

    def rasterize(self, gaussians, cameras, **settings):
        self.pictures += 1
        return super().rasterize(gaussians, cameras, **settings)


def test_views_of_one_surface_agree_about_it() -> None:
    scene = Scene(background=wall())
    warp, camera = WarpConsistency(scene, cameras(-0.5, 0.3)), cameras(0.0)
    color = color_at(scene, camera)
    difference, agreeing = warp.compare(camera, color)
    assert (agreeing > 0).all()
    assert (agreeing == 2).double().mean() > 0.8
    assert difference.max() < 0.03
    torch.testing.assert_close(warp(camera, color), difference)


def test_another_colour_differs_by_as_much() -> None:
    scene = Scene(background=wall())
    warp, camera = WarpConsistency(scene, cameras(-0.5, 0.3)), cameras(0.0)
    color = color_at(scene, camera) + 2.0
    torch.testing.assert_close(warp(camera, color), torch.full((HEIGHT, WIDTH), 2.0).double(), rtol=0, atol=0.03)


def test_a_picture_is_looked_up_where_the_points_fall() -> None:
    """By hand: a wall at depth 4, a camera 0.4 to the right of another, so 2 px of disparity."""
    left, right = cameras(0.0), cameras(0.4)
    depth = torch.full((HEIGHT, WIDTH), 4.0, dtype=torch.float64)
    points, covered = surface_points(left, depth=depth, alpha=torch.ones_like(depth))
    torch.testing.assert_close(points[..., 2], depth)
    torch.testing.assert_close(points[10, 12], torch.tensor([0.1, 0.1, 4.0], dtype=torch.float64))
    column = torch.arange(WIDTH, dtype=torch.float64).expand(HEIGHT, -1)
    picture = torch.stack([column, column, column, depth, torch.ones_like(depth)], dim=-1)
    difference, agrees = warp_difference(torch.zeros(HEIGHT, WIDTH, 3).double(), points, covered, right, picture)
    assert torch.equal(agrees[:, 2:], torch.ones(HEIGHT, WIDTH - 2, dtype=torch.bool))
    assert not agrees[:, :2].any()
    torch.testing.assert_close(difference[:, 2:], column[:, :-2])
    below = points + torch.tensor([0.0, 0.08, 0.0])  # 0.4 px: into the lower half of the last row
    _, still = warp_difference(torch.zeros(HEIGHT, WIDTH, 3).double(), below, covered, right, picture)
    assert torch.equal(still, agrees)


@pytest.mark.parametrize(("there", "agree"), [(4.0, True), (4.19, True), (4.21, False), (3.81, True), (3.79, False)])
def test_depths_agree_up_to_the_tolerance(there: float, agree: bool) -> None:
    camera = cameras(0.0)
    depth = torch.full((HEIGHT, WIDTH), 4.0, dtype=torch.float64)
    points, covered = surface_points(camera, depth=depth, alpha=torch.ones_like(depth))
    color = torch.zeros(HEIGHT, WIDTH, 3, dtype=torch.float64)
    picture = torch.cat([color, torch.full_like(depth, there)[..., None], torch.ones_like(depth)[..., None]], dim=-1)
    _, agrees = warp_difference(color, points, covered, camera, picture)
    assert (agrees == agree).all()
    _, behind = warp_difference(color, points - torch.tensor([0.0, 0.0, 8.0]), covered, camera, picture)
    assert not behind.any()


def test_what_a_neighbour_does_not_see_is_not_compared() -> None:
    """A post between the neighbour and the wall hides a part that the camera sees beside it."""
    post = wall(z=2.0, half=0.2, step=0.1)
    post = post.replace(sh=torch.full_like(post.sh, 3.0))
    scene = Scene(background=Gaussians.cat([wall(), post]))
    camera = cameras(0.0)
    difference, agreeing = WarpConsistency(scene, cameras(0.8)).compare(camera, color_at(scene, camera))
    drawn = render_scene(scene, camera)
    hidden = (drawn.depth[0] > 3.5) & (agreeing == 0)
    assert hidden[8:12].any()
    assert difference[agreeing > 0].median() < 0.02
    assert (difference[agreeing == 0] == 0).all()
    warped = WarpConsistency(scene, cameras(0.8))(camera, color_at(scene, camera))
    assert (warped[agreeing == 0] == UNSEEN).all()


def test_a_camera_is_not_its_own_neighbour() -> None:
    scene = Scene(background=wall())
    warp = WarpConsistency(scene, cameras(0.0))
    assert (warp(cameras(0.0), color_at(scene, cameras(0.0))) == UNSEEN).all()


def test_those_nearest_to_what_is_seen_are_asked() -> None:
    scene = Scene(background=wall())
    camera = cameras(0.0)
    candidates = [*(cameras(x) for x in (1.5, 0.1, -0.7, 0.4)), turned(cameras(0.01), 180.0), turned(cameras(0.02), 60)]
    warp = WarpConsistency(scene, candidates, neighbours=5)
    depth = render_scene(scene, camera).depth[0]
    points, _ = surface_points(camera, depth=depth, alpha=torch.ones_like(depth))
    found = warp.nearest(camera, points)
    assert found[:4] == [1, 3, 2, 0]  # looking away: never; seeing a corner: last
    assert set(found[4:]) <= {5}
    assert WarpConsistency(scene, candidates, neighbours=2).nearest(camera, points) == [1, 3]


def test_behind_the_gaussians_directions_are_compared() -> None:
    """The picture of the sky is the same from everywhere; where one shows sky and the other a wall, nothing is."""
    texture = torch.rand(8, 16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    small = wall(half=0.5)
    scene = Scene(background=small, sky=Sky(texture=texture, up=torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)))
    camera = cameras(0.0)
    difference, agreeing = WarpConsistency(scene, cameras(0.6)).compare(camera, color_at(scene, camera))
    sky = render_scene(scene, camera).alpha[0] < 0.01
    assert (agreeing[:, :3] == 1).all()
    assert difference[sky & (agreeing > 0)].median() < 1e-4
    assert (agreeing[sky] == 0).any()  # behind the wall as seen from the side


def test_neither_the_worlds_scale_nor_its_frame_matters() -> None:
    scene = Scene(background=wall())
    sim = Similarity(
        rotation=so3_exp(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64)),
        translation=torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64),
        scale=7.0,
    )
    moved = Scene(background=transform_gaussians(scene.background, sim))
    camera, others = cameras(0.1), cameras(-0.5, 0.3, 0.9)
    color = color_at(scene, camera)
    one = WarpConsistency(scene, others).compare(camera, color)
    two = WarpConsistency(moved, transform_cameras(others, sim)).compare(transform_cameras(camera, sim), color)
    assert (one[1] == two[1]).double().mean() > 0.99  # at the very edge of a picture rounding decides
    same = one[1] == two[1]
    torch.testing.assert_close(one[0][same], two[0][same], rtol=0, atol=1e-6)


def test_pictures_are_drawn_once_within_the_budget() -> None:
    scene, backend = Scene(background=wall()), Counting()
    others = cameras(-0.4, 0.4)
    color = color_at(scene, cameras(0.0))
    kept = WarpConsistency(scene, others, backend=backend)
    first = kept(cameras(0.0), color)
    assert backend.pictures == 3
    again = kept(cameras(0.0), color)
    assert backend.pictures == 4  # the camera itself, only
    forgetful = WarpConsistency(scene, others, backend=backend, budget_mb=0)
    without = [forgetful(cameras(0.0), color) for _ in range(2)]
    assert backend.pictures >= 4 + 2 + 3
    for other in (again, *without):
        torch.testing.assert_close(other, first)


def test_moving_objects_are_compared_at_one_time() -> None:
    car = wall(z=2.0, half=0.3, step=0.1)
    car = car.replace(sh=torch.full_like(car.sh, 3.0))
    scene = Scene(background=wall(), actors={"car": Actor(car, Sideways())})
    camera = cameras(0.0, time=0.5)
    color = color_at(scene, camera)
    warp = WarpConsistency(scene, cameras(0.05, time=30.0))
    difference, agreeing = warp.compare(camera, color)
    there = render_scene(scene, camera).depth[0] < 2.5
    assert there.any()
    assert (agreeing[there] > 0).double().mean() > 0.7
    assert difference[there & (agreeing > 0)].median() < 0.05
    late = cameras(0.0, time=1.0)
    assert (warp.compare(late, color_at(scene, late))[0] < 0.1).double().mean() > 0.9


def test_photographs_lend_their_cameras() -> None:
    scene, taken_by = Scene(background=wall()), cameras(-0.4, 0.4)
    views = Views.of(taken_by, rgb=torch.zeros(2, HEIGHT, WIDTH, 3, dtype=torch.float64))
    color = color_at(scene, cameras(0.0))
    expected = WarpConsistency(scene, taken_by)(cameras(0.0), color)
    for other in ([views], [views[0], views[1]], [taken_by[0], taken_by[1]]):
        torch.testing.assert_close(WarpConsistency(scene, other)(cameras(0.0), color), expected)


def test_maps_take_it() -> None:
    scene, camera = Scene(background=wall(half=1.0, step=0.5)), cameras(0.0)
    known = information.posterior(scene, information.gather(scene, cameras(-0.4, 0.4)))
    warp = WarpConsistency(scene, cameras(-0.4, 0.4))
    plain = information.map(scene, known, camera)
    warped = information.map(scene, known, camera, warp=warp)
    torch.testing.assert_close(warped.gain, plain.gain)
    factor = torch.sqrt(1 + warp(camera, plain.color[0]) / 0.01)
    torch.testing.assert_close(warped.variance[0], plain.variance[0] * factor)


def test_without_views_there_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="no training views"):
        WarpConsistency(Scene(background=wall()), [])
