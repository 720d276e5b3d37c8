"""What densification adds to feed-forward reconstruction, on real textured objects that no model was trained on.

    python benchmarks/feedforward.py DENSIFIED ../shared/data/objects --alone COARSE ...   # ten minutes on one core

All are runs of `veduta train densifier` or files of weights: a model with a densifier, and its coarse part trained
alone, for as long on the clock or for as many steps, on the same objects; how long a training was is told by its steps
times what a step takes, measured by turns on this machine. Every object is shown in 4 views and judged by 4 others, at
the resolution of the training, over white: PSNR of the views side by side, mean over objects and its standard error.
Differences are paired: they are taken object by object, and the standard error is that of their mean. Views are drawn
by groups: one each of four groups of like cameras of a random rig, as in training and in the published protocols,
judged by another of each group, three draws per object; or shown evenly around the object, which makes opposite ones
repeat each other's outlines. The same is told of procedural objects that were not trained on.

Further rows change something about DENSIFIED after its training, not in it: which coarse Gaussians are
densified (the same number, drawn at random, three draws), which children go on to the second stage (drawn at random, or
all of them), and how many coarse Gaussians are densified. LPIPS is left out: its weights are not ours to give.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, table, write

from veduta.cli.train import POOL_TARGETS
from veduta.core import Example
from veduta.data import MeshObjects, SyntheticObjects
from veduta.feedforward import AtRandom, FeedForward
from veduta.feedforward.small_densify import SmallDensifier
from veduta.nets import Split
from veduta.recipes.training import Scores, evaluate_feedforward, opened_model
from veduta.recipes.training.models import how_trained
from veduta.recipes.training.presets import SMALL
from veduta.recipes.training.step import example_generator, learn_

SEEDS = (0, 1, 2)
OTHER_INPUTS = (2, 3, 6)
"""Views shown instead of four; models were trained with four."""
BUDGETS = (64, 128, 256, 512, 1024, 2048)
DENSIFIED = "densified"
TIMED_STEPS, WARM_UP = 24, 4
PROCEDURAL, PROCEDURAL_SEED = 100, 777
"""Held-out procedural objects, and the seed of their supply."""


class Kept:
    """The evaluation examples of real objects, drawn once."""

    def __init__(self, folder: Path, size_px: int, *, inputs: int = 4) -> None:
        source = MeshObjects(folder, size_px, inputs=inputs)
        self.examples = [source.evaluation(index) for index in range(len(source))]

    def __len__(self) -> int:
        return len(self.examples)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        return self.examples[index]

    def evaluation(self, index: int) -> Example:
        return self.examples[index]


class Drawn(Kept):
    """The objects from views drawn as published protocols draw them: one of each of four groups of like cameras."""

    def __init__(self, folder: Path, size_px: int, *, draw: int) -> None:
        source = MeshObjects(folder, size_px)
        seeds = [draw * len(source) + index for index in range(len(source))]
        self.examples = [source.sample(index, torch.Generator().manual_seed(seed)) for index, seed in enumerate(seeds)]


class Procedural(Kept):
    """Objects of the kind that models are trained on, others than those, from views drawn as in training."""

    def __init__(self, count: int, size_px: int, *, targets: int = 4) -> None:
        source = SyntheticObjects(count, size_px=size_px, targets=targets, seed=PROCEDURAL_SEED)
        self.examples = [source.sample(index, torch.Generator().manual_seed(index)) for index in range(count)]


class Chance(torch.nn.Module):
    """Scores for a split, drawn."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(features), 1, generator=self.generator)


@contextmanager
def splits_changed(model: FeedForward, change: Callable[[Split], None]) -> Iterator[None]:
    """The model with other splits, for a while."""
    splits = [module for module in model.modules() if isinstance(module, Split)]
    before = [(split.net, split.ratio) for split in splits]
    for split in splits:
        change(split)
    yield
    for split, (net, ratio) in zip(splits, before, strict=True):
        split.net, split.ratio = net, ratio


@contextmanager
def selected_at_random(model: FeedForward) -> Iterator[None]:
    """The model with another selector, for a while."""
    before, model.selector = model.selector, AtRandom()
    yield
    model.selector = before


def mean_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def row(
    what: str, values: Sequence[float], densified: Sequence[float], scores: Scores, *, coarse: bool
) -> dict[str, Any]:
    """One line of the table: ``values`` are PSNRs by object."""
    mean, error = mean_error(values)
    gain, gain_error = mean_error([b - a for a, b in zip(values, densified, strict=True)])
    count = "coarse_gaussians" if coarse else "gaussians"
    return {
        "what": what,
        "PSNR dB": round(mean, 3),
        "se": round(error, 3),
        "densified gains dB": round(gain, 3),
        "se of gain": round(gain_error, 3),
        "SSIM": round(scores.mean("coarse_ssim" if coarse else "ssim"), 4),
        "Gaussians": round(scores.mean(count)),
        "seconds": round(scores.mean("seconds"), 3),
    }


def averaged(runs: Sequence[Scores], name: str = "psnr") -> list[float]:
    """A number by object, mean over runs."""
    by_run = ([getattr(one, name) for one in run.examples] for run in runs)
    return [statistics.fmean(each) for each in zip(*by_run, strict=True)]


