"""Every backend in float32 against the reference in float64: pictures, and the gradients of all inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.backends.scenes import BAND_BUDGET, Case, solve
from veduta.core import Cameras, Gaussians

IMAGE_TOLERANCE = 1e-5
"""Of the largest value (depth and features), or absolute (colour and alpha)."""
GRADIENT_TOLERANCE = 1e-5
"""Of the largest gradient of the same input."""
FLIP_TOLERANCE = 0.05
"""In the boundary band one skipped Gaussian may change a pixel by 1/255 of the brightest colour or so."""


def test_pictures_agree(case: Case, rasterize, truths) -> None:
    ignored, truth = truths(case)
    render = case.to(torch.float32).draw(rasterize)
    assert ignored.float().mean() <= BAND_BUDGET
    assert truth.render.alpha.mean() > 0.02, "the case shows too little to say anything"
    for name in ("color", "alpha", "depth", "features"):
        expected = getattr(truth.render, name)
        if expected is None:
            assert getattr(render, name) is None
            continue
        error = (getattr(render, name).double() - expected).abs()
        scale = max(1.0, float(expected.abs().max()))
        assert error[~ignored].max() <= IMAGE_TOLERANCE * scale, name
        assert error.max() <= FLIP_TOLERANCE * scale, name
    assert render.screen is None


def test_gradients_agree(case: Case, rasterize, truths) -> None:
    ignored, truth = truths(case)
    answer = solve(case.to(torch.float32), rasterize, ignored)
    for name, expected in truth.gradients.items():
        error = (answer.gradients[name].double() - expected).abs().max()
        assert expected.abs().max() > 0, name
        assert error <= GRADIENT_TOLERANCE * expected.abs().max(), name


def test_screens_agree(case: Case, rasterize, truths) -> None:
    case, expected = replace(case.to(torch.float32), options=replace(case.options, keep_screen=True)), truths(case)[1]
    screen, expected = case.draw(rasterize).screen.to("cpu"), expected.render.screen
    both = screen.visible & expected.visible
    assert (screen.visible == expected.visible).float().mean() >= 0.999
    torch.testing.assert_close(screen.means_px[both].double(), expected.means_px[both], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(screen.radii_px[both].double(), expected.radii_px[both], rtol=1e-4, atol=1e-4)
    assert (screen.radii_px[~screen.visible] == 0).all()
    assert (screen.radii_px[screen.visible] > 0).all()


def test_gradients_only_where_asked(rasterize) -> None:
    gaussians = one_gaussian()
    gaussians = gaussians.replace(opacities=gaussians.opacities.requires_grad_())
    rasterize(gaussians, front_camera()).color.sum().backward()
    assert gaussians.opacities.grad is not None
    assert gaussians.means.grad is None
    drawn = rasterize(one_gaussian(), front_camera())
    assert not drawn.color.requires_grad


def test_gradients_add_up_over_two_backward_passes(rasterize) -> None:
    gaussians = one_gaussian().map(lambda t: t.requires_grad_())
    render = rasterize(gaussians, front_camera())
    render.color.sum().backward(retain_graph=True)
    once = gaussians.means.grad.clone()
    render.color.sum().backward()
    torch.testing.assert_close(gaussians.means.grad, 2 * once)


@pytest.mark.parametrize("unused", ["color", "alpha", "depth"])
def test_loss_of_some_outputs_only(rasterize, unused: str) -> None:
    def gradient(draw, dtype: torch.dtype) -> torch.Tensor:
        gaussians = one_gaussian().to(dtype).map(lambda t: t.requires_grad_())
        render = draw(gaussians, front_camera().to(dtype))
        sum(getattr(render, name).sum() for name in {"color", "alpha", "depth"} - {unused}).backward()
        return gaussians.means.grad.double()

    from veduta.render.reference import Reference

    expected = gradient(Reference().rasterize, torch.float64)
    assert (gradient(rasterize, torch.float32) - expected).abs().max() <= GRADIENT_TOLERANCE * expected.abs().max()


def one_gaussian() -> Gaussians:
    return Gaussians(
        means=torch.tensor([[0.1, -0.05, 2.0]]),
        quats=torch.tensor([[0.9, 0.1, -0.3, 0.2]]),
        scales=torch.tensor([[0.3, 0.1, 0.2]]),
        opacities=torch.tensor([0.7]),
        sh=torch.tensor([[[0.5, 0.1, -0.3]]]),
    )


def front_camera() -> Cameras:
    return Cameras.pinhole(torch.eye(4)[None], fx=30.0, fy=30.0, cx=12.0, cy=10.0, width=24, height=20)
