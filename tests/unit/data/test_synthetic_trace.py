"""The ray caster: hits are exact, textures hold still under filtering, views of one world agree."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from veduta.core import Cameras, Lens, Track
from veduta.data.synthetic_shapes import Box, Cylinder, Ellipsoid, Panel, Shape
from veduta.data.synthetic_stage import looking, plain
from veduta.data.synthetic_textures import (
    Bricks,
    Checker,
    Facade,
    Mottled,
    Patches,
    Planks,
    Road,
    Stripes,
    Texture,
)
from veduta.data.synthetic_trace import Heavens, Item, Light, World, encode_srgb, pose_at, take_picture
from veduta.geometry import RigidMotion, matrix_from_quat, pinhole_for, se3_exp, undistort_image, unproject_rays

SHAPES = [Panel(0.7, 0.4), Box(0.5, 0.8, 0.3), Ellipsoid(0.6, 0.4, 0.9), Ellipsoid.sphere(0.5), Cylinder(0.4, 0.6)]
TEXTURES = [
    Mottled((0.9, 0.8, 0.7), (0.2, 0.3, 0.1)),
    Checker((0.9, 0.9, 0.9), (0.1, 0.1, 0.1)),
    Bricks(),
    Planks(),
    Stripes((0.9, 0.2, 0.1), (0.1, 0.2, 0.9)),
    Patches(((0.9, 0.2, 0.1), (0.1, 0.2, 0.9), (0.5, 0.5, 0.5))),
    Facade(Bricks()),
    Road(),
]


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _outside(shape: Shape, p: Tensor) -> Tensor:
    """Positive outside, negative inside, written independently of the hits."""
    x, y, z = p
    match shape:
        case Box(a, b, c):
            return torch.stack([x.abs() - a, y.abs() - b, z.abs() - c]).amax(dim=0)
        case Ellipsoid(a, b, c):
            return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 - 1
        case Cylinder(r, h):
            return torch.maximum(x.hypot(y) - r, z.abs() - h)
        case _:
            raise AssertionError(shape)


def _rays(count: int) -> tuple[Tensor, Tensor]:
    origin = 2.5 * torch.nn.functional.normalize(torch.randn(3, count, generator=_generator(1)).double(), dim=0)
    target = 0.7 * torch.randn(3, count, generator=_generator(2)).double()
    return origin, torch.nn.functional.normalize(target - origin, dim=0)


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_hits_are_the_first_crossing(shape: Shape) -> None:
    origin, direction = _rays(400)
    distance = shape.hit(origin, direction)
    steps = torch.linspace(0, 5, 2001, dtype=torch.float64)
    marched = _outside(shape, (origin[..., None] + direction[..., None] * steps).flatten(1)).reshape(400, -1)
    first = torch.where((marched < 0).any(dim=1), steps[(marched < 0).double().argmax(dim=1)], torch.inf)
    assert 50 < torch.isfinite(distance).sum() < 350
    met = torch.isfinite(first)
    assert torch.isfinite(distance[met]).all()
    assert (first[met] - distance[met]).abs().max() < 0.0026
    grazing = torch.isfinite(distance) & ~met
    assert grazing.sum() < 8
    hit = torch.isfinite(distance)
    assert _outside(shape, origin[:, hit] + direction[:, hit] * distance[hit]).abs().max() < 1e-9


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_rays_from_inside_hit_the_far_side(shape: Shape) -> None:
    direction = _rays(50)[1]
    distance = shape.hit(torch.zeros(3, 1, dtype=torch.float64), direction)
    assert _outside(shape, direction * distance).abs().max() < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_have_unit_normals_and_metric_tangents(shape: Shape) -> None:
    origin, direction = _rays(300)
    distance = shape.hit(origin, direction)
    hit = torch.isfinite(distance)
    points = (origin + direction * distance)[:, hit]
    patch = shape.patch(points)
    for vector in (patch.normal, patch.along_u, patch.along_v):
        assert torch.allclose(vector.norm(dim=0), torch.ones_like(vector[0]))
    assert (patch.normal * patch.along_u).sum(dim=0).abs().max() < 1e-9
    assert (patch.normal * patch.along_v).sum(dim=0).abs().max() < 1e-9
    if isinstance(shape, Ellipsoid):
        return
    assert ((patch.normal * direction[:, hit]).sum(dim=0) <= 1e-9).all() or isinstance(shape, Panel)
    step = 1e-6
    moved = shape.patch(points + step * patch.along_u).uv - patch.uv
    inner = moved[0].abs() < 0.1  # not across a cylinder's seam
    assert torch.allclose(moved[0, inner] / step, torch.ones(int(inner.sum()), dtype=torch.float64), atol=1e-3)


def test_panel_edges() -> None:
    direction = torch.tensor([[0.0], [0.0], [-1.0]], dtype=torch.float64)
    origins = torch.tensor([[0.69, 0.39, 2.0], [0.71, 0.0, 2.0], [0.0, 0.41, 2.0]], dtype=torch.float64).T
    distance = SHAPES[0].hit(origins, direction.expand(3, 3))
    assert distance[0] == 2
    assert torch.isinf(distance[1:]).all()


@pytest.mark.parametrize("texture", TEXTURES, ids=lambda t: type(t).__name__)
def test_textures_average_over_their_footprint(texture: Texture) -> None:
    """A wide footprint gives about the mean of the fine texture over it, and next to no contrast."""
    uv = torch.rand(2, 40_000, generator=_generator(3)) * torch.tensor([[24.0], [5.8]]) - torch.tensor([[12.0], [2.9]])
    fine = texture(uv, torch.full_like(uv, 1e-4))
    coarse = texture(uv, torch.full_like(uv, 6.0))
    assert torch.isfinite(fine).all()
    assert fine.min() > -0.05
    assert fine.max() < 1.5
    assert (fine.mean(dim=1) - coarse.mean(dim=1)).abs().max() < 0.08
    assert coarse.std(dim=1).max() < 0.35 * fine.std(dim=1).max()
    assert torch.equal(fine, texture(uv, torch.full_like(uv, 1e-4)))


def _world() -> World:
    generator = _generator(5)
    items = [Item("ground", Panel(20, 20), TEXTURES[1], pose_at((0, 0, 0)))]
    for i in range(12):
        place = (
            torch.rand(3, generator=generator) * torch.tensor([6.0, 6.0, 1.5]) - torch.tensor([3.0, 3.0, 0.0])
        ).tolist()
        turn = matrix_from_quat(torch.randn(4, generator=generator, dtype=torch.float64))
        pose = pose_at(place)
        pose[:3, :3] = turn
        items.append(Item(f"thing{i}", SHAPES[i % 5], plain((0.7, 0.4, 0.2), i), pose))
    lights = (Light((0.3, 0.4, 1.0), (2.0, 2.0, 2.0), 0.0, sun=True),)
    return World(tuple(items), lights)


def _camera(yaw: float, *, width: int = 72, height: int = 54, time: float = 0.0) -> Cameras:
    position = torch.tensor([[6 * math.cos(yaw), 6 * math.sin(yaw), 2.6]], dtype=torch.float64)
    poses = looking(position, torch.tensor([[0.0, 0.0, 0.9]], dtype=torch.float64))
    times = torch.tensor([time], dtype=torch.float64)
    f = 0.9 * width
    return Cameras.pinhole(poses, fx=f, fy=f, cx=width / 2, cy=height / 2, width=width, height=height, time=times)


def test_depth_and_items_are_those_of_brute_force() -> None:
    """Culling by tiles and spheres changes nothing; depth is z, at pixel centres."""
    world, camera = _world(), _camera(0.7)
    picture = take_picture(world, camera, supersample=1)
    origins, directions = unproject_rays(camera)
    rays = directions[0].reshape(-1, 3).T
    instant = world.at(0.0)
    distances = []
    for item, pose in zip(instant.items, instant.world_from_shape, strict=True):
        local = pose[:3, :3].T @ (origins.T - pose[:3, 3:])
        distances.append(item.shape.hit(local, pose[:3, :3].T @ rays))
    nearest, which = torch.stack(distances).min(dim=0)
    sky = torch.isinf(nearest)
    assert 0.02 < sky.double().mean() < 0.6
    assert torch.equal(picture.item.flatten(), torch.where(sky, -1, which))
    z = nearest * (rays.T @ camera.world_from_camera[0, :3, 2])
    assert torch.allclose(picture.depth.flatten(), torch.where(sky, 0.0, z), atol=1e-9)
    assert len(torch.unique(picture.item)) > 8


def test_shadows_are_those_of_brute_force() -> None:
    world = _world()
    instant = world.at(0.0)
    points = torch.rand(3, 500, generator=_generator(8)) * torch.tensor([[8.0], [8.0], [0.0]]) - torch.tensor(
        [[4.0], [4.0], [-1e-3]]
    )
    towards = torch.nn.functional.normalize(torch.tensor([[0.3], [0.4], [1.0]]), dim=0).expand(3, 500)
    limit = torch.full((500,), torch.inf)
    expected = torch.zeros(500, dtype=torch.bool)
    for item, pose in zip(instant.items, instant.world_from_shape.float(), strict=True):
        local = pose[:3, :3].T @ (points - pose[:3, 3:])
        expected |= torch.isfinite(item.shape.hit(local, pose[:3, :3].T @ towards))
    assert 20 < expected.sum() < 480
    assert torch.equal(instant.blocked(points, towards, limit), expected)


def test_views_agree_on_places_and_colours() -> None:
    """A pixel's point, seen from another side, has that depth there and (nothing being glossy) that colour."""
    world, first, second = _world(), _camera(0.7, width=144, height=108), _camera(0.85, width=144, height=108)
    a, b = (take_picture(world, camera, supersample=2) for camera in (first, second))
    _, directions = unproject_rays(first)
    rays = directions[0] / (directions[0] @ first.world_from_camera[0, :3, 2])[..., None]
    points = (first.positions_world[0] + rays * a.depth[..., None])[a.item >= 0]
    local = (points - second.positions_world[0]) @ second.world_from_camera[0, :3, :3]
    px = local[:, :2] / local[:, 2:] * second.intrinsics[0, 0, 0] + second.intrinsics[0, :2, 2]
    inside = ((px > 0) & (px < torch.tensor([144.0, 108.0]))).all(dim=-1)
    column, row = px[inside].long().unbind(-1)
    near = (b.depth[row, column] - local[inside, 2]).abs() < 0.02 * local[inside, 2]
    assert near.double().mean() > 0.75
    difference = (a.rgb[a.item >= 0][inside][near] - b.rgb[row, column][near]).abs().mean(dim=-1)
    assert difference.median() < 0.02


