"""One sensor out of a capture's cameras: sizes that differ by a few pixels are no reason to leave cameras out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.cli.tiny import tiny_cameras, write_capture
from veduta.core import Cameras, Capture
from veduta.data import FileViews, open_capture
from veduta.data.shots import _sensors
from veduta.data.source import Photo, PhotoCache
from veduta.geometry import project
from veduta.recipes.paths import PathOptions, camera_path, left_out
from veduta.recipes.sensors import main_sensor

POINTS = torch.tensor([[0.0, 0.0, 0.0], [0.2, -0.1, 0.3]])
SIZES = [(640, 480), (644, 479), (641, 482), (640, 480), (651, 485), (640, 480), (643, 481), (645, 480), (642, 480)]


def capture_of(sizes: Sequence[tuple[int, int]], names: Sequence[str]) -> Capture:
    """Photographs that are never read, each of a camera of its own, every fourth held out."""
    photos = [
        Photo(name=name, path=Path(name), original=camera, camera=camera, mask=None, sparse_depth=None)
        for name, camera in zip(names, cameras_with(sizes), strict=True)
    ]
    cache = PhotoCache(0)
    return Capture(
        train=FileViews([photo for i, photo in enumerate(photos) if i % 4], cache=cache),
        test=FileViews(photos[::4], cache=cache),
        cameras=_sensors(photos),
        points=None,
        tracks={},
        up=torch.tensor([0.0, 0.0, 1.0]),
        metric=False,
        source=Path("capture"),
    )


def cameras_with(sizes: Sequence[tuple[int, int]]) -> list[Cameras]:
    poses = tiny_cameras(len(sizes)).world_from_camera
    return [
        Cameras.pinhole(poses[i : i + 1], fx=600 + i, fy=602 + i, cx=w / 2 + 1, cy=h / 2 - 2, width=w, height=h)
        for i, (w, h) in enumerate(sizes)
    ]


def numbered(count: int, folder: str = "") -> list[str]:
    return [f"{folder}{i:03d}.jpg" for i in range(count)]


def test_cameras_of_about_one_size_are_one_sensor_in_order_of_names() -> None:
    sensor = main_sensor(capture_of(SIZES, numbered(9)))
    assert (sensor.left_out, sensor.told) == (0, None)
    assert (sensor.cameras.width, sensor.cameras.height) == (640, 479)
    assert torch.equal(sensor.cameras.world_from_camera, tiny_cameras(9).world_from_camera)


def test_a_crop_moves_pixels_by_half_of_what_is_lost_and_no_more() -> None:
    (cropped,) = camera_path(capture_of(SIZES, numbered(9)), "lateral", PathOptions(right_m=0.0))
    for i, camera in enumerate(cameras_with(SIZES)):
        px, depth = project(POINTS, camera)
        moved, same_depth = project(POINTS, cropped[i])
        lost = torch.tensor([camera.width - 640, camera.height - 479]) / 2
        torch.testing.assert_close(moved, px - lost, atol=1e-3, rtol=0)
        torch.testing.assert_close(same_depth, depth)


@pytest.mark.parametrize("path", ["interpolate", "orbit", "ellipse", "lateral"])
def test_every_path_is_built_from_all_photographs(path: str) -> None:
    capture = capture_of(SIZES, numbered(9))
    of_one_size = capture_of([(640, 480)] * 9, numbered(9))
    (cameras,) = camera_path(capture, path, PathOptions(frames=20))
    (expected,) = camera_path(of_one_size, path, PathOptions(frames=20))
    assert torch.equal(cameras.world_from_camera, expected.world_from_camera)
    assert left_out(capture, path) is None


def test_cameras_of_one_size_are_left_as_they_are() -> None:
    capture = capture_of([(640, 480)] * 9, numbered(9))
    assert main_sensor(capture).cameras is capture.cameras["camera"]


def test_other_folders_and_other_sizes_are_left_out_and_counted() -> None:
    names = [*numbered(5, "front/"), *numbered(4, "left/")]
    sensor = main_sensor(capture_of([(640, 480), (641, 480), (640, 480), (480, 640), (900, 675), *SIZES[:4]], names))
    assert len(sensor.cameras) == 4
    assert sensor.left_out == 5
    assert sensor.told is not None
    assert sensor.told.startswith("5 of 9 cameras are left out")
    capture = capture_of([(640, 480)] * 9, names)
    assert main_sensor(capture).cameras is capture.cameras["front"]
    assert left_out(capture, "lateral") is not None
    assert left_out(capture, "train") is None


def test_a_folder_called_like_a_size_is_a_folder() -> None:
    names = [*numbered(4, "cam/"), *numbered(5, "cam_640x480/")]
    assert len(main_sensor(capture_of([(640, 480)] * 9, names)).cameras) == 5


def test_captures_in_memory_have_sensors_too(tmp_path: Path) -> None:
    capture = open_capture(write_capture(tmp_path / "capture"))
    one, other = tiny_cameras(3), tiny_cameras(2).replace(width=41)
    memory = replace(capture, cameras={"camera_40x32": one, "camera_41x32": other}, train=[], test=[])
    assert len(main_sensor(memory).cameras) == 5
