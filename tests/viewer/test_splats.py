"""Gaussians for the browser: the same shapes in another frame, with colours that cameras saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from veduta.core import Gaussians
from veduta.geometry.sh import eval_sh
from veduta.viewer.splats import MAX_SIGMA, PAGE_RADIUS, Frame, baked_rgb, frame_of, splats_of

NOBODY = torch.zeros(0, 3)


def some(count: int = 50, *, degree: int = 3, offset: float = 0.0) -> Gaussians:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        means=normal(count, 3) + offset,
        quats=torch.nn.functional.normalize(normal(count, 4), dim=-1),
        scales=normal(count, 3).exp() * 0.1,
        opacities=torch.rand(count, generator=generator) * 0.9 + 0.05,
        sh=0.2 * normal(count, (degree + 1) ** 2, 3),
    )


def test_the_frame_moves_and_scales_and_nothing_else():
    gaussians, frame = some(), Frame((1.0, -2.0, 3.0), 4.0)
    here, there = (
        splats_of(gaussians, Frame((0.0, 0.0, 0.0), 1.0), eyes=NOBODY),
        splats_of(gaussians, frame, eyes=NOBODY),
    )
    np.testing.assert_allclose(there.centers, (here.centers - [1.0, -2.0, 3.0]) * 4.0, atol=1e-5)
    np.testing.assert_allclose(there.covariances, here.covariances * 16.0, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(there.rgbs, here.rgbs)


def test_covariances_have_the_squared_scales_as_eigenvalues():
    gaussians = some()
    found = np.linalg.eigvalsh(splats_of(gaussians, Frame((0.0, 0.0, 0.0), 1.0), eyes=NOBODY).covariances)
    np.testing.assert_allclose(found, gaussians.scales.square().sort(dim=1).values.numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("far", [0.0, 1e3])
def test_any_capture_fills_the_page(size: float, far: float):
    means = some(1000).means.double() * size + far * size
    cameras = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double() * size + far * size
    for positions in (cameras, torch.zeros(0, 3).double()):
        frame = frame_of(positions, means)
        distance = frame.place(means).norm(dim=-1)
        assert 0.5 * PAGE_RADIUS < float(distance.quantile(0.9)) < 1.5 * PAGE_RADIUS


def test_frames_of_nothing_and_of_one_point_are_finite():
    assert frame_of(NOBODY, NOBODY).scale == 1.0
    assert frame_of(torch.ones(1, 3), NOBODY).scale == 1.0
    assert frame_of(NOBODY, torch.tensor([[0.0, 0.0, 0.0], [float("nan"), 0.0, 0.0]])).scale == 1.0


def test_a_colour_seen_by_one_camera_is_the_colour_it_sees():
    gaussians, eye = some(), torch.tensor([[0.0, 0.0, -5.0]])
    seen = eval_sh(gaussians.sh, torch.nn.functional.normalize(gaussians.means - eye, dim=-1)).clamp(max=1.0)
    torch.testing.assert_close(baked_rgb(gaussians, eye), seen)


def test_without_cameras_the_constant_colour_is_shown():
    gaussians = some()
    alone = gaussians.replace(sh=gaussians.sh[:, :1])
    torch.testing.assert_close(baked_rgb(gaussians, NOBODY), baked_rgb(alone, torch.rand(4, 3)))


def test_what_a_browser_cannot_draw_is_left_out_or_bounded():
    gaussians = some(6)
    gaussians.means[0, 1] = float("nan")
    gaussians.quats[1, 0] = float("inf")
    gaussians.opacities[2] = 0.0
    gaussians.scales[3] = 1e9
    gaussians.sh[4] = 100.0
    splats = splats_of(gaussians, Frame((0.0, 0.0, 0.0), 1.0), eyes=NOBODY)
    assert len(splats.centers) == 3
    assert np.isfinite(splats.covariances.astype(np.float16)).all()
    assert np.linalg.eigvalsh(splats.covariances[0]).max() == pytest.approx(MAX_SIGMA**2, rel=1e-3)
    assert (splats.rgbs >= 0).all()
    assert (splats.rgbs <= 1).all()


def test_no_gaussians_are_no_splats():
    splats = splats_of(Gaussians.empty(2), Frame((0.0, 0.0, 0.0), 1.0), eyes=torch.rand(2, 3))
    assert (splats.centers.shape, splats.covariances.shape) == ((0, 3), (0, 3, 3))
    assert (splats.rgbs.shape, splats.opacities.shape) == ((0, 3), (0, 1))
