"""Points that look at photographs: laws of the projection attention."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.unit.feedforward.tiny import PLAN, Stored, cloud, pictures, ring
from veduta.core import Views
from veduta.feedforward import Densifier, Drawing, FeedForward, Intake, ObjectDensifier, look
from veduta.feedforward.lookup import LOOKED, Lookup, Shown


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def shown_to(generator: torch.Generator, views: Views) -> Shown:
    return Shown.of(views, look(cloud(50, generator), views, Drawing()))


def test_a_fresh_lookup_changes_nothing(generator: torch.Generator) -> None:
    views = pictures(generator)
    shown = shown_to(generator, views)
    plain = Densifier(PLAN).eval()
    looking = Densifier(dataclasses.replace(PLAN, looks=True)).eval()
    looking.load_state_dict(plain.state_dict(), strict=False)
    coords, features = torch.rand(30, 3, generator=generator) - 0.5, torch.randn(30, 16, generator=generator)
    counts = torch.tensor([30])
    for one, other in zip(plain(coords, features, counts), looking(coords, features, counts, shown=shown), strict=True):
        assert torch.equal(one.attributes, other.attributes)
        assert torch.equal(one.coords, other.coords)


def test_it_learns_from_the_first_step(generator: torch.Generator) -> None:
    lookup, views = Lookup(16), pictures(generator)
    points = torch.rand(20, 3, generator=generator) - 0.5
    lookup(torch.randn(20, 16, generator=generator), points, shown_to(generator, views)).square().sum().backward()
    assert lookup.add.weight.grad is not None
    assert float(lookup.add.weight.grad.abs().sum()) > 0


def trained(generator: torch.Generator) -> Lookup:
    lookup = Lookup(16)
    with torch.no_grad():
        lookup.add.weight.copy_(torch.randn(16, 64, generator=generator))
    return lookup


def test_the_order_of_photographs_does_not_matter(generator: torch.Generator) -> None:
    lookup, views = trained(generator), pictures(generator)
    turned = Views.of(views.cameras[[2, 0, 1]], rgb=views.rgb[[2, 0, 1]])
    gaussians = cloud(50, generator)
    points, features = torch.rand(20, 3, generator=generator) - 0.5, torch.randn(20, 16, generator=generator)
    told = [lookup(features, points, Shown.of(v, look(gaussians, v, Drawing()))) for v in (views, turned)]
    assert torch.allclose(told[0], told[1], atol=1e-5)
    assert not torch.allclose(told[0], features, atol=1e-2)


def test_points_out_of_sight_are_told_nothing(generator: torch.Generator) -> None:
    lookup, views = trained(generator), pictures(generator)
    far = torch.tensor([[0.0, 0.0, 50.0], [0.0, 0.0, -50.0]])
    features = torch.randn(2, 16, generator=generator)
    assert torch.equal(lookup(features, far, shown_to(generator, views)), features)


def test_a_photograph_that_does_not_see_a_point_has_no_say(generator: torch.Generator) -> None:
    lookup, views = trained(generator), pictures(generator, 2)
    pose = views.cameras.world_from_camera.clone()
    pose[1, :3, 2] *= -1  # looks away
    pose[1, :3, 0] *= -1
    views = views.replace(cameras=views.cameras.replace(world_from_camera=pose))
    points, features = 0.2 * torch.rand(9, 3, generator=generator), torch.randn(9, 16, generator=generator)
    gaussians = cloud(50, generator)
    both = lookup(features, points, Shown.of(views, look(gaussians, views, Drawing())))
    alone = lookup(features, points, Shown.of(views[0], look(gaussians, views[0], Drawing())))
    assert torch.allclose(both, alone, atol=1e-6)


def test_what_is_looked_at(generator: torch.Generator) -> None:
    """At a Gaussian's centre: the photograph's colour, no error where the picture is right, no error of depth."""
    cameras = ring(2)
    ball = cloud(1, generator).replace(means=torch.zeros(1, 3), opacities=torch.ones(1), scales=torch.full((1, 3), 0.1))
    views = Views.of(cameras, rgb=Drawing().draw(ball, cameras).color.clamp(0, 1))
    samples, inside = Shown.of(views, look(ball, views, Drawing())).at(torch.zeros(1, 3))
    assert samples.shape == (2, LOOKED, 1)
    assert bool(inside.all())
    assert torch.allclose(samples[:, 3:6], torch.zeros(2, 3, 1), atol=1e-5)
    assert torch.allclose(samples[:, -1], torch.zeros(2, 1), atol=1e-4)
    behind, _ = Shown.of(views, look(ball, views, Drawing())).at(0.4 * cameras.positions_world[:1])
    assert float(behind[0, -1, 0]) > 0.5  # nearer to the camera than what is drawn
    doubled, _ = Shown.of(views, look(ball, views, Drawing()), scale=2.0).at(0.8 * cameras.positions_world[:1])
    assert torch.allclose(doubled, behind, atol=1e-6)


def test_a_whole_model_that_looks(generator: torch.Generator) -> None:
    views = pictures(generator)
    densifier = ObjectDensifier(dataclasses.replace(PLAN, looks=True, gate="rendered"), channels=8, heads=2)
    model = FeedForward(
        Stored(cloud(60, generator)), densifier, intake=Intake(masked=True), drawing=Drawing(), budget=20
    )
    made = model(views, near=1, far=3)
    (model.drawing.draw(made.fine, views.cameras).color - views.rgb).square().mean().backward()
    scored = densifier.densifier.dec[0].get_submodule("mask.net.2")
    assert float(scored.weight.grad.abs().sum()) > 0  # pyright: ignore
    assert float(densifier.densifier.dec[1].get_submodule("look.add").weight.grad.abs().sum()) > 0  # pyright: ignore
