"""What selection and split are worth when a model is trained with another of them, on real objects.

    python benchmarks/feedforward_ablations.py START OUT ../shared/data/objects --pool 8000 --cache POOL

Every variant begins with the coarse part in START (the run of `veduta train densifier small-coarse`) and is trained in
OUT by the same steps on the same objects, so that what differs is what its row says; a run that was stopped goes on.
Which coarse Gaussians are densified: those that the photographs pull at, as many at random, or those that a learned
selector picks. Which children of the first stage go on to the second: those that a learned split picks, or all of them.
The trainings are short beside that of the model that comes with veduta, so it is the differences that count. Objects,
views and standard errors are those of feedforward.py; a random selection is drawn three times for each draw of views.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, write
from feedforward import SEEDS, Drawn, averaged, row, shown
from rich.console import Console

from veduta.cli.train import POOL_TARGETS
from veduta.cli.train_progress import TrainProgress
from veduta.feedforward.small_densify import SmallDensifierPlan
from veduta.recipes.training import Pool, TrainPlan, evaluate_feedforward, model_of_run, train_feedforward
from veduta.recipes.training.data import TRAINING_DATA, DataOptions, open_examples, told
from veduta.recipes.training.models import how_trained
from veduta.recipes.training.presets import SMALL
from veduta.recipes.training.start import starting_from

OWN = SMALL.densifier or SmallDensifierPlan()
VARIANTS: Mapping[str, SmallDensifierPlan] = {
    "gradient": OWN,
    "random": replace(OWN, selection="random"),
    "no-split": replace(OWN, ratio=1.0),
    "learned": replace(OWN, selection="learned"),
}
"""By the name of their folders; the first is what the others are compared with."""
TOLD = {
    "gradient": "selection by gradient, learned split",
    "random": "selection at random",
    "no-split": "no split: all children go on",
    "learned": "learned selection",
}


def plan_of(name: str, start: Path, steps: int) -> TrainPlan:
    """A variant's training."""
    plan = replace(SMALL, steps=steps, densifier=VARIANTS[name], score_every=0)
    return starting_from(plan, str(start))


def train(plan: TrainPlan, out: Path, pool: int, cache: Path) -> None:
    """Train a variant, or go on with it; nothing where it is done."""
    options = DataOptions(size_px=plan.coarse.size_px, targets=POOL_TARGETS, seed=plan.seed)
    source = open_examples(TRAINING_DATA, "synthetic", options)
    examples = Pool(source, cache, pool, seed=plan.seed, kind="synthetic", options=options)
    data = told("synthetic", options, pool=pool)
    with TrainProgress(Console()) as progress:
        for event in train_feedforward(plan, examples, out=out, data=data, resume=(out / "run.json").exists()):
            progress.show(event)


def rows_of(runs: Mapping[str, Path], draws: list[Drawn]) -> list[dict[str, Any]]:
    """A line per variant, and one of the first one's coarse Gaussians."""
    scored = {}
    for name, run in runs.items():
        model, _ = model_of_run(run)
        seeds = SEEDS if VARIANTS[name].selection == "random" else SEEDS[:1]
        scored[name] = [evaluate_feedforward(model, objects, seed=seed) for objects in draws for seed in seeds]
    first, *_ = scored.values()
    best = averaged(first)
    rows = [row(TOLD[name], averaged(runs), best, runs[0], coarse=False) for name, runs in scored.items()]
    return [*rows, row("the first one's coarse Gaussians", averaged(first, "coarse_psnr"), best, first[0], coarse=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="run of a coarse part that was trained alone")
    parser.add_argument("out", type=Path, help="folder for the variants' runs")
    parser.add_argument("objects", type=Path, help="folder of meshes")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--pool", type=int, default=4000, help="procedural objects, each with one draw of views")
    parser.add_argument("--cache", type=Path, help="folder for them; by default OUT/pool")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="train these, and measure nothing")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = list(chosen.only or VARIANTS)
    for name in names:
        plan = plan_of(name, chosen.start, chosen.steps)
        train(plan, chosen.out / name, chosen.pool, chosen.cache or chosen.out / "pool")
    if chosen.only:
        return
    runs = {name: chosen.out / name for name in names}
    draws = [Drawn(chosen.objects, SMALL.coarse.size_px, draw=seed) for seed in SEEDS]
    rows = rows_of(runs, draws)
    title = "Selection and split, trained, on 16 real objects: small models"
    trained = {name: how_trained(run) for name, run in runs.items()}
    write(RESULTS / "feedforward_ablations.json", title, rows, training=trained)
    print(shown(rows))


if __name__ == "__main__":
    main()
