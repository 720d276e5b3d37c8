"""Captures from the world: all of them open, and agree with each other and with COLMAP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from veduta.data import FileViews, open_capture
from veduta.geometry.projection import project
from veduta.io.colmap import NO_POINT, read_model

STATIC = {
    "drone_rubble_lowres": 10,
    "fox": 50,
    "lego_synthetic": 100,
    "llff_fern": 20,
    "llff_fortress_7view": 7,
    "m360_kitchen_sparse": 19,
    "ramen_table": 32,
    "sceaux_castle": 11,
    "vrnerf_apartment": 32,
}
COMPARE = {"fox": (43, 7), "llff_fern": (17, 3), "m360_kitchen_sparse": (16, 3)}


@pytest.mark.parametrize(("name", "count"), STATIC.items())
def test_static_captures_open(shared_data: Path, name: str, count: int) -> None:
    capture = open_capture(shared_data / "static" / name, max_size=200)
    assert len(capture.train) + len(capture.test) == count == sum(len(c) for c in capture.cameras.values())
    view = capture.train[0]
    assert max(view.rgb.shape[1:3]) == 200
    assert view.rgb.shape[1:3] == (view.cameras.height, view.cameras.width)
    assert view.rgb.std() > 0.05
    assert (view.weight == 1).all()
    assert (capture.points is None) == (name == "lego_synthetic")
    assert abs(float(capture.up.norm()) - 1) < 1e-5
    if capture.points is not None:
        assert isinstance(capture.train, FileViews)
        depth = capture.train.sparse_depth(0)
        assert depth is not None
        assert len(depth[0]) > 50


@pytest.mark.parametrize(("name", "sizes"), COMPARE.items())
def test_captures_for_comparison_keep_their_split(shared_data: Path, name: str, sizes: tuple[int, int]) -> None:
    capture = open_capture(shared_data / "compare" / name)
    assert (len(capture.train), len(capture.test)) == sizes
    assert (capture.train[0].weight == 1).all()


def test_both_files_of_the_fox_tell_the_same_cameras(shared_data: Path) -> None:
    folder = shared_data / "static" / "fox"
    colmap, transforms = open_capture(folder), open_capture(folder / "transforms.json")
    ours, theirs = colmap.cameras["camera"], transforms.cameras["camera"]
    assert torch.allclose(ours.world_from_camera, theirs.world_from_camera, atol=1e-4)
    assert torch.allclose(ours.intrinsics, theirs.intrinsics, atol=1e-3)
    assert torch.allclose(colmap.train[3].rgb, transforms.train[3].rgb, atol=1.01 / 255)


@pytest.mark.parametrize("name", ["sceaux_castle", "fox"])
def test_points_fall_on_their_keypoints_through_the_lens(shared_data: Path, name: str) -> None:
    from veduta.data.colmap import _findings

    folder = shared_data / "static" / name
    model = read_model(folder / "sparse" / "0")
    found = _findings(folder, folder / "sparse" / "0", model)
    shot = found.shots[1]
    image = next(image for image in model.images.values() if image.name == shot.name)
    row = {point: i for i, point in enumerate(model.points.ids.tolist())}
    seen = image.point3d_ids != NO_POINT
    points = model.points.xyz[[row[point] for point in image.point3d_ids[seen].tolist()]]
    px, depth = project(points, shot.camera)
    assert (depth > 0).all()
    assert (px[0] - image.points2d[seen]).norm(dim=-1).mean() < 1.0


def test_the_lego_is_over_white_and_z_is_up(shared_data: Path) -> None:
    capture = open_capture(shared_data / "static" / "lego_synthetic")
    assert (len(capture.train), len(capture.test)) == (87, 13)
    assert capture.background is not None
    assert (capture.train[0].rgb[0, 0, 0] == 1).all()
    assert capture.up.tolist() == [0, 0, 1]
    cameras = next(iter(capture.cameras.values()))
    towards = -cameras.positions_world / cameras.positions_world.norm(dim=1, keepdim=True)
    assert ((cameras.world_from_camera[:, :3, 2] * towards).sum(dim=1) > 0.99).all()  # all look at the origin


@pytest.mark.parametrize("name", ["fox", "vrnerf_apartment", "sceaux_castle"])
def test_up_agrees_with_how_the_photographs_were_held(shared_data: Path, name: str) -> None:
    capture = open_capture(shared_data / "static" / name)
    down = capture.cameras["camera"].world_from_camera[:, :3, 1]
    assert float((-down.mean(dim=0)) @ capture.up) > 0.8
