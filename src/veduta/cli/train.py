"""``veduta train densifier``: a feed-forward model learns from examples."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.distributed as dist
from rich.console import Console
from tyro.conf import Positional, arg

from veduta.cli.terminal import tell_stopped
from veduta.cli.train_progress import TrainProgress
from veduta.cli.verb import INTERRUPTED, OK, Switch, device_kind
from veduta.core import Examples, InputError
from veduta.fit.threads import use_threads
from veduta.recipes.training import Pool, Processes, TrainingEvent, TrainPlan, train_feedforward
from veduta.recipes.training.board import Board
from veduta.recipes.training.data import SYNTHETIC, TRAINING_DATA, DataOptions, held_out_examples, open_examples, told
from veduta.recipes.training.models import size_px_of
from veduta.recipes.training.presets import training_plan
from veduta.recipes.training.start import as_started, starting_from

POOL_TARGETS = 8
"""Target views that are kept of an object in a pool, of which some are drawn each time."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a feed-forward model. CONFIG is a named training or a JSON file of settings.

    small, small-coarse and tiny train on a CPU; object, object-residual, lara, scene and mvsplat are the published
    models. Several processes, on one machine or more, share the examples of a step under torchrun. Ctrl-C saves;
    --resume goes on, bit for bit on a CPU.

        veduta train densifier small -o runs/small --pool 3000
        veduta train densifier small -o runs/small --pool 3000 --resume
        torchrun --nproc-per-node 8 -m veduta train densifier object -o runs/object --data gobjaverse --path data/
    """

    what: Positional[Literal["densifier"]]
    """What learns: the densifier, together with the backbone that feeds it."""
    config: Positional[str]
    """A named training, or a .json file of settings; "base" in it names the training whose settings it changes."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """Folder for the run. A folder with anything in it is refused."""
    data: str = SYNTHETIC
    """Layout of the examples."""
    path: Path | None = None
    """Their file or folder; procedural objects need none."""
    steps: int | None = None
    """Train for so many steps instead of the plan's."""
    start: str | None = None
    """Begin with weights that were learned before: the run of a training, a file of weights, or: embedded. What is not
    in them begins afresh, such as the densifier where they are of a coarse part alone."""
    pool: int | None = None
    """Keep the first so many objects on the disk, each with one draw of views, instead of drawing anew each time."""
    cache: Path | None = None
    """Folder for them, which several runs may share; by default OUTPUT.pool, beside it."""
    resume: Switch = False
    """Go on with the run in the folder."""
    tensorboard: Switch = False
    """Also write the curves for TensorBoard, under OUTPUT/tensorboard."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute."""
    threads: int | None = 1
    """Per process; more than one can change the last bits of the weights."""
    ahead: int = 0
    """Examples that are prepared beside the training."""

    def run(self, console: Console) -> int:
        """Train, and say where the model is; after Ctrl-C how to go on."""
        plan = self._plan()
        use_threads(self.threads)
        progress = TrainProgress(console)
        with _processes(device_kind(self.device)) as (processes, device), _board(self) as board, progress:
            examples, held_out, data = self._examples(plan)
            try:
                for event in train_feedforward(
                    plan,
                    examples,
                    out=self.output,
                    held_out=held_out,
                    data=data,
                    resume=self.resume,
                    device=device,
                    processes=processes,
                    ahead=self.ahead,
                    command=shlex.join(["veduta", *sys.argv[1:]]),
                ):
                    progress.show(event)
                    if board is not None:
                        board(event)
            except KeyboardInterrupt:
                if processes.first:
                    again = shlex.join(["veduta", *sys.argv[1:], *([] if self.resume else ["--resume"])])
                    means = "with torchrun as before" if dist.is_torchelastic_launched() else "with"
                    tell_stopped(console, self.output, again, means=means)
                return INTERRUPTED
        return OK

    def _plan(self) -> TrainPlan:
        plan = training_plan(self.config)
        plan = plan if self.steps is None else replace(plan, steps=self.steps)
        if self.resume:
            return as_started(plan, self.output, start=self.start)
        start = plan.start if self.start is None else self.start
        return plan if start is None else starting_from(plan, start)

    def _examples(self, plan: TrainPlan) -> tuple[Examples, Examples | None, str]:
        """To learn from, to be scored by, and what run.json says of them."""
        targets = POOL_TARGETS if self.pool is not None else DataOptions.targets
        options = DataOptions(path=self.path, size_px=size_px_of(plan), targets=targets, seed=plan.seed)
        examples = open_examples(TRAINING_DATA, self.data, options)
        if self.pool is not None:
            if self.pool < 1:
                raise InputError("a pool without objects", field="pool", expected="at least 1", got=self.pool)
            cache = self.cache or self.output.with_name(self.output.name + ".pool")
            examples = Pool(examples, cache, self.pool, seed=plan.seed, kind=self.data, options=options)
        elif self.cache is not None:
            hint = "Say how many objects to keep there: --pool 3000."
            raise InputError("a cache without a pool", field="cache", expected="--pool beside it", hint=hint)
        held_out = None
        if plan.score_every:
            held_out = held_out_examples(self.data, DataOptions(path=self.path, size_px=options.size_px))
        return examples, held_out, told(self.data, options, pool=self.pool)


@contextmanager
def _processes(kind: str) -> Iterator[tuple[Processes, torch.device]]:
    """This process among those that torchrun started, if it did."""
    if not dist.is_torchelastic_launched():
        yield Processes(), torch.device(kind)
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        place = torch.device(kind)
        if kind == "cuda":
            place = torch.device(kind, int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(place)
        yield Processes(dist.get_rank(), dist.get_world_size()), place
    finally:
        dist.destroy_process_group()


@contextmanager
def _board(train: Train) -> Iterator[Callable[[TrainingEvent], None] | None]:
    if not train.tensorboard:
        yield None
        return
    with Board(train.output / "tensorboard") as board:
        yield board.show
