"""Scores of feed-forward models: protocols, the oracle, means and errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.unit.recipes.objects import Balls
from veduta.core import Gaussians, InputError, Views
from veduta.feedforward import Drawing, FeedForward, Intake, Prediction
from veduta.measure import psnr, ssim
from veduta.recipes.training import ExampleScore, Scores, evaluate_feedforward
from veduta.recipes.training.evaluation import unseen
from veduta.recipes.training.step import strip, to_judge


def blob(size: float, *, x: float = 0.0) -> Gaussians:
    return Gaussians(
        means=torch.tensor([[x, 0.0, 0.0]]),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.full((1, 3), size),
        opacities=torch.tensor([0.9]),
        sh=torch.zeros(1, 1, 3),
    )


class Twice(FeedForward):
    """A model that always says the same: one coarse Gaussian, and another densified one."""

    def __init__(self, coarse: Gaussians, fine: Gaussians) -> None:
        super().__init__(nn.Linear(1, 1), intake=Intake(masked=True), drawing=Drawing())
        self.made = Prediction(coarse, fine, torch.zeros(1, dtype=torch.long), torch.zeros(1))

    def forward(self, views: Views, **_: object) -> Prediction:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.made


GOOD, BAD = blob(0.15), blob(0.02)
SIDE = blob(0.15, x=0.35)


def test_objects_are_judged_by_their_views_side_by_side() -> None:
    model = Twice(BAD, GOOD)
    scores = evaluate_feedforward(model, Balls(2))
    example = Balls(2).evaluation(1)
    judged = to_judge(example, Drawing(), behind=None)
    pictures, truth = strip(unseen(GOOD, judged, model)), strip(judged.pictures[judged.shown :])
    assert pictures.shape == (32, 64, 3)
    assert scores.examples[1].psnr == pytest.approx(float(psnr(pictures, truth)))
    assert scores.examples[1].ssim == pytest.approx(float(ssim(pictures, truth)))
    assert scores.examples[1].psnr > scores.examples[1].coarse_psnr
    assert scores.examples[0].gaussians == 1.0
    assert "side by side" in scores.protocol
    assert "ORACLE" not in scores.protocol
    assert scores.memory_bytes > 1e7


def test_scenes_are_judged_view_by_view() -> None:
    scores = evaluate_feedforward(Twice(BAD, GOOD), Balls(1), protocol="scene")
    judged = to_judge(Balls(1).evaluation(0), Drawing(), behind=None)
    model = Twice(BAD, GOOD)
    each = psnr(unseen(GOOD, judged, model), judged.pictures[judged.shown :])
    assert len(each) == 2
    assert scores.examples[0].psnr == pytest.approx(float(each.mean()))


def test_the_oracle_takes_the_better_of_both() -> None:
    for protocol in ("object", "scene"):
        honest = evaluate_feedforward(Twice(GOOD, BAD), Balls(1), protocol=protocol)
        oracle = evaluate_feedforward(Twice(GOOD, BAD), Balls(1), protocol=protocol, oracle=True)
        assert honest.examples[0].psnr < honest.examples[0].coarse_psnr
        assert oracle.examples[0].psnr == oracle.examples[0].coarse_psnr
        best = honest.examples[0].ssim if protocol == "object" else honest.examples[0].coarse_ssim
        assert oracle.examples[0].ssim == best
        assert oracle.oracle
        assert "ORACLE" in oracle.protocol
    mixed = evaluate_feedforward(Twice(GOOD, SIDE), Balls(1), protocol="scene", oracle=True)
    assert mixed.examples[0].psnr >= mixed.examples[0].coarse_psnr


def test_means_and_standard_errors() -> None:
    def one(value: float) -> ExampleScore:
        return ExampleScore(
            name="x",
            coarse_psnr=0.0,
            coarse_ssim=0.0,
            psnr=value,
            ssim=0.5,
            coarse_gaussians=1.0,
            gaussians=2.0,
            seconds=0.1,
        )

    scores = Scores(examples=(one(1.0), one(2.0), one(6.0)), protocol="p", oracle=False, memory_bytes=1)
    assert scores.mean("psnr") == 3.0
    assert scores.error("psnr") == pytest.approx(math.sqrt(7.0 / 3))
    told = scores.as_dict()
    assert told["standard_error"]["gaussians"] == 0.0
    assert [each["psnr"] for each in told["examples"]] == [1.0, 2.0, 6.0]
    alone = Scores(examples=(one(1.0),), protocol="p", oracle=False, memory_bytes=1)
    assert math.isnan(alone.error("psnr"))


def test_nothing_to_evaluate_on() -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_feedforward(Twice(GOOD, BAD), Balls(0))


def test_progress_and_a_choice_of_examples() -> None:
    told: list[tuple[int, int]] = []
    scores = evaluate_feedforward(
        Twice(BAD, GOOD), Balls(3), indices=[2, 0], on_example=lambda done, total: told.append((done, total))
    )
    assert [one.name for one in scores.examples] == ["ball 2", "ball 0"]
    assert told == [(1, 2), (2, 2)]
