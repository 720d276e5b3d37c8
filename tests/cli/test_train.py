"""``veduta train`` and ``veduta eval-feedforward`` from the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.recipes.objects import PLAN, Balls
from veduta.cli import train
from veduta.io.runs import RunFolder
from veduta.recipes.training import Processes, data
from veduta.recipes.training.plan import config_from_plan

Veduta = Callable[..., Any]


@pytest.fixture(autouse=True)
def balls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout of its own, so that nothing needs to be rendered with meshes."""
    for layouts in ("TRAINING_DATA", "TEST_DATA"):
        known = getattr(data, layouts)
        monkeypatch.setattr(data, layouts, known)
        monkeypatch.setitem(known, "balls", lambda options: Balls(2))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    plan = dataclasses.replace(PLAN, steps=2, score_every=2, turned=False)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(config_from_plan(plan)))
    return path


def test_train_then_evaluate(veduta: Veduta, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = (
        "train",
        "densifier",
        config,
        "-o",
        run,
        "--data",
        "balls",
        "--pool",
        "2",
        "--cache",
        tmp_path / "pool",
    )
    done = veduta(*arguments, "--tensorboard")
    assert done.code == 0, done.err
    assert "2 steps on 2 examples" in done.out
    assert "step 2: held out" in done.out
    assert f"model:  {run / 'model.safetensors'}" in done.out
    drawn = veduta("render", run, "--path", "orbit")
    assert drawn.code == 2
    assert "the run of a training, in which there is no scene" in drawn.err
    assert f"--model {run}" in drawn.err
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert len(list((tmp_path / "pool").iterdir())) == 2
    for model in (run, run / "model.safetensors"):
        told = veduta("eval-feedforward", model, "--data", "balls", "-o", tmp_path / f"{Path(model).name}.json")
        assert told.code == 0, told.err
        assert "ball 1" in told.out
        assert "+-" in told.out
    scores = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("run", "model.safetensors")]
    assert scores[0]["mean"]["psnr"] == scores[1]["mean"]["psnr"]
    assert not scores[0]["oracle"]
    again = veduta("eval-feedforward", run, "--data", "balls", "-o", tmp_path / "run.json")
    assert again.code == 2
    assert "exists" in again.err


def test_runs_whose_names_have_dots_have_pools_of_their_own(veduta: Veduta, config: Path, tmp_path: Path) -> None:
    for name in ("obj.64", "obj.128"):
        told = veduta("train", "densifier", config, "-o", tmp_path / name, "--data", "balls", "--pool", "1")
        assert told.code == 0, told.err
        assert [path.name for path in (tmp_path / f"{name}.pool").iterdir()] == ["0_0000000.safetensors"]


def test_the_oracle_is_never_worse_and_says_that_it_is_one(veduta: Veduta, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert veduta("train", "densifier", config, "-o", run, "--data", "balls").code == 0
    told = veduta("eval-feedforward", run, "--data", "balls", "--oracle", "--count", "1", "-o", tmp_path / "o.json")
    assert "ORACLE" in told.out
    scores = json.loads((tmp_path / "o.json").read_text())
    assert scores["mean"]["psnr"] >= scores["mean"]["coarse_psnr"]
    assert len(scores["examples"]) == 1


def test_a_training_goes_on(veduta: Veduta, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from veduta.recipes.training import loop

    def stopped(self: object, supply: object) -> None:
        raise KeyboardInterrupt

    arguments = ("train", "densifier", config, "-o", tmp_path / "run", "--data", "balls")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "step_", stopped)
        told = veduta(*arguments)
    assert told.code == 130
    assert "stopped before the first checkpoint; start again with: veduta " in told.out
    assert "--resume" in told.out.splitlines()[-1]
    assert veduta(*arguments, "--resume").code == 0


@pytest.mark.parametrize("first", [True, False])
def test_under_torchrun_one_process_tells_how_to_go_on(
    veduta: Veduta, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    @contextmanager
    def two(kind: str) -> Iterator[tuple[Processes, torch.device]]:
        yield Processes(0 if first else 1, 2), torch.device(kind)

    def stopped(*_: object, **__: object) -> Iterator[None]:
        RunFolder.create(tmp_path / "run", {}, capture=tmp_path, fingerprint="", command="", seed=0)
        raise KeyboardInterrupt
        yield

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr(train, "_processes", two)
    monkeypatch.setattr(train, "train_feedforward", stopped)
    told = veduta("train", "densifier", config, "-o", tmp_path / "run", "--data", "balls")
    assert told.code == 130
    assert ("start again with torchrun as before: veduta " in told.out) == first
    assert ("stopped" in told.out) == first


@pytest.mark.slow
def test_two_processes_under_torchrun(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "veduta"]
    arguments = ["train", "densifier", str(config), "-o", str(run), "--steps", "1", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=200
    )
    assert "2 processes" in done.stdout
    assert done.stdout.count("model:") == 1
    assert (run / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "densifier", "huge", "-o", "run"), "no such training"),
        (("train", "densifier", "tiny", "-o", "run", "--data", "cats"), "no such layout"),
        (("train", "densifier", "tiny", "-o", "run", "--data", "meshes"), "place"),
        (("train", "densifier", "tiny", "-o", "run", "--pool", "0"), "without objects"),
        (("train", "densifier", "tiny", "-o", "run", "--cache", "pool"), "a cache without a pool"),
        (("train", "densifier", "tiny", "-o", "run", "--ahead", "-1"), "field ahead"),
        (("train", "densifier", "tiny", "-o", "run", "--threads", "0"), "field threads"),
        (("train", "densifier", "default.json", "-o", "run"), "field ssim_scales"),
        (("train", "densifier", "wide.json", "-o", "run"), "field size_px"),
        (("train", "densifier", "tiny", "-o", "run", "--device", "cuda"), "no GPU"),
        (("eval-feedforward", "embedded", "--device", "cuda", "-o", "run/scores.json"), "no GPU"),
        (("predict", "capture", "-o", "run/a.ply", "--threads", "0"), "field threads"),
        (("eval-feedforward", "nothing"), "no such model"),
    ],
)
def test_mistakes(
    veduta: Veduta, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "default.json").write_text("{}")
    (tmp_path / "wide.json").write_text('{"base": "tiny", "coarse": {"size_px": 100}}')
    told = veduta(*arguments)
    assert told.code == 2
    assert said in told.err
    assert not (tmp_path / "run").exists()


def test_training_from_weights_learned_before(veduta: Veduta, config: Path, tmp_path: Path) -> None:
    shared = ("train", "densifier", config, "--data", "balls", "-o")
    assert veduta(*shared, tmp_path / "first").code == 0
    done = veduta(*shared, tmp_path / "second", "--start", tmp_path / "first")
    assert done.code == 0, done.err
    assert f"of them from {tmp_path / 'first'}" in done.out.replace("\n", "")
    again = veduta(*shared, tmp_path / "second", "--start", tmp_path / "first", "--resume")
    assert again.code == 0, again.err
    assert veduta(*shared, tmp_path / "second", "--resume").code == 0
    other = veduta(*shared, tmp_path / "second", "--resume", "--start", tmp_path / "third")
    assert other.code == 2
    assert "start" in other.err
    none = veduta(*shared, tmp_path / "fourth", "--start", tmp_path / "nowhere")
    assert none.code == 2
    assert "no such model" in none.err
    assert not (tmp_path / "fourth").exists()
