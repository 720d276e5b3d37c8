"""A training from the first step to the last, as a stream of events."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from veduta.core import DivergedError, Example, Examples, InputError
from veduta.feedforward import FeedForward
from veduta.fit.interrupts import interrupts_held
from veduta.io.runs import RunFolder
from veduta.io.weights import save_weights
from veduta.nets.blocks import NotFiniteError
from veduta.recipes.training.evaluation import Protocol, evaluate_feedforward
from veduta.recipes.training.events import (
    TrainingEvent,
    TrainingSaved,
    TrainingScored,
    TrainingStarted,
    TrainingStepped,
)
from veduta.recipes.training.models import check_scales, fresh_model, weights_of
from veduta.recipes.training.plan import TrainPlan, config_from_plan, differences
from veduta.recipes.training.processes import Processes
from veduta.recipes.training.recompute import recompute_
from veduta.recipes.training.start import start_
from veduta.recipes.training.state import Progress, average_, begin, load_checkpoint_, save_checkpoint
from veduta.recipes.training.step import Learned, example_generator, learn_

MODEL_FILE = "model.safetensors"
"""In a run's folder: the averaged weights, at the end."""
KEPT_CHECKPOINTS = 2


def train_feedforward(
    plan: TrainPlan,
    examples: Examples,
    *,
    out: Path,
    held_out: Examples | None = None,
    data: str = "examples",
    resume: bool = False,
    device: str | torch.device = "cpu",
    processes: Processes | None = None,
    ahead: int = 0,
    backend: str = "auto",
    command: str = "veduta.recipes.train_feedforward",
) -> Generator[TrainingEvent, None, Path]:
    """Train a model and return the file with its averaged weights; yields events (in the first process).

    ``data`` names the examples in run.json. ``out`` is the run's folder, new or empty; with ``resume`` the run in it
    goes on from its last checkpoint, bit for bit on a CPU. ``held_out`` are scored with the averaged weights.
    ``ahead`` examples are prepared in threads beside the training. With several ``processes`` every one calls this with
    the same plan; a step's examples are dealt out among them.

    Ctrl-C waits for the step to end and saves a checkpoint; a second one does neither. Raises :class:`InputError` for a
    plan, data or folder that cannot be used, :class:`OutputError` if a result cannot be written, :class:`DivergedError`
    when the loss or its gradient is not finite, before the weights take it on.
    """
    processes = Processes() if processes is None else processes
    _check(plan, examples, data=data, ahead=ahead)
    run = _run_folder(plan, out, data=data, resume=resume, processes=processes, command=command)
    progress = _progress(plan, device, run.latest_checkpoint() if resume else None)
    if processes.first:
        run.cut_log(after_step=progress.step)
    training = Training(plan, examples, held_out, progress, processes, run, backend)
    saved_step = progress.step
    yield from training.told(training.started())
    try:
        with training.supply(ahead) as supply:
            while progress.step < plan.steps:
                with interrupts_held():
                    training.within = True
                    training.step_(supply)
                    training.within = False
                if progress.step % plan.log_every == 0 or progress.step == plan.steps:
                    yield from training.told(training.stepped())
                if plan.score_every and held_out is not None and progress.step % plan.score_every == 0:
                    yield from training.told(training.scored())
                if progress.step % plan.checkpoint_every == 0 or progress.step == plan.steps:
                    with interrupts_held():
                        saved = training.saved()
                        saved_step = progress.step
                    yield from training.told(saved)
    except (KeyboardInterrupt, GeneratorExit):
        if progress.step != saved_step and not training.within:
            training.saved()
        raise
    path = out / MODEL_FILE
    if processes.first:
        save_weights(path, weights_of(training.averaged_model(), plan, step=progress.step, data=data))
    processes.wait()
    yield from training.told(TrainingSaved(step=progress.step, path=path))
    return path


