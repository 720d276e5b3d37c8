"""Rounds: coarse Gaussians are changed by what the photographs say, and drawn again, before they are densified."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.unit.feedforward.test_small import COARSE, FINE, ball, predict
from veduta.core import Views
from veduta.feedforward import FeedForward
from veduta.feedforward.checkpoints import load_model
from veduta.feedforward.select import Look, look
from veduta.feedforward.small_densify import (
    Pictures,
    Round,
    SmallDensifier,
    SmallDensifierPlan,
    logits_of,
    recolored,
    small_object_model,
)
from veduta.feedforward.small_weights import small_weights
from veduta.io.weights import save_weights

ROUNDS = dataclasses.replace(FINE, rounds=2)
INVISIBLE = -30.0


@pytest.fixture(scope="module")
def views() -> Views:
    return ball()


def fresh(plan: SmallDensifierPlan) -> FeedForward:
    torch.manual_seed(0)
    return small_object_model(COARSE, plan).eval()


def looks_of(model: FeedForward, views: Views, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What the densifier was shown, look by look."""
    seen: list[Look] = []
    shown = SmallDensifier.shown

    def remembered(self: SmallDensifier, views: Views, look: Look) -> Pictures:
        seen.append(look)
        return shown(self, views, look)

    monkeypatch.setattr(SmallDensifier, "shown", remembered)
    predict(model, views)
    return seen


def test_gaussians_are_drawn_anew_after_every_round(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(self: Round, features: Tensor, means: Tensor, shown: Pictures) -> tuple[Tensor, Tensor, Tensor]:
        none = means.new_zeros(len(means), self.parts[1])
        return features, none, torch.full_like(means[:, :1], INVISIBLE)

    monkeypatch.setattr(Round, "forward", vanish)
    first, second, third = looks_of(fresh(ROUNDS), views, monkeypatch)
    assert float(first.alpha.max()) > 0.1
    assert float(second.alpha.max()) == float(third.alpha.max()) == 0.0
    assert torch.equal(second.color, torch.ones_like(second.color))
    assert torch.equal(third.absolute, first.absolute)


def test_a_look_is_of_what_became_of_the_gaussians(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh(ROUNDS)
    changes: list[tuple[Tensor, Tensor]] = []
    own = Round.forward

    def remembered(self: Round, features: Tensor, means: Tensor, shown: Pictures) -> tuple[Tensor, Tensor, Tensor]:
        features, change, fade = own(self, features, means, shown)
        changes.append((change, fade))
        return features, change, fade

    monkeypatch.setattr(Round, "forward", remembered)
    *_, last = looks_of(model, views, monkeypatch)
    coarse = predict(model, views).coarse
    change, fade = (sum(part[1:], part[0]) for part in zip(*changes[:2], strict=True))
    assert bool(change.any())
    expected = look(recolored(coarse, change, fade), views, model.drawing)
    assert torch.allclose(last.color, expected.color, atol=1e-5)
    assert torch.allclose(last.depth, expected.depth, atol=1e-4)


def test_without_rounds_there_is_one_look(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(looks_of(fresh(FINE), views, monkeypatch)) == 1


def test_new_gaussians_begin_with_what_the_rounds_left_of_their_parents(views: Views) -> None:
    model = fresh(ROUNDS)
    before = predict(model, views)
    assert isinstance(model.densifier, SmallDensifier)
    last = model.densifier.ask_coarse.answer[-1]
    with torch.no_grad():
        last.bias[-1] += INVISIBLE
    after = predict(model, views)
    assert float(before.fine.opacities.max()) > 0.1
    assert float(after.fine.opacities.max()) < 1e-6


def test_the_order_of_the_photographs_does_not_matter(views: Views) -> None:
    order = [2, 0, 3, 1]
    assert views.alpha is not None
    turned = Views.of(views.cameras[order], rgb=views.rgb[order]).replace(alpha=views.alpha[order])
    model = fresh(ROUNDS)
    one, other = (predict(model, each).fine for each in (views, turned))
    assert float((one.means - other.means).abs().max()) < 1e-4
    assert float((one.sh - other.sh).abs().max()) < 1e-3


def test_every_parameter_of_a_round_learns(views: Views) -> None:
    model = fresh(ROUNDS).train()
    made = model(views, near=1.2, far=2.8, generator=torch.Generator().manual_seed(0))
    (made.fine.sh.square().sum() + logits_of(made.fine).square().sum()).backward()
    assert isinstance(model.densifier, SmallDensifier)
    named = dict(model.densifier.rounds.named_parameters())
    assert len(named) == 2 * 12
    assert [name for name, each in named.items() if each.grad is None or not bool(each.grad.any())] == []


def test_weights_know_their_rounds_and_those_stored_before_there_were_any_have_none(
    views: Views, tmp_path: Path
) -> None:
    model = fresh(ROUNDS)
    save_weights(tmp_path / "new.safetensors", small_weights(model, COARSE, ROUNDS))
    again = load_model(tmp_path / "new.safetensors")
    assert torch.equal(predict(again, views).fine.sh, predict(model, views).fine.sh)
    weights = small_weights(fresh(FINE), COARSE, FINE)
    settings = {name: value for name, value in weights.settings["densifier"].items() if name != "rounds"}
    old = dataclasses.replace(weights, settings=weights.settings | {"densifier": settings})
    save_weights(tmp_path / "old.safetensors", old)
    assert torch.equal(
        predict(load_model(tmp_path / "old.safetensors"), views).fine.sh, predict(fresh(FINE), views).fine.sh
    )
