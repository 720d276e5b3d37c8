"""The benchmark of trained variants: trainings that go on, and rows that are what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import feedforward_ablations as ablations
import pytest

from tests.unit.recipes.objects import PLAN, Balls
from veduta.io.runs import RunFolder
from veduta.recipes.training import train_feedforward


@pytest.fixture
def start(tmp_path: Path) -> Path:
    out = tmp_path / "start"
    for _ in train_feedforward(replace(PLAN, densifier=None, steps=2), Balls(), out=out):
        pass
    return out


def test_variants_are_trained_from_one_start_and_compared(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "SMALL", PLAN)
    assert PLAN.densifier is not None
    small = {
        name: replace(PLAN.densifier, selection=plan.selection, ratio=plan.ratio)
        for name, plan in ablations.VARIANTS.items()
    }
    monkeypatch.setattr(ablations, "VARIANTS", small)
    runs = {name: tmp_path / name for name in small}
    for name, run in runs.items():
        plan = ablations.plan_of(name, start, 2)
        ablations.train(plan, run, pool=2, cache=tmp_path / "pool")
        ablations.train(plan, run, pool=2, cache=tmp_path / "pool")
        assert RunFolder.open(run).record().config["start"] == str(start)
    rows = ablations.rows_of(runs, [Balls(2), Balls(2)])
    assert [row["what"] for row in rows] == [*ablations.TOLD.values(), "the first one's coarse Gaussians"]
    assert rows[0]["densified gains dB"] == 0
    assert rows[2]["Gaussians"] > rows[0]["Gaussians"] > rows[4]["Gaussians"]
    assert len({row["PSNR dB"] for row in rows}) == len(rows)
