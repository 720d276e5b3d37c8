"""The benchmark of densification does what its rows say."""

from __future__ import annotations

from dataclasses import replace

import feedforward
import pytest
import torch

from tests.unit.recipes.objects import PLAN, Balls
from veduta.feedforward import ByGradient
from veduta.nets import Split
from veduta.recipes.training import fresh_model


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
