"""The benchmark of densification does what its rows say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import feedforward
import pytest
import torch

from tests.unit.recipes.objects import PLAN, Balls
from veduta.feedforward import ByGradient
from veduta.io.weights import save_weights
from veduta.nets import Split
from veduta.recipes.training import fresh_model
from veduta.recipes.training.models import weights_of


@pytest.fixture
def model():
    return fresh_model(PLAN).eval()


def test_gains_are_paired() -> None:
    class One:
        examples = ()

        def mean(self, name: str) -> float:
            return 1.0

    told = feedforward.row("x", [10.0, 20.0, 30.0], [11.0, 22.0, 33.0], One(), coarse=False)
    assert (told["PSNR dB"], told["densified gains dB"]) == (20.0, 2.0)
    assert told["se of gain"] == pytest.approx(1 / 3**0.5, abs=1e-3)


def test_splits_are_changed_for_a_while(model) -> None:
    split = next(module for module in model.modules() if isinstance(module, Split))
    net, ratio = split.net, split.ratio
    with feedforward.splits_changed(model, lambda each: setattr(each, "net", feedforward.Chance(3))):
        features = torch.ones(10, 8)
        assert len(set(split.net(features)[:, 0].tolist())) == 10
    assert split.net is net
    with feedforward.splits_changed(model, lambda each: setattr(each, "ratio", 1.0)):
        assert len(split(torch.ones(5, 8), torch.tensor([5])).leaves) == 0
    assert split.ratio == ratio


def test_every_row(model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedforward, "BUDGETS", (4, 12))
    monkeypatch.setattr(feedforward, "SEEDS", (0, 1))
    alone = {"coarse alone": fresh_model(replace(PLAN, densifier=None)).eval()}
    draws = [Balls(2), Balls(2)]
    rows = feedforward.compared(model, alone, draws, told=", twice") + feedforward.changed(model, draws, told="")
    assert [row["what"] for row in rows] == [
        "densified, twice",
        "its own coarse Gaussians, twice",
        "coarse alone, twice",
        "selected at random",
        "split at random",
        "no split: all children go on",
    ]
    budgets = feedforward.budgets(model, Balls(2))
    assert [row["what"] for row in budgets] == ["4 densified, 4 evenly around", "12 densified, 4 evenly around"]
    assert rows[0]["densified gains dB"] == 0.0
    assert rows[0]["PSNR dB"] == budgets[1]["PSNR dB"]  # 12 is the plan's own budget
    assert rows[5]["Gaussians"] > rows[0]["Gaussians"] > budgets[0]["Gaussians"]
    assert model.budget == 12
    assert isinstance(model.selector, ByGradient)
    assert feedforward.shown(rows).count("\n") == len(rows) + 1


def test_times_are_of_training_steps_that_change_nothing(model) -> None:
    alone = fresh_model(replace(PLAN, densifier=None)).eval()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    examples = [Balls(1).sample(0, torch.Generator().manual_seed(number)) for number in range(6)]
    slow, quick = feedforward.step_ms([model, alone], examples)
    assert slow > 0
    assert quick > 0
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert not model.training
    assert not any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters())


def test_trainings_are_told_by_their_share_of_the_time(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fresh_model(replace(PLAN, densifier=None)).eval()
    for name, each, plan, steps in (
        ("both", model, PLAN, 100),
        ("long", alone, replace(PLAN, densifier=None), 200),
        ("short", alone, replace(PLAN, densifier=None), 100),
    ):
        save_weights(tmp_path / f"{name}.safetensors", weights_of(each, plan, step=steps, data="balls"))
    monkeypatch.setattr(feedforward, "step_ms", lambda models, examples: [10.0, 5.0, 5.0])
    monkeypatch.setattr(feedforward, "TIMED_STEPS", 1)
    models, trained = feedforward.opened([str(tmp_path / f"{name}.safetensors") for name in ("both", "long", "short")])
    assert list(models) == [
        "densified",
        "coarse part trained alone: 200 steps, 1.00 of the time",
        "coarse part trained alone: 100 steps, 0.50 of the time",
    ]
    assert models["densified"].densifier is not None
    assert trained["densified"] == {
        "CPU ms per step": 10.0,
        "share of the time": 1.0,
        "weights": "both.safetensors",
    }
