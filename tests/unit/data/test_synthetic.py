"""Synthetic captures: the same seed is the same capture, truth is consistent, folders read back as written."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from veduta.core import Actor, Capture, Gaussians, OutputError, Scene, ViewSource
from veduta.data import open_capture
from veduta.data.synthetic import PRESETS, Preset, street, synthetic_capture, write_capture
from veduta.geometry import RigidMotion, is_rigid, project, rigid_inverse, unproject_rays
from veduta.recipes import evaluate
from veduta.render import render_scene


@pytest.fixture(scope="module")
def captures() -> dict[str, Capture]:
    """A tiny capture of every preset."""
    return {name: synthetic_capture(name, views=6, width=64, height=48, points=400, test_every=3) for name in PRESETS}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_capture_is_complete(preset: str, captures: dict[str, Capture]) -> None:
    capture = captures[preset]
    assert isinstance(capture.train, ViewSource)
    assert (len(capture.train), len(capture.test)) == (4, 2)
    cameras = capture.cameras["camera"]
    assert len(cameras) == 6
    assert is_rigid(cameras.world_from_camera, 1e-5)
    names = [source[i].names[0] for source in (capture.train, capture.test) for i in range(len(source))]
    assert sorted(names) == [f"{i:04d}.png" for i in range(6)]
    view = capture.train[0]
    assert view.rgb.shape == (1, 48, 64, 3)
    assert view.rgb.min() >= 0
    assert view.rgb.max() <= 1
    assert view.rgb.std() > 0.08  # there is something to see
    assert view.depth is not None
    assert view.depth_valid is not None
    assert view.sky is not None
    assert torch.equal(view.depth_valid, ~view.sky)
    assert torch.equal(view.depth > 0, view.depth_valid)
    assert capture.metric
    with pytest.raises(IndexError):
        capture.train[4]


@pytest.mark.parametrize("preset", PRESETS)
def test_points_lie_on_what_the_photographs_show(preset: str, captures: dict[str, Capture]) -> None:
    capture = captures[preset]
    assert capture.points is not None
    assert len(capture.points) == 400
    seen = torch.zeros(400, dtype=torch.bool)
    for i in range(len(capture.train)):
        view = capture.train[i]
        px, depth = project(capture.points.xyz, view.cameras)
        column, row = px[0].floor().long().unbind(-1)
        inside = (depth[0] > 0) & (column >= 0) & (column < 64) & (row >= 0) & (row < 48)
        assert view.depth is not None
        column, row = column.clamp(0, 63), row.clamp(0, 47)
        there = inside & ((view.depth[0, row, column] - depth[0]).abs() < 1e-3 * depth[0])
        same = (view.rgb[0, row, column] - capture.points.rgb).abs().amax(dim=-1) < 1e-3
        centred = (px[0] - px[0].floor() - 0.5).abs().amax(dim=-1) < 0.02
        seen |= there & same & centred
    assert seen.all()


def test_the_same_seed_is_the_same_capture_and_another_is_not() -> None:
    first, again, other = (
        synthetic_capture("tabletop", views=2, width=40, height=30, points=50, seed=seed, test_every=0)
        for seed in (0, 0, 1)
    )
    assert len(other.test) == 0
    assert first.points is not None
    assert again.points is not None
    assert torch.equal(first.train[1].rgb, again.train[1].rgb)
    assert torch.equal(first.points.xyz, again.points.xyz)
    assert (first.train[1].rgb - other.train[1].rgb).abs().mean() > 0.005


def test_sparse_depth_is_exact(captures: dict[str, Capture]) -> None:
    source = captures["tabletop"].train
    px, depth, weight = source.sparse_depth(0)  # type: ignore[attr-defined]
    assert len(px) == len(depth) == len(weight) > 50
    view = source[0]
    assert view.depth is not None
    column, row = px.long().unbind(-1)
    assert ((view.depth[0, row, column] - depth).abs() / depth).max() < 0.01


def test_the_moving_car_stays_in_its_box_and_static_points_avoid_it(captures: dict[str, Capture]) -> None:
    scene, track = street(0), captures["street"].tracks["moving_car"]
    car = scene.names.index("moving_car")
    cameras = scene.cameras(41, width=96, height=72)[[8, 30]]
    views = scene.render(cameras, supersample=1)
    motion = scene.world.motions["moving_car"]
    _, directions = unproject_rays(cameras)
    half = track.size_m / 2 + 0.15  # mirrors
    for i in range(2):
        rays = directions[i] / (directions[i] @ cameras.world_from_camera[i, :3, 2])[..., None]
        points = (cameras.positions_world[i] + rays * views.depth[i, ..., None])[views.objects[i] == car].double()
        assert len(points) > 5
        object_from_world = rigid_inverse(motion.pose(float(cameras.time[i])))
        local = points @ object_from_world[:3, :3].T + object_from_world[:3, 3]
        assert (local.abs() <= half).all()
    assert captures["street"].points is not None
    path = track.world_from_object[:, :3, 3]
    ground = captures["street"].points.xyz[:, None, :2].double() - path[None, :, :2]
    high = captures["street"].points.xyz[:, 2] > 0.2
    assert (ground.norm(dim=-1).amin(dim=1)[high] > 0.8).all()


def test_time_matters_only_where_something_moves() -> None:
    scene = street(0)
    cameras = scene.cameras(3, width=48, height=36)[0]
    now, later = (scene.render(cameras.replace(time=cameras.time + t), supersample=1) for t in (0.0, 3.0))
    changed = now.objects != later.objects
    car = scene.names.index("moving_car")
    assert changed.any()
    assert ((now.objects == car) | (later.objects == car))[changed].all()
    assert torch.equal(now.objects == 0, now.sky)


@pytest.mark.parametrize("layout", ["colmap", "transforms"])
@pytest.mark.parametrize("preset", ["room", "street"])
def test_folders_read_back_as_written(
    preset: Preset, layout: str, captures: dict[str, Capture], tmp_path: Path
) -> None:
    made = captures[preset]
    folder = write_capture(made, tmp_path / "capture", layout=layout)  # type: ignore[arg-type]
    read = open_capture(folder)
    assert (len(read.train), len(read.test)) == (4, 2)
    for source, original in ((read.train, made.train), (read.test, made.test)):
        for i in range(len(source)):
            view, expected = source[i], original[i]
            assert view.names[0] == expected.names[0]
            assert (view.rgb - expected.rgb).abs().max() < 0.51 / 255
            assert torch.allclose(view.cameras.world_from_camera, expected.cameras.world_from_camera, atol=1e-5)
            assert torch.allclose(view.cameras.intrinsics, expected.cameras.intrinsics)
            assert torch.equal(view.cameras.time, expected.cameras.time)
            for ours, theirs in ((view.depth, expected.depth), (view.depth_valid, expected.depth_valid)):
                assert ours is not None
                assert theirs is not None
                assert torch.equal(ours, theirs)
    assert torch.equal(read.cameras["camera"].time, made.cameras["camera"].time)
    assert read.tracks.keys() == made.tracks.keys()
    for name, track in read.tracks.items():
        assert track.category == made.tracks[name].category
        assert torch.equal(track.times, made.tracks[name].times)
        assert torch.equal(track.size_m, made.tracks[name].size_m)
        assert torch.allclose(track.world_from_object, made.tracks[name].world_from_object, rtol=0, atol=1e-12)
    assert read.points is not None
    assert made.points is not None
    assert torch.allclose(read.points.xyz, made.points.xyz, atol=1e-5)
    assert torch.allclose(read.up, made.up, atol=0.1)
    assert (folder / "times.json").is_file() == ((preset, layout) == ("street", "colmap"))
    assert made.metric
    assert read.metric


@pytest.mark.parametrize("layout", ["colmap", "transforms"])
def test_a_capture_that_is_not_metric_does_not_become_so(
    layout: str, captures: dict[str, Capture], tmp_path: Path
) -> None:
    made = dataclasses.replace(captures["room"], metric=False)
    folder = write_capture(made, tmp_path / "capture", layout=layout)  # type: ignore[arg-type]
    assert not open_capture(folder).metric
    assert not (folder / "units.json").exists()


def car_scene(capture: Capture) -> Scene:
    """A row of white blobs along a capture's car, and nothing else."""
    means = torch.tensor([[x, 0.0, 0.0] for x in (-1.5, -0.5, 0.5, 1.5)])
    blobs = Gaussians(
        means=means,
        scales=torch.full((4, 3), 0.4).log(),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(4, 4).clone(),
        opacities=torch.full((4,), 3.0),
        sh=torch.full((4, 1, 3), 1.7),
    )
    track = capture.tracks["moving_car"]
    car = Actor(blobs, RigidMotion.from_track(track), track.category)
    return Scene(blobs.replace(opacities=torch.full((4,), -20.0)), {"moving_car": car})


