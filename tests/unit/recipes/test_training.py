"""Training: the same whoever computes it and however often it is stopped, and it learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.feedforward.tiny import Stored, cloud, object_model
from tests.unit.recipes.objects import PLAN, SIZE, Balls
from veduta.core import DivergedError, Example, Gaussians, InputError, OutputError
from veduta.feedforward import Drawing, FeedForward, Intake, LearnedSelector, selection_loss
from veduta.feedforward.checkpoints import load_model
from veduta.feedforward.published import Improvements
from veduta.feedforward.small import SmallPlan
from veduta.io.tensors import load_tensors, save_tensors
from veduta.recipes.training import (
    Pool,
    TrainingSaved,
    TrainingScored,
    TrainingStepped,
    TrainPlan,
    fresh_model,
    loop,
    model_of_run,
    train_feedforward,
)
from veduta.recipes.training import step as stepping
from veduta.recipes.training.data import DataOptions
from veduta.recipes.training.models import size_px_of, weights_of
from veduta.recipes.training.plan import config_from_plan, differences, plan_from_config
from veduta.recipes.training.presets import TRAININGS, training_plan
from veduta.recipes.training.state import Progress, begin, decays, save_checkpoint
from veduta.recipes.training.step import example_generator, learn_, pulls_unseen, shown_views, to_judge, turned


def trained(plan: TrainPlan, out: Path, **told: object) -> dict[str, torch.Tensor]:
    """The weights that a whole training ends with."""
    for _ in train_feedforward(plan, Balls(), out=out, **told):  # pyright: ignore[reportArgumentType]
        pass
    return load_tensors(out / "model.safetensors")[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("training") / "whole"
    trained(PLAN, out, held_out=Balls(2))
    return out


def test_a_run_tells_what_it_does(tmp_path: Path) -> None:
    told = list(train_feedforward(replace(PLAN, score_every=4), Balls(), out=tmp_path / "run", held_out=Balls(2)))
    steps = [event.step for event in told if isinstance(event, TrainingStepped)]
    assert steps == [1, 2, 3, 4]
    scored = [event for event in told if isinstance(event, TrainingScored)]
    assert [(event.step, event.objects) for event in scored] == [(4, 2)]
    saved = [event.path.name for event in told if isinstance(event, TrainingSaved)]
    assert saved == ["step_0000002.safetensors", "step_0000004.safetensors", "model.safetensors"]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in log] == [type(event).__name__ for event in told]


def test_a_stopped_run_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    events = train_feedforward(PLAN, Balls(), out=tmp_path / "run")
    while not isinstance(event := next(events), TrainingStepped) or event.step < 3:
        pass
    events.close()
    resumed = trained(PLAN, tmp_path / "run", resume=True)
    assert same(resumed, load_tensors(whole / "model.safetensors")[0])
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_a_killed_run_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.unit.recipes.objects import PLAN, Balls\n"
        "from veduta.recipes.training import train_feedforward, TrainingStepped\n"
        "for event in train_feedforward(PLAN, Balls(), out=Path(sys.argv[1])):\n"
        "    if isinstance(event, TrainingStepped) and event.step == 3:\n"
        "        print('now', flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[3]
    out = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", code, str(out)], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step_0000002.safetensors"]
    assert same(trained(PLAN, out, resume=True), load_tensors(whole / "model.safetensors")[0])


@pytest.mark.parametrize("change", [{"ahead": 2}, {"plan": replace(PLAN, recompute=True)}])
def test_what_only_saves_time_or_memory_changes_nothing(whole: Path, tmp_path: Path, change: dict[str, object]) -> None:
    plan = change.pop("plan", PLAN)
    assert isinstance(plan, TrainPlan)
    assert same(trained(plan, tmp_path / "run", **change), load_tensors(whole / "model.safetensors")[0])


WORKER = """
import json, sys, torch
import torch.distributed as dist
from pathlib import Path
from tests.unit.feedforward.tiny import Stored, cloud, object_model
from tests.unit.recipes.objects import PLAN, Balls
from veduta.recipes.training import Processes, TrainingStepped, train_feedforward
torch.set_num_threads(1)
dist.init_process_group("gloo")
for event in train_feedforward(PLAN, Balls(), out=Path(sys.argv[1]), processes=Processes(dist.get_rank(), 2)):
    pass
dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_does(whole: Path, tmp_path: Path) -> None:
    """Sums of gradients are taken in another order: losses agree to 1e-4 of themselves, weights to 1e-3."""
    (tmp_path / "worker.py").write_text(WORKER)
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    subprocess.run(
        [*command, str(tmp_path / "worker.py"), str(tmp_path / "run")],
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    curves = [
        [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines() if "Stepped" in line]
        for out in (whole, tmp_path / "run")
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    one, two = (load_tensors(out / "model.safetensors")[0] for out in (whole, tmp_path / "run"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3


def test_it_learns(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=40, batch=1, learning_rate=6e-3, warmup_steps=4, log_every=10, turned=False)
    plan = replace(plan, backgrounds=(1.0,), checkpoint_every=40)
    events = train_feedforward(plan, Balls(1), out=tmp_path / "run")
    told = [event for event in events if isinstance(event, TrainingStepped)]
    assert told[-1].loss < 0.6 * told[0].loss
    assert told[-1].psnr > told[0].psnr + 2


def test_scenes_without_masks_and_coarse_parts_alone(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1, densifier=None, optimizer="adam", schedule="onecycle", ema=0.0, log_every=1)
    run = tmp_path / "run"
    told = [e for e in train_feedforward(plan, Balls(opaque=True), out=run) if isinstance(e, TrainingStepped)]
    assert told[0].psnr == told[0].coarse_psnr
    model, weights = model_of_run(run)
    assert model.densifier is None
    assert weights.settings["training"]["steps"] == 1
    averaged, now = (load_tensors(run / "checkpoints" / "step_0000001.safetensors")[0] for _ in range(2))
    assert all(torch.equal(averaged[f"averaged.{n}"], now[f"model.{n}"]) for n, _ in model.named_parameters())


def test_the_model_s_file_says_how_it_came_about(whole: Path) -> None:
    model = load_model(whole / "model.safetensors")
    assert isinstance(model, FeedForward)
    _, weights = model_of_run(whole)
    assert weights.settings["training"] == {"steps": 4, "of": 4, "batch": 2, "seed": 0, "data": "examples"}
    assert same(dict(weights.tensors), dict(model.state_dict()))


def test_what_a_resumed_run_is_not(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is a run already"):
        next(train_feedforward(PLAN, Balls(), out=whole))
    with pytest.raises(InputError, match="learning_rate"):
        next(train_feedforward(replace(PLAN, learning_rate=1e-4), Balls(), out=whole, resume=True))
    with pytest.raises(InputError, match="data"):
        next(train_feedforward(PLAN, Balls(), out=whole, resume=True, data="other balls"))
    with pytest.raises(InputError, match="nothing to learn from"):
        next(train_feedforward(PLAN, Balls(0), out=tmp_path / "x"))
    next(train_feedforward(PLAN, Balls(), out=tmp_path / "y"))
    with pytest.raises(InputError, match="no checkpoint yet"):
        model_of_run(tmp_path / "y")


def test_a_checkpoint_of_another_model_or_a_broken_one(whole: Path, tmp_path: Path) -> None:
    from veduta.recipes.training.state import load_checkpoint_

    path = whole / "checkpoints" / "step_0000004.safetensors"
    other = begin(fresh_model(replace(PLAN, densifier=None)), PLAN)
    with pytest.raises(InputError, match="another model"):
        load_checkpoint_(path, other)
    tensors, metadata = load_tensors(path)
    save_tensors(tmp_path / "c.safetensors", tensors, metadata=metadata | {"step": "many"})
    with pytest.raises(InputError, match="corrupt checkpoint"):
        load_checkpoint_(tmp_path / "c.safetensors", begin(fresh_model(PLAN), PLAN))


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stepping, "reconstruction_loss", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(DivergedError, match="step 1"):
        list(train_feedforward(PLAN, Balls(), out=tmp_path / "run"))


def spoilt(call: int) -> Callable[..., stepping.Learned]:
    """A step's part that leaves an infinite gradient behind at the ``call``-th call, and tells a finite loss."""
    calls: list[int] = []

    def learn(model: FeedForward, *told: Any, **more: Any) -> stepping.Learned:
        learned = learn_(model, *told, **more)
        calls.append(1)
        gradient = next(model.parameters()).grad
        if len(calls) == call:
            assert gradient is not None
            gradient.fill_(float("inf"))
        return learned

    return learn


def test_a_gradient_that_is_not_finite_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "learn_", spoilt(call=3 * PLAN.batch))
    with pytest.raises(DivergedError, match=r"a gradient of length .* at step 3"):
        list(train_feedforward(PLAN, Balls(), out=tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    tensors, _ = load_tensors(tmp_path / "run" / "checkpoints" / "step_0000002.safetensors")
    assert all(bool(value.isfinite().all()) for value in tensors.values())


def test_weights_that_are_not_finite_stop_the_training(tmp_path: Path) -> None:
    events = train_feedforward(PLAN, Balls(), out=tmp_path / "run")
    while not isinstance(next(events), TrainingStepped):
        pass
    events.close()
    path = tmp_path / "run" / "checkpoints" / "step_0000001.safetensors"
    tensors, metadata = load_tensors(path)
    broken = {
        name: value * torch.nan if name.startswith("model.backbone") else value for name, value in tensors.items()
    }
    save_tensors(path, broken, metadata=metadata)
    with pytest.raises(DivergedError, match="places that are not finite in a prediction at step 2"):
        list(train_feedforward(PLAN, Balls(), out=tmp_path / "run", resume=True))


def test_other_mistakes_of_a_step_are_not_taken_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise ValueError("something else")

    monkeypatch.setattr(loop, "learn_", wrong)
    with pytest.raises(ValueError, match="something else"):
        list(train_feedforward(PLAN, Balls(), out=tmp_path / "run"))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Once waits for it; twice stops at once, and what was learned is saved all the same."""

    def interrupted(path: Path, progress: Progress) -> None:
        if not calls:
            calls.append(progress.step)
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        save_checkpoint(path, progress)

    calls: list[int] = []
    monkeypatch.setattr(loop, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(train_feedforward(PLAN, Balls(), out=tmp_path / "run"))
    assert calls == [2]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_0000002.safetensors"]


def test_bf16_is_close_and_leaves_weights_in_float32(tmp_path: Path) -> None:
    losses: list[float] = []
    for bf16 in (False, True):
        plan = replace(PLAN, bf16=bf16, turned=False)
        model = fresh_model(plan)
        begin(model, plan)
        generator = example_generator(0, 0)
        told = learn_(model, Balls().evaluation(0), plan, share=1.0, generator=generator)
        losses.append(told.loss)
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


def test_the_global_stream_is_left_alone() -> None:
    before = torch.get_rng_state()
    model = fresh_model(PLAN)
    begin(model, PLAN)
    learn_(model, Balls().evaluation(0), PLAN, share=1.0, generator=example_generator(0, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_views_are_judged_over_their_backgrounds() -> None:
    example, drawing = Balls().evaluation(0), Drawing()
    judged = to_judge(example, drawing, behind=0.5)
    corners = judged.pictures[:, 0, 0]
    assert torch.allclose(corners[:3], torch.ones(3, 3))
    assert torch.allclose(corners[3:], torch.full((2, 3), 0.5), atol=1e-3)
    nothing = Gaussians.empty(1)
    assert torch.allclose(stepping.drawn(nothing, judged, drawing)[:, 0, 0], judged.behind)
    assert torch.equal(shown_views(example, drawing).rgb, judged.pictures[:3])
    opaque = Balls(opaque=True).evaluation(0)
    assert torch.equal(to_judge(opaque, drawing, behind=0.5).pictures[3:], opaque.targets.rgb)


@pytest.mark.parametrize("masked", [True, False])
def test_scenes_learn_from_views_that_were_not_shown_alone(masked: bool) -> None:
    """Other pictures of the views that were shown change the loss of an object, and not that of a scene."""
    stored = Stored(cloud(30, torch.Generator().manual_seed(0)))
    model = FeedForward(stored, intake=Intake(masked=masked), drawing=Drawing())
    example = Balls(opaque=True).evaluation(0)
    other = example.replace(inputs=example.inputs.replace(rgb=1 - example.inputs.rgb))
    plan = replace(PLAN, carve_weight=0.0)
    first, second = (
        learn_(model, each, plan, share=1.0, generator=torch.Generator().manual_seed(1)) for each in (example, other)
    )
    assert (first.loss != second.loss) is masked
    assert first.psnr == second.psnr


def test_gaussians_where_a_view_is_empty_are_misplaced() -> None:
    example = Balls().evaluation(0)
    assert example.target_alpha is not None
    three = Gaussians(
        means=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.45], [0.0, 0.0, 30.0]]),  # in the ball, beside it, unseen
        quats=torch.tensor([[1.0, 0, 0, 0]]).expand(3, 4),
        scales=torch.full((3, 3), 0.01),
        opacities=torch.tensor([0.9, 0.6, 0.9], requires_grad=True),
        sh=torch.zeros(3, 1, 3),
    )
    told = stepping.misplaced(three, example.targets.cameras, example.target_alpha)
    assert told.item() == pytest.approx(0.2, abs=0.01)
    told.backward()
    assert three.opacities.grad is not None
    assert three.opacities.grad.tolist() == pytest.approx([0, 1 / 3, 0], abs=0.02)


def test_a_turned_object_looks_the_same() -> None:
    example = Balls().evaluation(0)
    seen = {
        tuple(turned(example, example_generator(1, n)).inputs.cameras.positions_world[0].tolist()) for n in range(99)
    }
    assert len(seen) == 24
    moved = turned(example, example_generator(1, 3))
    relative = [
        torch.linalg.inv(e.inputs.cameras.world_from_camera[0]) @ e.targets.cameras.world_from_camera[1]
        for e in (example, moved)
    ]
    assert torch.allclose(*relative, atol=1e-5)


def test_a_pool_keeps_what_it_made(tmp_path: Path) -> None:
    class Once(Balls):
        def sample(self, index: int, generator: torch.Generator) -> Example:
            made.append(index)
            return super().sample(index, generator)

    made: list[int] = []
    pool = Pool(Once(5), tmp_path / "pool", 2, targets=1)
    assert len(pool) == 2
    first = pool.sample(1, example_generator(0, 0))
    others = {pool.sample(1, example_generator(0, n)).targets.cameras.positions_world[0].sum().item() for n in range(9)}
    assert made == [1]
    assert len(others) == 2
    fresh = Balls(5).sample(1, example_generator(0, 1))
    assert (first.inputs.rgb - fresh.inputs.rgb).abs().max() <= 0.5 / 255 + 1e-6
    assert first.input_alpha is not None
    assert torch.equal(first.inputs.cameras.world_from_camera, fresh.inputs.cameras.world_from_camera)
    assert pool.evaluation(0).name == "ball 0"
    assert Pool(Balls(5, opaque=True), tmp_path / "plain", 2).sample(0, example_generator(0, 0)).input_alpha is None


def test_a_pool_refuses_examples_that_were_kept_for_another_training(tmp_path: Path) -> None:
    mine = DataOptions(path=tmp_path / "balls", size_px=SIZE, inputs=3, targets=2)
    pool = Pool(Balls(), tmp_path, 2, kind="balls", options=mine)
    pool.stored(0)
    assert pool.stored(0).name == "ball 0"
    for other in (replace(mine, path=tmp_path / "cubes"), replace(mine, size_px=64), replace(mine, targets=8)):
        with pytest.raises(InputError, match=r"balls, .*cubes|64 px|8 views") as caught:
            Pool(Balls(), tmp_path, 2, kind="balls", options=other).stored(0)
        assert f"got balls, {tmp_path / 'balls'}, 32 px, 3 + 2 views" in str(caught.value)
        assert "--cache" in str(caught.value)
    with pytest.raises(InputError, match="expected cubes"):
        Pool(Balls(), tmp_path, 2, kind="cubes", options=mine).stored(0)


def test_a_pool_of_before_is_used_where_its_shape_fits(tmp_path: Path) -> None:
    Pool(Balls(), tmp_path, 2).stored(0)
    fitting = DataOptions(size_px=SIZE, inputs=3, targets=2)
    assert Pool(Balls(), tmp_path, 2, kind="balls", options=fitting).stored(0).name == "ball 0"
    for other in (replace(fitting, size_px=64), replace(fitting, targets=8), replace(fitting, inputs=4)):
        with pytest.raises(InputError, match=r"another training.*got 32 x 32 px, 3 \+ 2 views"):
            Pool(Balls(), tmp_path, 2, kind="balls", options=other).stored(0)


def test_a_broken_file_in_a_pool(tmp_path: Path) -> None:
    pool = Pool(Balls(), tmp_path, 2)
    pool.stored(0)
    path = tmp_path / "0_0000000.safetensors"
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors | {"inputs.poses": torch.zeros(1, 4, 4)}, metadata=metadata)
    with pytest.raises(InputError, match="corrupt"):
        pool.stored(0)


def test_plans_are_plain_values_and_back() -> None:
    for plan in (*TRAININGS.values(), PLAN):
        assert plan_from_config(json.loads(json.dumps(config_from_plan(plan)))) == plan
    with pytest.raises(InputError, match=r"coarse\.voxel"):
        plan_from_config({"coarse": {"voxel": 3}})
    with pytest.raises(InputError, match="out of range"):
        TrainPlan(steps=0)


def test_named_trainings_and_files(tmp_path: Path) -> None:
    assert training_plan("small") is TRAININGS["small"]
    (tmp_path / "my.json").write_text(json.dumps({"steps": 7, "densifier": None}))
    assert training_plan(str(tmp_path / "my.json")) == TrainPlan(steps=7, densifier=None)
    with pytest.raises(InputError, match="no such training"):
        training_plan("smal")
    with pytest.raises(InputError, match="no such model"):
        fresh_model(TrainPlan(model="big"))


def test_a_file_can_name_the_training_that_it_changes(tmp_path: Path) -> None:
    def written(settings: object) -> TrainPlan:
        (tmp_path / "my.json").write_text(json.dumps(settings))
        return training_plan(str(tmp_path / "my.json"))

    better = written({"base": "scene", "improvements": {"looks": True}})
    assert better == replace(TRAININGS["scene"], improvements=Improvements(looks=True))
    tiny = written({"base": "tiny", "coarse": {"voxels": 10}, "densifier": None})
    assert tiny == replace(TRAININGS["tiny"], coarse=replace(TRAININGS["tiny"].coarse, voxels=10), densifier=None)
    for base in ("smal", 3, ["small"]):
        with pytest.raises(InputError, match="field base: no such training"):
            written({"base": base})
    with pytest.raises(InputError, match=r"field coarse\.voxel: unknown"):
        written({"base": "tiny", "coarse": {"voxel": 10}})


@pytest.mark.parametrize(
    ("plan", "hint"),
    [
        (TrainPlan(), "at most 4 scales"),
        (replace(PLAN, ssim_scales=3), "at most 2 scales"),
        (TrainPlan(coarse=SmallPlan(size_px=8), ssim_scales=2), "at most 1 scale"),
    ],
)
def test_scales_that_views_have_no_room_for_are_told_before_anything_is_made(
    plan: TrainPlan, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="ssim_scales") as caught:
        next(train_feedforward(plan, Balls(), out=tmp_path / "run"))
    assert hint in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_sizes_of_views_and_files_of_published_models() -> None:
    assert [size_px_of(training_plan(name)) for name in ("small", "object", "scene")] == [128, 512, 256]
    with pytest.raises(InputError, match="no such model"):
        size_px_of(TrainPlan(model="big"))
    plan = training_plan("mvsplat")
    with torch.device("meta"):
        weights = weights_of(fresh_model(plan), plan, step=3, data="rooms")
    assert weights.kind == "mvsplat"
    assert weights.settings["training"]["data"] == "rooms"
    assert not any(weights.settings["compatibility"].values())


def test_learning_rates() -> None:
    plan = TrainPlan(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [plan.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 1e-3
    cycle = replace(plan, schedule="onecycle")
    scheduler_rates = _onecycle(100, 10)
    assert [cycle.learning_rate_at(step) for step in range(9, 100)] == pytest.approx(scheduler_rates[9:], abs=0.02)


def _onecycle(steps: int, warmup: int) -> list[float]:
    """What torch's scheduler gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=steps, pct_start=warmup / steps, cycle_momentum=False
    )
    rates: list[float] = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def test_norms_and_biases_do_not_decay() -> None:
    assert decays("head.1.weight", torch.zeros(2, 2))
    assert not decays("head.0.weight", torch.zeros(2))
    assert not decays("token.bias", torch.zeros(2))


def test_published_models_are_trained_without_their_slips() -> None:
    began = time.perf_counter()
    with torch.device("meta"):
        model = fresh_model(training_plan("mvsplat"))
    assert sum(p.numel() for p in model.parameters()) == 11_955_734
    assert time.perf_counter() - began < 30


def test_improvements_are_settings(tmp_path: Path) -> None:
    plan = TrainPlan(model="scene", improvements=Improvements(looks=True, gate="rendered", learned_selection=True))
    assert plan_from_config(json.loads(json.dumps(config_from_plan(plan)))) == plan
    with torch.device("meta"):
        better = fresh_model(plan)
    assert isinstance(better.selector, LearnedSelector)
    assert any(".look." in name for name, _ in better.named_parameters())
    weights = weights_of(better, plan, step=1, data="none")
    assert weights.settings["improvements"] == {
        "looks": True, "gate": "rendered", "together": False, "learned_selection": True
    }  # fmt: skip
    with pytest.raises(InputError, match=r"improvements\.looks"):
        fresh_model(replace(PLAN, improvements=Improvements(looks=True)))
    with pytest.raises(InputError, match=r"improvements\.together"):
        fresh_model(TrainPlan(model="object", improvements=Improvements(together=True)))
    with pytest.raises(InputError, match="unknown choice"):
        plan_from_config({"improvements": {"gate": "door"}})


def test_a_run_stored_before_there_was_a_setting_goes_on() -> None:
    stored = config_from_plan(PLAN)
    for name in ("improvements", "selection_weight"):
        del stored[name]
    assert differences(PLAN, stored) == []
    assert differences(replace(PLAN, selection_weight=0.5), stored) == ["selection_weight"]


def test_a_selector_learns_what_views_that_were_not_shown_pull_at() -> None:
    model = object_model(torch.Generator().manual_seed(0))
    model.selector = LearnedSelector(8)
    plan, losses = replace(PLAN, turned=False, selection_weight=1.0), []
    optimizer = torch.optim.Adam(model.selector.parameters(), lr=1e-2)
    example = Balls().evaluation(0)
    for _ in range(30):
        optimizer.zero_grad()
        with torch.random.fork_rng():
            learn_(model, example, plan, share=1.0, generator=torch.Generator().manual_seed(0))
        optimizer.step()
        made = model(shown_views(example, model.drawing), near=example.near, far=example.far)
        losses.append(float(selection_loss(made.scores, pulls_unseen(made, example, model, "auto")).detach()))
    assert losses[-1] < 0.7 * losses[0]