def test_more_rays_hardly_change_the_picture() -> None:
    """Textures are band-limited: 2x2 rays are close to 6x6, edges aside."""
    world, camera = _world(), _camera(0.7)
    few, many = (take_picture(world, camera, supersample=n).rgb for n in (2, 6))
    assert (few - many).abs().median() < 0.01
    assert (few - many).abs().mean() < 0.015


def test_a_lens_is_undone_by_undistortion() -> None:
    world, camera = _world(), _camera(0.7, width=120, height=90).replace(lens=Lens("OPENCV", (-0.15, 0.03, 0.001, 0.0)))
    bent = take_picture(world, camera, supersample=2)
    flat, pinhole = undistort_image(bent.rgb, camera)
    straight = take_picture(world, pinhole, supersample=2)
    assert (flat - straight.rgb).abs().median() < 0.02
    assert (flat - straight.rgb).abs().mean() < 0.04
    unmended = take_picture(world, pinhole_for(camera), supersample=1).depth[
        : bent.depth.shape[0], : bent.depth.shape[1]
    ]
    assert (
        unmended - bent.depth[: unmended.shape[0], : unmended.shape[1]]
    ).abs().mean() > 0.02  # the lens does something


def test_moving_objects_follow_their_motion_and_leave() -> None:
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    poses = se3_exp(torch.tensor([[0.0, -1, 1, 0, 0, 0.3], [0.0, 1, 1, 0, 0, -0.3]], dtype=torch.float64))
    motion = RigidMotion.from_track(Track(times, poses, torch.ones(3), "ball"))
    ball = Item("ball", Ellipsoid.sphere(0.5), TEXTURES[0], pose_at((0, 0, 0)))
    world = World((ball,), (), Heavens(), {"ball": motion})
    columns = []
    for time in (0.0, 0.5, 1.0):
        seen = take_picture(world, _camera(0.0, time=time), supersample=1).item >= 0
        columns.append(float(seen.nonzero()[:, 1].double().mean()))
    assert columns[0] < columns[1] - 5 < columns[2] - 10
    assert world.at(2.0).items == ()
    assert bool((take_picture(world, _camera(0.0, time=2.0), supersample=1).item == -1).all())


def test_srgb_is_the_standard_curve() -> None:
    linear = torch.tensor([0.0, 0.0031308, 0.2140, 1.0, 2.0])
    assert torch.allclose(encode_srgb(linear), torch.tensor([0.0, 0.04045, 0.5, 1.0, 1.0]), atol=2e-4)