@pytest.mark.parametrize("layout", ["colmap", "transforms"])
def test_what_moves_is_drawn_alike_before_writing_and_after_reading(
    layout: str, captures: dict[str, Capture], tmp_path: Path
) -> None:
    made = captures["street"]
    read = open_capture(write_capture(made, tmp_path / "capture", layout=layout))  # type: ignore[arg-type]
    ours, theirs = car_scene(read), car_scene(made)
    positions = []
    for i in range(len(read.train)):
        cameras, expected = read.train[i].cameras, made.train[i].cameras
        time = float(cameras.time[0])
        positions.append(ours.at(time).means[-1])
        assert torch.allclose(positions[-1], theirs.at(float(expected.time[0])).means[-1], atol=1e-5)
        drawn = render_scene(ours, cameras, backend="reference")
        assert drawn.alpha.max() > 0.2
        assert torch.allclose(drawn.color, render_scene(theirs, expected, backend="reference").color, atol=1e-3)
    travelled = [float((b - a).norm()) for a, b in pairwise(positions)]
    assert min(travelled) > 0.4  # 5 m/s at 10 Hz


def test_held_out_depth_is_measured_against(captures: dict[str, Capture], tmp_path: Path) -> None:
    read = open_capture(write_capture(captures["street"], tmp_path / "capture"))
    result = evaluate(car_scene(read), read.test, backend="reference")
    assert result.depth_error is not None
    (tmp_path / "capture" / "depth").rename(tmp_path / "elsewhere")
    assert evaluate(car_scene(read), open_capture(tmp_path / "capture").test, backend="reference").depth_error is None


def test_photographs_in_folders_keep_their_depth_apart(captures: dict[str, Capture], tmp_path: Path) -> None:
    made = captures["room"]
    folders = ("left", "right", "rear", "front")
    views = [made.train[i].replace(names=(f"{folders[i]}/0.png",)) for i in range(4)]
    write_capture(dataclasses.replace(made, train=views, test=[]), tmp_path)
    read = open_capture(tmp_path).train
    for view in (read[i] for i in range(4)):
        expected = views[folders.index(view.names[0].removesuffix("/0.png"))].depth
        assert view.depth is not None
        assert expected is not None
        assert torch.equal(view.depth, expected)


def test_a_folder_with_anything_in_it_is_left_alone(captures: dict[str, Capture], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_capture(captures["room"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputError):
        write_capture(captures["room"], tmp_path / "mine.txt")