@dataclass(eq=False)
class Training:
    """One process's part in a training."""

    plan: TrainPlan
    examples: Examples
    held_out: Examples | None
    progress: Progress
    processes: Processes
    run: RunFolder
    backend: str
    recent: list[tuple[Learned, float]] = field(default_factory=list)
    """What was learned since the event before, and the gradients' lengths."""
    recent_seconds: float = 0.0
    within: bool = False
    """Whether a step is half done, which a second Ctrl-C can leave behind: there is nothing to save then."""

    def example(self, number: int) -> tuple[Example, torch.Generator]:
        """Example ``number`` of the training, and the source of what is random about it."""
        generator = example_generator(self.plan.seed, number)
        index = int(torch.randint(len(self.examples), (1,), generator=generator))
        return self.examples.sample(index, generator), generator

    def numbers(self) -> Iterator[int]:
        """Of this process's examples from here on."""
        for step in range(self.progress.step, self.plan.steps):
            for part in self.processes.share(self.plan.batch):
                yield step * self.plan.batch + part

    @contextmanager
    def supply(self, ahead: int) -> Iterator[Iterator[tuple[Example, torch.Generator]]]:
        """This process's examples in order, ``ahead`` of them in preparation."""
        if ahead == 0:
            yield map(self.example, self.numbers())
            return
        with ThreadPoolExecutor(ahead) as pool:
            yield _prepared(pool, self, ahead)
            pool.shutdown(wait=False, cancel_futures=True)

    def step_(self, supply: Iterator[tuple[Example, torch.Generator]]) -> None:
        """One update of the weights."""
        began = time.perf_counter()
        progress, plan = self.progress, self.plan
        model = progress.model
        assert isinstance(model, FeedForward)
        model.train()
        parameters = [p for p in model.parameters() if p.grad is not None]
        gradients = [p.grad for p in parameters if p.grad is not None]
        for gradient in gradients:
            gradient.zero_()
        sums = torch.zeros(4, dtype=torch.float64)
        for _ in self.processes.share(plan.batch):
            example, generator = next(supply)
            try:
                own = learn_(model, example, plan, share=1 / plan.batch, generator=generator, backend=self.backend)
            except NotFiniteError as error:
                raise self.diverged(f"{error} in a prediction") from error
            sums += torch.tensor([own.loss, own.coarse_psnr, own.psnr, own.gaussians], dtype=torch.float64)
        self.processes.sum_(gradients)
        sums = sums.to(gradients[0])
        self.processes.sum_([sums])
        mean = Learned(*(sums / plan.batch).tolist())
        if not math.isfinite(mean.loss):
            raise self.diverged(f"a loss of {mean.loss}")
        length = float(nn.utils.clip_grad_norm_(parameters, plan.clip_norm))
        if not math.isfinite(length):
            raise self.diverged(f"a gradient of length {length}")
        for group in progress.optimizer.param_groups:
            group["lr"] = plan.learning_rate_at(progress.step)
        progress.optimizer.step()
        average_(progress.averaged, model, memory=plan.ema, step=progress.step)
        progress.step += 1
        taken = time.perf_counter() - began
        progress.seconds += taken
        self.recent_seconds += taken
        self.recent.append((mean, length))

    def diverged(self, got: str) -> DivergedError:
        """What to raise instead of learning from values that are not finite."""
        return DivergedError(
            "the training came apart",
            where=self.run.path,
            got=f"{got} at step {self.progress.step + 1}",
            hint="The last checkpoint is good: go on with a lower learning rate, in a new run.",
        )

    def averaged_model(self) -> FeedForward:
        """A model of its own with the averaged weights, for use."""
        model = fresh_model(self.plan)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.progress.averaged[name])
        return model.to(next(self.progress.model.parameters()).device).eval()

    @property
    def protocol(self) -> Protocol:
        """How held-out examples are scored."""
        model = self.progress.model
        assert isinstance(model, FeedForward)
        return "object" if model.intake.masked else "scene"

    def started(self) -> TrainingStarted:
        """See :class:`TrainingStarted`."""
        return TrainingStarted(
            step=self.progress.step,
            steps=self.plan.steps,
            parameters=sum(p.numel() for p in self.progress.model.parameters()),
            examples=len(self.examples),
            processes=self.processes.count,
            start=self.plan.start,
            taken=self.progress.taken,
        )

    def stepped(self) -> TrainingStepped:
        """See :class:`TrainingStepped`; what was recent is not any more."""
        learned, lengths = zip(*self.recent, strict=True)
        count = len(learned)
        means = {name: sum(getattr(one, name) for one in learned) / count for name in Learned.__dataclass_fields__}
        rest = (self.plan.steps - self.progress.step) * self.recent_seconds / count
        self.recent, self.recent_seconds = [], 0.0
        return TrainingStepped(
            step=self.progress.step,
            steps=self.plan.steps,
            loss=means["loss"],
            coarse_psnr=means["coarse_psnr"],
            psnr=means["psnr"],
            gaussians=means["gaussians"],
            gradient=sum(lengths) / count,
            learning_rate=self.plan.learning_rate_at(self.progress.step - 1),
            seconds=self.progress.seconds,
            eta_seconds=rest,
        )

    def scored(self) -> TrainingScored | None:
        """PSNR of the averaged weights on held-out objects; None in all processes but the first."""
        if not self.processes.first or self.held_out is None:
            return None
        count = min(self.plan.score_objects, len(self.held_out))
        scores = evaluate_feedforward(
            self.averaged_model(), self.held_out, indices=range(count), backend=self.backend, protocol=self.protocol
        )
        return TrainingScored(
            step=self.progress.step, coarse_psnr=scores.mean("coarse_psnr"), psnr=scores.mean("psnr"), objects=count
        )

    def saved(self) -> TrainingSaved:
        """A new checkpoint, written by the first process."""
        path = self.run.checkpoint_path(self.progress.step)
        if self.processes.first:
            save_checkpoint(path, self.progress)
            self.run.drop_old_checkpoints(keep=KEPT_CHECKPOINTS)
        self.processes.wait()
        return TrainingSaved(step=self.progress.step, path=path)

    def told(self, event: TrainingEvent | None) -> Iterator[TrainingEvent]:
        """Write an event down and pass it on; only the first process tells."""
        if event is None or not self.processes.first:
            return
        self.run.append_log(_logged(event))
        yield event


