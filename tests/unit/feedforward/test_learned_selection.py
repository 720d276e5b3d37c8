"""The learned selector: starts as the rule, learns to rank."""

from __future__ import annotations

import pytest
import torch

from tests.unit.feedforward.tiny import PLAN, Stored, cloud, pictures
from veduta.feedforward import (
    Coarse,
    Drawing,
    FeedForward,
    Intake,
    LearnedSelector,
    ObjectDensifier,
    look,
    select,
    selection_loss,
)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(6)


def test_a_fresh_one_selects_as_the_gradient_does(generator: torch.Generator) -> None:
    gaussians = cloud(80, generator)
    coarse = Coarse(gaussians, torch.randn(80, 8, generator=generator), torch.zeros(80, dtype=torch.long))
    seen = look(gaussians, pictures(generator), Drawing())
    scores = LearnedSelector(8)(coarse, seen)
    assert torch.equal(select(scores, 20), select(seen.scores(signed=False), 20))


def test_it_learns_what_gradients_do_not_say(generator: torch.Generator) -> None:
    """Pulls that depend on a feature are found."""
    gaussians = cloud(200, generator)
    coarse = Coarse(gaussians, torch.randn(200, 8, generator=generator), torch.zeros(200, dtype=torch.long))
    seen = look(gaussians, pictures(generator), Drawing())
    pulls = (3 * coarse.features[:, 0]).exp()
    torch.manual_seed(0)
    selector = LearnedSelector(8)
    optimizer = torch.optim.Adam(selector.parameters(), lr=3e-2)
    losses: list[float] = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = selection_loss(selector(coarse, seen), pulls)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.1


def test_the_loss_asks_for_order_only() -> None:
    pulls = torch.tensor([0.1, 1.0, 10.0])
    scores = pulls.log()
    assert float(selection_loss(5 * scores - 3, pulls)) == pytest.approx(0, abs=1e-5)
    assert float(selection_loss(-scores, pulls)) == pytest.approx(2, abs=1e-5)
    assert float(selection_loss(torch.ones(3), pulls)) == pytest.approx(1)
    assert float(selection_loss(scores, torch.ones(3))) == pytest.approx(1)


def test_in_a_model_any_budget_is_taken_and_scores_are_differentiable(generator: torch.Generator) -> None:
    views = pictures(generator)
    model = FeedForward(
        Stored(cloud(60, generator)),
        ObjectDensifier(PLAN, channels=8, heads=2),
        intake=Intake(masked=True),
        drawing=Drawing(),
        selector=LearnedSelector(8),
    )
    for budget in (5, 30):
        made = model(views, near=1, far=3, budget=budget)
        assert len(made.chosen) == budget
    pulls = look(made.coarse, pictures(generator), model.drawing).scores(signed=False)
    selection_loss(made.scores, pulls).backward()
    assert any(name.startswith("selector.mlp") and p.grad is not None for name, p in model.named_parameters())
    assert model.backbone.get_parameter("means").grad is None
