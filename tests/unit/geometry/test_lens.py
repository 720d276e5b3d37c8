"""Lenses: inverse laws, and agreement with COLMAP's own undistorter, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from veduta.core import Cameras, Lens, UnsupportedError
from veduta.geometry.lens import distort, pinhole_for, sample_bilinear, undistort, undistort_image, undistortion_map

LENSES = [
    Lens("RADIAL", (-0.1, 0.01)),
    Lens("RADIAL", (0.2, -0.05)),
    Lens("OPENCV", (-0.25, 0.06, 0.001, -0.002)),
    Lens("FULL_OPENCV", (-0.2, 0.05, 0.001, 0.001, 0.01, 0.05, 0.01, 0.001)),
    Lens("OPENCV_FISHEYE", (0.02, -0.01, 0.001, 0.0)),
    Lens("OPENCV_FISHEYE", (-0.05, 0.01, 0.0, 0.0)),
]
WIDTH, HEIGHT = 161, 120


def _cameras(lens: Lens | None, *, fx: float = 130.0, fy: float = 132.0) -> Cameras:
    poses = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    cameras = Cameras.pinhole(poses, fx=fx, fy=fy, cx=83.3, cy=58.9, width=WIDTH, height=HEIGHT)
    return cameras.replace(lens=lens)


def _picture() -> Tensor:
    """Smooth, with detail a few pixels wide."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    waves = [torch.sin(x / a + y / b) / 2 + 0.5 for a, b in ((3.0, 7.0), (-9.0, 2.5), (5.0, 5.0))]
    return (torch.stack(waves, dim=-1) * 254 + 1).round().float()


@pytest.mark.parametrize("lens", LENSES)
def test_undistort_inverts_distort(lens: Lens) -> None:
    xy = (torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5) * 1.2
    xy[0] = 0
    assert (undistort(distort(xy, lens), lens) - xy).abs().max() < 1e-7
    assert (distort(undistort(xy, lens), lens) - xy).abs().max() < 1e-7


@pytest.mark.parametrize("lens", LENSES)
def test_distort_is_differentiable(lens: Lens) -> None:
    xy = torch.tensor([[0.3, -0.2], [0.01, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: distort(p, lens), (xy,))


def test_unreachable_points_are_nan_and_only_those() -> None:
    folded = Lens("RADIAL", (-0.5, 0.0))  # r (1 - r^2 / 2) never exceeds 0.5443
    out = undistort(torch.tensor([[0.54, 0.0], [0.6, 0.0]], dtype=torch.float64), folded)
    assert torch.isfinite(out[0]).all()
    assert torch.isnan(out[1]).all()
    behind = undistort(torch.tensor([[1.5, 0.0], [1.6, 0.0]], dtype=torch.float64), Lens("OPENCV_FISHEYE", (0.0,) * 4))
    assert behind[0, 0] == pytest.approx(np.tan(1.5))
    assert torch.isnan(behind[1]).all()


def test_no_lens_changes_nothing() -> None:
    xy = torch.rand(4, 2)
    cameras, picture = _cameras(None), _picture()
    assert distort(xy, None) is xy
    assert undistort(xy, None) is xy
    assert pinhole_for(cameras) is cameras
    image, same = undistort_image(picture, cameras)
    assert image is picture
    assert same is cameras


def test_unknown_model_is_the_users_error() -> None:
    with pytest.raises(UnsupportedError, match="FOV"):
        distort(torch.zeros(1, 2), Lens("FOV", (1.0,)))


def test_zero_distortion_loses_a_border_of_two_pixels_at_most() -> None:
    """COLMAP divides whole lengths by lengths to pixel centres, so a lens of no effect still trims the picture."""
    flat = pinhole_for(_cameras(Lens("RADIAL", (0.0, 0.0))))
    assert flat.lens is None
    assert 0 <= WIDTH - flat.width <= 2
    assert 0 <= HEIGHT - flat.height <= 2


@pytest.mark.parametrize("lens", [Lens("RADIAL", (0.1, 0.0)), Lens("OPENCV_FISHEYE", (0.1, 0.0, 0.0, 0.0))])
@pytest.mark.parametrize("side", ["first", "last", "both"])
def test_a_border_through_the_principal_point_asks_for_the_size_to_stay(lens: Lens, side: str) -> None:
    """The other border is heard as where the principal point lies a hair outside."""
    cameras = _cameras(lens)
    width = 1 if side == "both" else cameras.width
    where = width - 0.5 if side == "last" else 0.5
    outwards = 1e-6 if side == "last" else -1e-6

    def width_at(centre: float) -> int:
        moved = cameras.intrinsics.clone()
        moved[:, 0, 2] = centre
        return pinhole_for(cameras.replace(intrinsics=moved, width=width)).width

    assert width_at(where) == (1 if side == "both" else min(WIDTH, width_at(where + outwards)))


def test_sampling_at_centres_returns_the_pixels_and_zero_outside() -> None:
    picture = _picture()
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    assert (sample_bilinear(picture, torch.stack([x, y], dim=-1)) - picture).abs().max() < 0.01
    between = sample_bilinear(picture, torch.tensor([[10.75, 20.5]]))
    assert torch.allclose(between, 0.75 * picture[20, 10] + 0.25 * picture[20, 11], atol=0.01)
    outside = torch.tensor([[0.4, 5.0], [WIDTH - 0.4, 5.0], [5.0, 0.4], [5.0, HEIGHT - 0.4], [torch.nan, 5.0]])
    assert torch.equal(sample_bilinear(picture, outside), torch.zeros(5, 3))


@pytest.mark.parametrize("lens", LENSES)
def test_undistortion_is_colmaps(lens: Lens) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    cameras = _cameras(lens, fy=130.0 if lens.model == "RADIAL" else 132.0)
    focals = [130.0] if lens.model == "RADIAL" else [130.0, 132.0]
    theirs = pycolmap.Camera(model=lens.model, width=WIDTH, height=HEIGHT, params=[*focals, 83.3, 58.9, *lens.params])
    picture = _picture()
    bitmap = pycolmap.Bitmap.from_array(picture.numpy().astype(np.uint8))
    want, want_camera = pycolmap.undistort_image(pycolmap.UndistortCameraOptions(), bitmap, theirs)
    got, flat = undistort_image(picture, cameras)
    assert (flat.width, flat.height) == (want_camera.width, want_camera.height)
    matrix = flat.intrinsics[0]
    assert [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]] == pytest.approx(want_camera.params, abs=1e-9)
    assert (got - torch.from_numpy(np.asarray(want.to_array()).astype(np.float32))).abs().max() < 0.51


@pytest.mark.parametrize("lens", LENSES)
def test_map_and_rays_agree(lens: Lens) -> None:
    """What the map fetches for a flat pixel is what the lens draws in that pixel's direction."""
    cameras = _cameras(lens)
    flat, grid = pinhole_for(cameras), undistortion_map(cameras)
    matrix = flat.intrinsics[0]
    xy = torch.stack([(20.5 - matrix[0, 2]) / matrix[0, 0], (30.5 - matrix[1, 2]) / matrix[1, 1]])
    drawn = distort(xy, lens) * torch.diagonal(cameras.intrinsics[0])[:2] + cameras.intrinsics[0, :2, 2]
    assert torch.allclose(grid[30, 20], drawn)
