"""Trainings that begin with weights that were learned before."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from tests.unit.recipes.objects import PLAN, Balls
from veduta.core import InputError, WeightsError
from veduta.feedforward.compatibility import SCENE, Compatibility
from veduta.feedforward.published import PUBLISHED
from veduta.io.tensors import load_tensors
from veduta.io.weights import Weights, load_weights, save_weights
from veduta.recipes.training import TrainingStarted, TrainPlan, fresh_model, opened_model, train_feedforward
from veduta.recipes.training.models import how_trained
from veduta.recipes.training.plan import differences, plan_from_config
from veduta.recipes.training.presets import training_plan
from veduta.recipes.training.start import as_started, start_, starting_from

COARSE = replace(PLAN, densifier=None, seed=7)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a coarse part that was trained alone."""
    out = tmp_path_factory.mktemp("start") / "coarse"
    for _ in train_feedforward(COARSE, Balls(), out=out):
        pass
    return out


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_densifier_is_put_on_a_coarse_part(coarse: Path, name: str) -> None:
    plan = starting_from(PLAN, str(coarse / name))
    model, drawn = fresh_model(plan), fresh_model(PLAN).state_dict()
    taken = start_(model, plan)
    learned, _ = load_tensors(coarse / "model.safetensors")
    for key, value in model.state_dict().items():
        assert torch.equal(value, learned[key] if key.startswith("backbone.") else drawn[key]), key
    assert taken.parameters == sum(p.numel() for p in model.backbone.parameters())
    assert taken.afresh == tuple(key for key in drawn if key.startswith("densifier."))


def test_the_first_event_and_the_file_tell_of_it(coarse: Path, tmp_path: Path) -> None:
    plan = starting_from(PLAN, str(coarse))
    first, *_ = train_feedforward(plan, Balls(), out=tmp_path / "run")
    assert isinstance(first, TrainingStarted)
    assert first.start == str(coarse)
    assert first.taken == sum(p.numel() for p in fresh_model(COARSE).parameters())
    assert load_weights(tmp_path / "run" / "model.safetensors").settings["training"]["start"] == "coarse"
    told = how_trained(tmp_path / "run")
    assert (told["steps"], told["config"]["seed"]) == (4, 0)
    assert (told["start"]["steps"], told["start"]["config"]["seed"]) == (4, 7)
    assert str(coarse) not in json.dumps(told)


def test_a_stopped_run_does_not_need_it_again(coarse: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(coarse, start)
    plan = starting_from(PLAN, str(start))
    for _ in train_feedforward(plan, Balls(), out=tmp_path / "whole"):
        pass
    events = train_feedforward(plan, Balls(), out=tmp_path / "run")
    while next(events).step < 3:
        pass
    events.close()
    shutil.rmtree(start)
    again = as_started(PLAN, tmp_path / "run")
    assert again == plan == as_started(PLAN, tmp_path / "run", start=str(start))
    first, *_ = train_feedforward(again, Balls(), out=tmp_path / "run", resume=True)
    assert isinstance(first, TrainingStarted)
    assert first.taken == 0
    (one, _), (other, _) = (load_tensors(tmp_path / run / "model.safetensors") for run in ("whole", "run"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    changed = as_started(PLAN, tmp_path / "run", start="elsewhere")
    with pytest.raises(InputError, match=r"field start: .*other settings"):
        next(train_feedforward(changed, Balls(), out=tmp_path / "run", resume=True))


def test_imported_weights_keep_their_habits(tmp_path: Path) -> None:
    path = tmp_path / "mvsplat.safetensors"
    model = PUBLISHED["mvsplat"].build(SCENE)
    save_weights(path, Weights("mvsplat", {"compatibility": asdict(SCENE)}, model.state_dict()))
    plan = starting_from(training_plan("scene"), str(path))
    assert plan.compatibility == SCENE
    scene = fresh_model(plan)
    assert start_(scene, plan).parameters == sum(p.numel() for p in model.parameters())
    assert scene.backbone.compatibility == SCENE
    unlike = replace(plan, compatibility=Compatibility())
    with pytest.raises(WeightsError, match=r"habits: expected none, got unnormalised_depth, .*\n.*--start"):
        start_(fresh_model(unlike), unlike)


def test_weights_that_do_not_fit(coarse: Path, tmp_path: Path) -> None:
    wide = replace(PLAN, coarse=replace(PLAN.coarse, channels=16))
    with pytest.raises(WeightsError, match=r"of another size.*at least 90%.*got \d+%"):
        start_(fresh_model(wide), starting_from(wide, str(coarse)))
    with pytest.raises(InputError, match=r"no such model.*the run of a training"):
        starting_from(PLAN, str(tmp_path / "nowhere"))
    (tmp_path / "x.ckpt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"not been imported"):
        starting_from(PLAN, str(tmp_path / "x.ckpt"))


def test_the_embedded_model_can_be_trained_further() -> None:
    plan = starting_from(training_plan("small"), "embedded")
    assert plan.start == "embedded"
    model = fresh_model(plan)
    taken = start_(model, plan)
    assert not taken.afresh
    assert taken.parameters == sum(p.numel() for p in model.parameters())
    assert torch.equal(model.state_dict()["backbone.gather.weight"], _embedded("backbone.gather.weight"))


def _embedded(name: str) -> torch.Tensor:
    return opened_model("embedded")[0].state_dict()[name]


def test_plans_from_before_there_was_a_start() -> None:
    assert plan_from_config({}) == TrainPlan()
    assert differences(replace(PLAN, start="a"), {}) != differences(PLAN, {})
    assert "start" in differences(replace(PLAN, start="a"), {})
    assert "start" not in differences(PLAN, {})
