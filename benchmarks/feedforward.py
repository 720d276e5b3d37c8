"""What densification adds to feed-forward reconstruction, on real textured objects that no model was trained on.

    python benchmarks/feedforward.py DENSIFIED COARSE ../shared/data/objects   # quality: two minutes on one core
    python benchmarks/feedforward.py --speed                                   # the published networks' time and memory

DENSIFIED and COARSE are runs of `veduta train densifier` or files of weights: a model with a densifier, and its coarse
part trained alone for as long. Every object is shown in 4 views and judged by 4 others, at the resolution of the
training, over white: PSNR of the views side by side, mean over objects and its standard error. Differences are paired:
they are taken object by object, and the standard error is that of their mean.

Rows below the first three change something about DENSIFIED after its training, not in it: which coarse Gaussians are
densified (the same number, drawn at random, three draws), which children go on to the second stage (drawn at random, or
all of them), and how many coarse Gaussians are densified. LPIPS is left out: its weights are not ours to give.

--speed: each network with weights that were not learned, in a process of its own, from photographs in memory to
Gaussians in memory, once, unwarmed; seconds on the clock and of the processor, and the most memory that was resident.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, table, write

from veduta.cli.eval_feedforward import EMBEDDED, opened_model
from veduta.core import Cameras, Example, Views
from veduta.data import MeshObjects
from veduta.feedforward import AtRandom, FeedForward
from veduta.feedforward.checkpoints import embedded
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.published import PUBLISHED
from veduta.feedforward.small_densify import SmallDensifier
from veduta.geometry import look_at
from veduta.nets import Split
from veduta.recipes.training import Scores, evaluate_feedforward

SEEDS = (0, 1, 2)
BUDGETS = (64, 128, 256, 512, 1024, 2048)
SIZES = {"object": (4, 512), "scene": (2, 256)}


class Kept:
    """The evaluation examples of real objects, drawn once."""

    def __init__(self, folder: Path, size_px: int) -> None:
        source = MeshObjects(folder, size_px)
        self.examples = [source.evaluation(index) for index in range(len(source))]

    def __len__(self) -> int:
        return len(self.examples)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        return self.examples[index]

    def evaluation(self, index: int) -> Example:
        return self.examples[index]


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


def averaged(runs: Sequence[Scores]) -> list[float]:
    """PSNR by object, mean over runs."""
    return [statistics.fmean(each) for each in zip(*([one.psnr for one in run.examples] for run in runs), strict=True)]


def changed_splits(model: FeedForward, objects: Kept) -> dict[str, list[Scores]]:
    """Scores with splits at random, and without any."""
    found: dict[str, list[Scores]] = {"split at random": []}
    for seed in SEEDS:
        with splits_changed(model, lambda split, seed=seed: setattr(split, "net", Chance(seed))):
            found["split at random"].append(evaluate_feedforward(model, objects))
    with splits_changed(model, lambda split: setattr(split, "ratio", 1.0)):
        found["no split: all children go on"] = [evaluate_feedforward(model, objects)]
    return found


def quality(densified: FeedForward, alone: FeedForward, objects: Kept) -> list[dict[str, Any]]:
    """All lines of the table."""
    main, other = (evaluate_feedforward(model, objects) for model in (densified, alone))
    best = [one.psnr for one in main.examples]
    coarse = [one.coarse_psnr for one in main.examples]
    rows = [
        row("densified", best, best, main, coarse=False),
        row("its own coarse Gaussians", coarse, best, main, coarse=True),
        row("coarse part trained alone as long", [one.psnr for one in other.examples], best, other, coarse=False),
    ]
    selector = densified.selector
    densified.selector = AtRandom()
    chance = [evaluate_feedforward(densified, objects, seed=seed) for seed in SEEDS]
    densified.selector = selector
    rows.append(row("selected at random", averaged(chance), best, chance[0], coarse=False))
    for what, runs in changed_splits(densified, objects).items():
        rows.append(row(what, averaged(runs), best, runs[0], coarse=False))
    budget = densified.budget
    for count in BUDGETS:
        densified.budget = count
        scores = evaluate_feedforward(densified, objects)
        rows.append(row(f"{count} densified", averaged([scores]), best, scores, coarse=False))
    densified.budget = budget
    return rows


def photographs(count: int, size_px: int) -> Views:
    """Noise from cameras about the origin, to keep networks busy."""
    angle = torch.arange(count) * (2 * torch.pi / 4)
    eyes = torch.stack([2 * angle.cos(), 2 * angle.sin(), torch.full_like(angle, 0.5)], dim=1)
    poses = look_at(eyes, torch.zeros_like(eyes), torch.tensor([0.0, 0.0, 1.0]))
    half = size_px / 2
    cameras = Cameras.pinhole(poses, fx=2.3 * half, fy=2.3 * half, cx=half, cy=half, width=size_px, height=size_px)
    rgb = torch.rand(count, size_px, size_px, 3, generator=torch.Generator().manual_seed(0))
    inside = torch.linspace(-1, 1, size_px).square()
    alpha = (inside[:, None] + inside < 0.6).float().expand(count, -1, -1)
    return Views.of(cameras, rgb=rgb * alpha[..., None] + 1 - alpha[..., None]).replace(alpha=alpha)


def one_speed(kind: str, threads: int) -> dict[str, Any]:
    """One prediction by one network, in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = embedded() if kind == EMBEDDED else PUBLISHED[kind].build(Compatibility()).eval()
    count, size = SIZES.get(kind, (4, (model.intake.size_px or (128, 128))[0]))
    views = photographs(count, size)
    began, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        made = model(views, near=1.0, far=3.0)
    return {
        "what": kind,
        "parameters": sum(p.numel() for p in model.parameters()),
        "views": f"{count} x {size}^2",
        "threads": threads,
        "seconds": round(time.perf_counter() - began, 2),
        "CPU seconds": round(time.process_time() - cpu, 2),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "Gaussians": len(made.fine),
    }