def compared(
    densified: FeedForward, alone: Mapping[str, FeedForward], draws: Sequence[Kept], *, told: str
) -> list[dict[str, Any]]:
    """The lines that matter, means over draws of views; ``told`` says what is special about them."""
    main = [evaluate_feedforward(densified, objects) for objects in draws]
    best = averaged(main)
    rows = [
        row(f"{DENSIFIED}{told}", best, best, main[0], coarse=False),
        row(f"its own coarse Gaussians{told}", averaged(main, "coarse_psnr"), best, main[0], coarse=True),
    ]
    for what, model in alone.items():
        other = [evaluate_feedforward(model, objects) for objects in draws]
        rows.append(row(f"{what}{told}", averaged(other), best, other[0], coarse=False))
    return rows


def changed(densified: FeedForward, draws: Sequence[Kept], *, told: str) -> list[dict[str, Any]]:
    """Lines of the same model with another selection, and with other splits."""
    best = averaged([evaluate_feedforward(densified, objects) for objects in draws])
    with selected_at_random(densified):
        chance = [evaluate_feedforward(densified, objects, seed=seed) for objects in draws for seed in SEEDS]
    found = {"selected at random": chance, "split at random": []}
    for seed in SEEDS:
        with splits_changed(densified, lambda split, seed=seed: setattr(split, "net", Chance(seed))):
            found["split at random"] += [evaluate_feedforward(densified, objects) for objects in draws]
    with splits_changed(densified, lambda split: setattr(split, "ratio", 1.0)):
        found["no split: all children go on"] = [evaluate_feedforward(densified, objects) for objects in draws]
    return [row(f"{what}{told}", averaged(runs), best, runs[0], coarse=False) for what, runs in found.items()]


def budgets(densified: FeedForward, objects: Kept) -> list[dict[str, Any]]:
    """Lines with more and fewer Gaussians densified."""
    best, own = averaged([evaluate_feedforward(densified, objects)]), densified.budget
    rows = []
    for count in BUDGETS:
        densified.budget = count
        scores = evaluate_feedforward(densified, objects)
        rows.append(row(f"{count} densified, 4 evenly around", averaged([scores]), best, scores, coarse=False))
    densified.budget = own
    return rows


def step_ms(models: Sequence[FeedForward], examples: Sequence[Example]) -> list[float]:
    """CPU milliseconds of a training step of each, by turns on the same objects; weights are not changed.

    Their update is left out: a few milliseconds, and a little more where there are more weights.
    """
    spent: list[list[float]] = [[] for _ in models]
    for number, example in enumerate(examples):
        for model, own in zip(models, spent, strict=True):
            model.train()
            began = time.process_time()
            learn_(model, example, SMALL, share=1.0, generator=example_generator(SMALL.seed, number))
            own.append(1e3 * (time.process_time() - began))
            model.zero_grad()
            model.eval()
    return [statistics.fmean(own[min(WARM_UP, len(own) - 1) :]) for own in spent]


def opened(names: Sequence[str]) -> tuple[dict[str, FeedForward], dict[str, dict[str, Any]]]:
    """Models by what they are called in the table, the densified one first, and what each training was."""
    found = [opened_model(name) for name in names]
    objects = Procedural(TIMED_STEPS, SMALL.coarse.size_px, targets=POOL_TARGETS)
    taken = step_ms([model for model, _ in found], objects.examples)
    steps = [weights.settings["training"]["steps"] for _, weights in found]
    models: dict[str, FeedForward] = {}
    trained: dict[str, dict[str, Any]] = {}
    for name, (model, _), count, each in zip(names, found, steps, taken, strict=True):
        share = count * each / (steps[0] * taken[0])
        told = f"coarse part trained alone: {count:,} steps, {share:.2f} of the time" if models else DENSIFIED
        models[told] = model
        trained[told] = {"CPU ms per step": round(each, 1), "share of the time": round(share, 3)} | training_of(name)
    return models, trained


def shown(rows: Sequence[dict[str, Any]]) -> str:
    return table(list(rows[0]), [list(each.values()) for each in rows])


def training_of(model: str) -> dict[str, Any]:
    """How a run's model was trained; of a file its name."""
    folder = Path(model)
    return how_trained(folder) if folder.is_dir() else {"weights": folder.name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("densified", help="the run of a training, a file of weights, or: embedded")
    parser.add_argument("objects", type=Path, help="folder of meshes")
    parser.add_argument("--alone", nargs="+", required=True, help="the same of the coarse part, trained alone")
    parser.add_argument("--out", type=Path, default=RESULTS / "feedforward.json")
    parser.add_argument("--title", default="Generative densification on 16 real objects, small models")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    models, trained = opened([chosen.densified, *chosen.alone])
    densified, alone = models.pop(DENSIFIED), models
    assert isinstance(densified.densifier, SmallDensifier)
    size = densified.intake.size_px or (128, 128)
    by_groups = [Drawn(chosen.objects, size[0], draw=seed) for seed in SEEDS]
    evenly = Kept(chosen.objects, size[0])
    rows = []
    for draws, told in ((by_groups, ", 4 by groups"), ([evenly], ", 4 evenly around")):
        rows += compared(densified, alone, draws, told=told) + changed(densified, draws, told=told)
    rows += compared(densified, alone, [Procedural(PROCEDURAL, size[0])], told=", 4 by groups, procedural objects")
    rows += budgets(densified, evenly)
    for inputs in OTHER_INPUTS:
        objects = Kept(chosen.objects, size[0], inputs=inputs)
        rows += compared(densified, alone, [objects], told=f", {inputs} evenly around")
    write(chosen.out, chosen.title, rows, training=trained)
    print(shown(rows))


if __name__ == "__main__":
    main()
