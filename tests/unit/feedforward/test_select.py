"""Which Gaussians are densified: laws of view-space gradients."""

from __future__ import annotations

import pytest
import torch

from tests.unit.feedforward.tiny import cloud, pictures, ring
from veduta.core import Views
from veduta.feedforward import AtRandom, ByGradient, Coarse, Drawing, look, select, view_space_scores
from veduta.render import rasterize


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_the_best_of_every_source_ascending() -> None:
    scores = torch.tensor([3.0, 9.0, 1.0, 9.0, 2.0, 7.0])
    assert select(scores, 2).tolist() == [1, 3]
    assert select(scores, 1, sources=torch.tensor([0, 0, 0, 1, 1, 1])).tolist() == [1, 3]
    assert select(scores, 3, sources=torch.tensor([0, 1, 1, 1, 1, 1])).tolist() == [0, 1, 3, 5]


def test_ties_go_to_lower_rows_and_all_are_taken_where_there_are_few() -> None:
    assert select(torch.ones(50), 3).tolist() == [0, 1, 2]
    assert select(torch.ones(2), 5).tolist() == [0, 1]
    assert select(torch.zeros(0), 5).tolist() == []


def test_gradients_are_those_of_the_error_when_centres_move_on_the_screen(generator: torch.Generator) -> None:
    """A move of a Gaussian across one view axis changes the error as the gradient says."""
    gaussians, views = cloud(12, generator), pictures(generator, 1)
    drawing = Drawing(clamp=False)
    seen = look(gaussians, views, drawing, backend="reference")
    pixels = rasterize(gaussians, views.cameras, options=None, backend="reference")
    assert pixels.color.shape == views.rgb.shape

    def error(moved: torch.Tensor) -> torch.Tensor:
        drawn = drawing.draw(gaussians.replace(means=moved), views.cameras, backend="reference").color
        return (drawn - views.rgb).square().mean()

    step = 1e-3
    pose = views.cameras.world_from_camera[0]
    focal = float(views.cameras.intrinsics[0, 0, 0])
    depths = (gaussians.means - pose[:3, 3]) @ pose[:3, 2]
    for row in range(3):
        for axis in range(2):
            move = torch.zeros_like(gaussians.means)
            move[row] = step * pose[:3, axis]
            slope = float(error(gaussians.means + move) - error(gaussians.means - move)) / (2 * step)
            ndc = float(seen.signed[row, axis]) * focal / float(depths[row]) * 2 / views.cameras.width
            assert slope == pytest.approx(ndc, rel=0.2, abs=2e-6)


def test_signed_gradients_never_exceed_absolute_ones(generator: torch.Generator) -> None:
    seen = look(cloud(100, generator), pictures(generator), Drawing())
    assert bool((seen.signed.abs() <= seen.absolute * (1 + 1e-4) + 1e-9).all())
    assert bool((seen.absolute > 0).any())
    assert not seen.signed.requires_grad


def test_views_add_up(generator: torch.Generator) -> None:
    gaussians, views = cloud(100, generator), pictures(generator)
    together = look(gaussians, views, Drawing())
    parts = [look(gaussians, views[i], Drawing()) for i in range(len(views))]
    assert torch.allclose(together.signed, torch.stack([part.signed for part in parts]).sum(0), atol=1e-9)
    assert torch.allclose(together.absolute, torch.stack([part.absolute for part in parts]).sum(0), atol=1e-9)


def test_an_object_is_compared_with_its_own_photographs_only(generator: torch.Generator) -> None:
    """Whatever else is in a batch, scores of an object are those that it has alone."""
    own, other = cloud(80, generator), cloud(80, generator)
    views, others = pictures(generator), pictures(generator)
    alone = view_space_scores(own, views, signed=False)
    batch = [view_space_scores(g, v, signed=False) for g, v in ((other, others), (own, views))]
    assert torch.equal(batch[1], alone)
    assert not torch.allclose(view_space_scores(own, others, signed=False), alone)


def test_perfect_pictures_pull_at_nothing_and_weightless_pixels_neither(generator: torch.Generator) -> None:
    gaussians, cameras = cloud(80, generator), ring()
    drawn = Drawing().draw(gaussians, cameras).color.clamp(0, 1)
    assert float(view_space_scores(gaussians, Views.of(cameras, rgb=drawn), signed=False).max()) < 1e-6
    nothing = torch.zeros_like(drawn[..., 0])
    wrong = Views.of(cameras, rgb=1 - drawn, weight=nothing)
    assert float(view_space_scores(gaussians, wrong, signed=False).max()) == 0


def test_clipped_pixels_do_not_pull(generator: torch.Generator) -> None:
    gaussians, cameras = cloud(40, generator), ring()
    bright = gaussians.replace(sh=gaussians.sh + 9.0)
    views = Views.of(cameras, rgb=torch.zeros(3, 32, 32, 3))
    drawing = Drawing(background=(2.0, 2.0, 2.0))
    assert float(view_space_scores(bright, views, signed=True, clamp=True, drawing=drawing).max()) == 0
    assert float(view_space_scores(bright, views, signed=True, clamp=False, drawing=drawing).max()) > 0


def test_backends_agree(generator: torch.Generator) -> None:
    gaussians, views = cloud(60, generator), pictures(generator)
    slow = look(gaussians, views, Drawing(), backend="reference")
    fast = look(gaussians, views, Drawing())
    for name in ("color", "alpha", "depth", "signed", "absolute"):
        assert torch.allclose(getattr(slow, name), getattr(fast, name), atol=2e-3, rtol=1e-3), name


def test_selectors(generator: torch.Generator) -> None:
    gaussians, views = cloud(50, generator), pictures(generator)
    coarse = Coarse(gaussians, torch.zeros(50, 1), torch.zeros(50, dtype=torch.long))
    seen = look(gaussians, views, Drawing())
    assert torch.equal(ByGradient()(coarse, seen), seen.absolute.norm(dim=1))
    assert torch.equal(ByGradient(signed=True)(coarse, seen), seen.signed.norm(dim=1))
    lots = [AtRandom()(coarse, seen, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(lots[0], lots[1])
    assert not torch.equal(lots[0], lots[2])