def speed(threads: int) -> list[dict[str, Any]]:
    """Every network in a process of its own."""
    rows = []
    for kind in (EMBEDDED, *SIZES):
        command = [sys.executable, __file__, "--one", kind, "--threads", str(threads)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return rows


def shown(rows: Sequence[dict[str, Any]]) -> str:
    return table(list(rows[0]), [list(each.values()) for each in rows])


def training_of(model: str) -> dict[str, Any]:
    """How a run's model was trained: its plan, steps done and seconds spent in them."""
    folder = Path(model)
    if not folder.is_dir():
        return {"weights": folder.name}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["event"] == "TrainingStepped"][-1]
    record = json.loads((folder / "run.json").read_text())
    return {"steps": last["step"], "seconds": round(last["seconds"]), "data": record["fingerprint"], **record["config"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("densified", nargs="?", default=EMBEDDED)
    parser.add_argument("coarse", nargs="?")
    parser.add_argument("objects", nargs="?", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one_speed(chosen.one, chosen.threads)))
        return
    if chosen.speed:
        rows = speed(chosen.threads)
        write(RESULTS / "feedforward_speed.json", "Feed-forward networks: time and memory on a CPU", rows)
        print(shown(rows))
        return
    if chosen.coarse is None or chosen.objects is None:
        parser.error("say which models, and where the objects are")
    torch.set_num_threads(1)
    densified, alone = opened_model(chosen.densified), opened_model(chosen.coarse)
    assert isinstance(densified.densifier, SmallDensifier)
    size = densified.intake.size_px or (128, 128)
    rows = quality(densified, alone, Kept(chosen.objects, size[0]))
    trained = {"densified": training_of(chosen.densified), "coarse": training_of(chosen.coarse)}
    title = "Generative densification on 16 real objects, small models"
    write(RESULTS / "feedforward.json", title, rows, training=trained)
    print(shown(rows))


if __name__ == "__main__":
    main()