def _logged(event: TrainingEvent) -> dict[str, Any]:
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(event).items()}
    return {"event": type(event).__name__} | values


def _prepared(pool: ThreadPoolExecutor, training: Training, ahead: int) -> Iterator[tuple[Example, torch.Generator]]:
    numbers = training.numbers()
    waiting: list[Future[tuple[Example, torch.Generator]]] = []
    while True:
        while len(waiting) < ahead and (number := next(numbers, None)) is not None:
            waiting.append(pool.submit(training.example, number))
        if not waiting:
            return
        yield waiting.pop(0).result()


def _check(plan: TrainPlan, examples: Examples, *, data: str, ahead: int) -> None:
    """InputError for what would fail later on, before anything is made."""
    if ahead < 0:
        raise InputError("no examples can be prepared", field="ahead", expected="0 or more", got=ahead)
    if len(examples) == 0:
        raise InputError("there is nothing to learn from", where=data, expected="at least one object or scene")
    check_scales(plan)


def _run_folder(
    plan: TrainPlan, out: Path, *, data: str, resume: bool, processes: Processes, command: str
) -> RunFolder:
    """The run's folder, made by the first process, or found again with the same plan and data."""
    if resume:
        run = RunFolder.open(out)
        record = run.record()
        changed = differences(plan, record.config)
        if changed or record.fingerprint != data:
            raise InputError(
                "the run was started with other settings",
                where=run.record_path,
                field=", ".join(changed) or "data",
                hint="Leave them as they were, or train into a new folder.",
            )
        return run
    if processes.first:
        RunFolder.create(out, config_from_plan(plan), capture=out, fingerprint=data, command=command, seed=plan.seed)
    processes.wait()
    return RunFolder.open(out)


def _progress(plan: TrainPlan, device: str | torch.device, checkpoint: Path | None) -> Progress:
    """A fresh model's, with the weights that it starts from, or where the checkpoint was."""
    model = fresh_model(plan).to(device)
    taken = start_(model, plan).parameters if plan.start is not None and checkpoint is None else 0
    if plan.recompute:
        recompute_(model)
    progress = begin(model, plan)
    progress.taken = taken
    if checkpoint is not None:
        load_checkpoint_(checkpoint, progress)
    return progress
