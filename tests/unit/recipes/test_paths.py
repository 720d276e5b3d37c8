"""Paths by name, and pictures along them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.tiny import UP, tiny_cameras, tiny_scene, write_capture
from veduta.core import Cameras, Capture, InputError
from veduta.data import open_capture
from veduta.io.images import image_size
from veduta.recipes.colors import DepthRange, depth_colors
from veduta.recipes.flights import one_by_one, render_path
from veduta.recipes.paths import PATHS, PathOptions, camera_path


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return open_capture(write_capture(tmp_path_factory.mktemp("paths") / "capture"))


@pytest.mark.parametrize("name", list(PATHS))
def test_every_path_gives_finite_rigid_cameras(name: str, capture: Capture) -> None:
    for cameras in camera_path(capture, name, PathOptions(frames=5)):
        rotation = cameras.world_from_camera[:, :3, :3]
        torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
        assert torch.isfinite(cameras.world_from_camera).all()
        assert (cameras.width, cameras.height) == (40, 32)


@pytest.mark.parametrize("name", ["interpolate", "orbit", "ellipse"])
def test_a_flight_has_as_many_cameras_as_asked_for(name: str, capture: Capture) -> None:
    (cameras,) = camera_path(capture, name, PathOptions(frames=7))
    assert len(cameras) == 7


def test_photographs_paths_are_the_photographs(capture: Capture) -> None:
    true = tiny_cameras().positions_world
    held_out = torch.cat([c.positions_world for c in camera_path(capture, "held-out")])
    train = torch.cat([c.positions_world for c in camera_path(capture, "train")])
    torch.testing.assert_close(held_out, true[[0, 8]], atol=1e-5, rtol=0)
    torch.testing.assert_close(train, true[1:8], atol=1e-5, rtol=0)


def test_lateral_moves_every_camera_to_its_right(capture: Capture) -> None:
    (moved,) = camera_path(capture, "lateral", PathOptions(right_m=0.3))
    (still,) = camera_path(capture, "lateral", PathOptions(right_m=0.0))
    step = moved.positions_world - still.positions_world
    torch.testing.assert_close(step, 0.3 * still.world_from_camera[:, :3, 0], atol=1e-6, rtol=0)


def test_orbit_stays_level(capture: Capture) -> None:
    (cameras,) = camera_path(capture, "orbit", PathOptions(frames=6))
    right = cameras.world_from_camera[:, :3, 0].double()
    assert (right @ capture.up.double()).abs().max() < 1e-5
    assert float(capture.up.double() @ UP) > 0.95


def test_interpolation_goes_from_neighbour_to_neighbour_where_names_are_shuffled(capture: Capture) -> None:
    sensor = tiny_cameras()
    shuffled = sensor[[0, 8, 1, 7, 2, 6, 3, 5, 4]]

    def length(cameras: Cameras) -> float:
        (flight,) = camera_path(
            Capture(
                train=capture.train,
                test=capture.test,
                cameras={"camera": cameras},
                points=None,
                tracks={},
                up=capture.up,
                metric=False,
                source=capture.source,
            ),
            "interpolate",
            PathOptions(frames=60),
        )
        return float(flight.positions_world.diff(dim=0).norm(dim=1).sum())

    assert length(shuffled) == pytest.approx(length(sensor), rel=1e-3)


def test_mistakes_are_told(capture: Capture) -> None:
    with pytest.raises(InputError, match="one of held-out, train"):
        camera_path(capture, "sideways")
    with pytest.raises(InputError, match="at least 1"):
        PathOptions(frames=0)


def test_no_held_out_photographs_is_told(tmp_path: Path) -> None:
    capture = open_capture(write_capture(tmp_path / "capture"), test_every=0)
    with pytest.raises(InputError, match="no held-out photographs"):
        camera_path(capture, "held-out")


def test_pictures_of_several_sizes_make_no_video(tmp_path: Path) -> None:
    one = tiny_cameras(2)
    flight = render_path(tiny_scene(), [one, one.replace(width=20, height=16)], tmp_path, depth=True)
    assert flight.videos == ()
    assert [image_size(path) for path in flight.pictures] == [(40, 32), (40, 32), (20, 16), (20, 16)]
    assert [image_size(path) for path in flight.depths] == [image_size(path) for path in flight.pictures]


def test_a_path_without_cameras_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without cameras"):
        render_path(tiny_scene(), [], tmp_path)
    with pytest.raises(InputError, match="does not move"):
        render_path(tiny_scene(), tiny_cameras(1), tmp_path, fps=0)


def test_one_by_one_keeps_the_order() -> None:
    cameras = tiny_cameras(4)
    alone = one_by_one([cameras[:3], cameras[3:]])
    assert [len(camera) for camera in alone] == [1] * 4
    torch.testing.assert_close(torch.cat([c.positions_world for c in alone]), cameras.positions_world)


def test_nearer_is_brighter_and_nothing_is_black() -> None:
    depth = torch.tensor([[1.0, 2.0, 4.0, 8.0, 0.0]])
    alpha = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])
    spread = DepthRange.merged([DepthRange.of(depth, alpha)])
    brightness = depth_colors(depth, alpha, spread).mean(dim=-1)[0]
    assert (brightness[:-1].diff() < 0).all()
    assert float(brightness[-1]) == 0.0
    assert 1.0 <= spread.near < spread.far <= 8.0


def test_empty_pictures_have_a_range_too() -> None:
    nothing = torch.zeros(2, 3)
    assert DepthRange.of(nothing, nothing) is None
    spread = DepthRange.merged([DepthRange.of(nothing, nothing)])
    assert torch.equal(depth_colors(nothing, nothing, spread), torch.zeros(2, 3, 3))
    flat = DepthRange.merged([DepthRange(near=2.0, far=2.0)])
    assert torch.isfinite(depth_colors(torch.full((2, 3), 2.0), torch.ones(2, 3), flat)).all()
