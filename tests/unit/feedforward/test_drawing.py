"""Drawing as published weights were trained, and Gaussians that any viewer shows so."""

from __future__ import annotations

import pytest
import torch

from tests.unit.feedforward.tiny import cloud, ring
from veduta.core import Cameras, Views
from veduta.feedforward import Drawing, look
from veduta.render import rasterize


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_mirrored_colours_are_those_seen_from_minus_the_position(generator: torch.Generator) -> None:
    """At the origin the direction is the opposite one: the sign of odd degrees changes."""
    cameras = ring()
    gaussians = cloud(1, generator, degree=3)
    gaussians = gaussians.replace(means=torch.zeros(1, 3))
    mirrored = Drawing(mirrored=True)
    usual = rasterize(mirrored.viewable(gaussians), cameras, background=torch.ones(3))
    drawn = mirrored.draw(gaussians, cameras)
    for name in ("color", "alpha", "depth"):
        assert torch.allclose(getattr(drawn, name), getattr(usual, name), atol=1e-5), name
    plain = Drawing().draw(gaussians, cameras)
    assert not torch.allclose(plain.color, drawn.color, atol=1e-2)


def test_what_any_viewer_shows_is_nearly_so_away_from_the_origin(generator: torch.Generator) -> None:
    gaussians, cameras = cloud(100, generator), ring()
    mirrored = Drawing(mirrored=True)
    wanted = mirrored.draw(gaussians, cameras).color
    viewable = Drawing().draw(mirrored.viewable(gaussians), cameras).color
    untouched = Drawing().draw(gaussians, cameras).color
    assert float((viewable - wanted).abs().mean()) < 0.5 * float((untouched - wanted).abs().mean())
    assert Drawing().viewable(gaussians) is gaussians


def test_mirrored_pictures_have_gradients_and_scores(generator: torch.Generator) -> None:
    gaussians, cameras = cloud(50, generator), ring()
    views = Views.of(cameras, rgb=torch.zeros(3, 32, 32, 3))
    seen = look(gaussians, views, Drawing(mirrored=True))
    assert float(seen.absolute.sum()) > 0
    sh = gaussians.sh.clone().requires_grad_()
    Drawing(mirrored=True).draw(gaussians.replace(sh=sh), cameras).color.sum().backward()
    assert sh.grad is not None
    assert float(sh.grad.abs().sum()) > 0


def test_the_background_lies_behind(generator: torch.Generator) -> None:
    cameras: Cameras = ring(1)
    nothing = cloud(1, generator).replace(opacities=torch.zeros(1))
    drawn = Drawing(background=(0.25, 0.5, 1.0)).draw(nothing, cameras)
    assert torch.allclose(drawn.color, torch.tensor([0.25, 0.5, 1.0]).expand_as(drawn.color))
