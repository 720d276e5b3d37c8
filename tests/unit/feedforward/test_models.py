"""Whole models: what goes in, what comes out, what gradients reach."""

from __future__ import annotations

import pytest
import torch

from tests.unit.feedforward.tiny import PLAN, Stored, cloud, object_model, pictures, ring
from veduta.core import InputError, Views
from veduta.feedforward import AtRandom, Drawing, FeedForward, Intake, ObjectDensifier


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_union_is_what_was_densified_and_the_rest(generator: torch.Generator) -> None:
    model, views = object_model(generator).eval(), pictures(generator)
    made = model(views, near=1, far=3)
    assert len(made.chosen) == 40
    fresh = 40 * 2 - 64 + 64 * 4  # 80 children, 64 of them go on
    assert len(made.fine) == fresh + 160
    rest = torch.ones(200, dtype=torch.bool)
    rest[made.chosen] = False
    assert torch.equal(made.fine.means[fresh:], made.coarse.means[rest])
    assert torch.equal(made.fine.opacities[fresh:], made.coarse.opacities[rest])


def test_reruns_are_bit_identical(generator: torch.Generator) -> None:
    model, views = object_model(generator).eval(), pictures(generator)
    first, second = (model(views, near=1, far=3) for _ in range(2))
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(first.fine, name), getattr(second.fine, name))


def test_the_highest_scores_are_densified_and_the_budget_can_be_changed(generator: torch.Generator) -> None:
    model, views = object_model(generator).eval(), pictures(generator)
    made = model(views, near=1, far=3, budget=7)
    assert len(made.chosen) == 7
    assert torch.equal(made.chosen, made.scores.topk(7).indices.sort().values)


def test_gradients_reach_every_parameter_through_pictures(generator: torch.Generator) -> None:
    model, views = object_model(generator), pictures(generator)
    made = model(views, near=1, far=3, generator=generator)
    error = (model.drawing.draw(made.fine, views.cameras).color - views.rgb).square().mean()
    error.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []
    assert all(
        p.grad is not None and float(p.grad.abs().max()) > 0
        for n, p in model.named_parameters()
        if "head" in n or "up" in n
    )


def test_random_selection_is_drawn_from_the_generator(generator: torch.Generator) -> None:
    views = pictures(generator)
    densifier = ObjectDensifier(PLAN, channels=8, heads=2)
    intake = Intake(masked=True)
    model = FeedForward(
        Stored(cloud(100, generator)), densifier, intake=intake, drawing=Drawing(), budget=10, selector=AtRandom()
    ).eval()
    rows = [model(views, near=1, far=3, generator=torch.Generator().manual_seed(s)).chosen for s in (1, 1, 2)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_a_model_without_a_densifier_gives_its_coarse_gaussians(generator: torch.Generator) -> None:
    model = FeedForward(Stored(cloud(30, generator)), intake=Intake(), drawing=Drawing())
    made = model(pictures(generator), near=1, far=3)
    assert made.fine is made.coarse
    assert len(made.chosen) == 0


@pytest.mark.parametrize(
    ("views", "size", "said"),
    [(1, 32, "2 to 4 photographs"), (5, 32, "2 to 4 photographs"), (2, 40, "divisible by 16")],
)
def test_photographs_that_do_not_fit_are_refused(views: int, size: int, said: str, generator: torch.Generator) -> None:
    model = object_model(generator)
    given = Views.of(ring(views, size=size), rgb=torch.zeros(views, size, size, 3))
    with pytest.raises(InputError, match=said):
        model(given, near=1, far=3)


def test_a_size_that_is_fixed() -> None:
    given = Views.of(ring(2), rgb=torch.zeros(2, 32, 32, 3))
    with pytest.raises(InputError, match="expected 64 x 64 pixels, got 32 x 32 pixels"):
        Intake(size_px=(64, 64)).check(given)
