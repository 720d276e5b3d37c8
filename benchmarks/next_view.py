"""Which photographs to add: held-out quality after adding eight to four, chosen in several ways.

    python benchmarks/next_view.py ../shared/data                  # every run below, ten minutes on one core
    python benchmarks/next_view.py ../shared/data --only farthest  # runs whose name contains a word
    python benchmarks/next_view.py ../shared/data --show           # the table of what was measured before

Of the capture's training photographs, four are given: one by chance, and three as far from those before as can be.
Eight more are chosen from the rest by their cameras alone, without a look at the photographs, and all twelve are fitted
from scratch with the same settings. What counts is the PSNR on the capture's held-out photographs (every eighth; they
are never candidates). A fit starts from the points that at least two of its own photographs show, as structure from
motion of those would have given.

The ways to choose: `ours` fits the four, gathers their evidence, and takes `veduta.information.next_view`; `ours, two
rounds` chooses four, fits the eight, and chooses four more; `ours by parameters` is `ours` with kind="parameters", the
D-optimal one; `random` draws; `farthest` takes the camera farthest from all chosen so far, again and again. Each run is
a process of its own, on one thread. Results are kept in next_view.json, run by run, so that an interrupted benchmark
goes on where it was; fits are kept in --work, which is to be deleted when the code of fitting changes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import RESULTS, commit, table, write

CAPTURE = "static/fox"
MAX_SIZE = 480
STEPS, GAUSSIANS = 1000, 15_000
GIVEN, ADDED = 4, 8
SEEDS = (0, 1, 2)
RANDOM_SEED = 1000


@dataclass(frozen=True)
class Run:
    """One way to choose, and one choice of the first photographs."""

    way: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.way}, seed {self.seed}"


class Experiment:
    """The capture, and fits of some of its photographs."""

    def __init__(self, data: Path, work: Path, seed: int) -> None:
        import torch

        import veduta

        self.seed, self.work = seed, work
        self.capture = veduta.open_capture(data / CAPTURE, max_size=MAX_SIZE)
        train = self.capture.train
        self.cameras = veduta.Cameras.cat([train[i].cameras for i in range(len(train))])
        self.seen = points_seen(self.capture)
        generator = torch.Generator().manual_seed(seed)
        first = int(torch.randint(len(self.cameras), (1,), generator=generator))
        self.given = farthest_from(self.cameras, [first], GIVEN - 1)

    def fit(self, chosen: Sequence[int]) -> Any:
        """The scene of these photographs; kept, since several ways to choose begin with the same ones."""
        import veduta
        from veduta.fit import FitPlan
        from veduta.io.scenes import load_scene, save_scene

        path = self.work / f"{STEPS}_{GAUSSIANS}_{self.seed}_{'_'.join(map(str, chosen))}.safetensors"
        if path.exists():
            return load_scene(path)
        several = self.seen[list(chosen)].sum(dim=0) >= 2
        points = self.capture.points
        assert points is not None
        part = replace(
            self.capture,
            train=Chosen(self.capture.train, chosen),
            points=points.replace(xyz=points.xyz[several], rgb=points.rgb[several]),
        )
        scene = veduta.fit(part, FitPlan(steps=STEPS, seed=self.seed, max_gaussians=GAUSSIANS))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_scene(scene, path)
        return scene

    def others(self, chosen: Sequence[int]) -> list[int]:
        """The photographs that can still be chosen."""
        return [i for i in range(len(self.cameras)) if i not in chosen]


class Chosen:
    """Some photographs of a source."""

    def __init__(self, source: Any, rows: Sequence[int]) -> None:
        self._source, self._rows = source, list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int, /) -> Any:
        return self._source[self._rows[i]]


def points_seen(capture: Any) -> Any:
    """Which points of the capture each training photograph shows (bool, photographs by points)."""
    import torch
    from scipy.spatial import KDTree

    tree = KDTree(capture.points.xyz.double().numpy())
    seen = torch.zeros(len(capture.train), len(capture.points), dtype=torch.bool)
    for i in range(len(capture.train)):
        px, depth, _ = capture.train.sparse_depth(i)
        camera = capture.train.camera(i)
        matrix, pose = camera.intrinsics[0], camera.world_from_camera[0]
        xy = (px - matrix[:2, 2]) / torch.stack([matrix[0, 0], matrix[1, 1]])
        local = torch.cat([xy, torch.ones(len(xy), 1)], dim=1) * depth[:, None]
        _, rows = tree.query((local @ pose[:3, :3].T + pose[:3, 3]).double().numpy())
        seen[i, torch.from_numpy(rows)] = True
    return seen


def farthest_from(cameras: Any, chosen: Sequence[int], count: int) -> list[int]:
    """The chosen, and ``count`` more, each as far from its nearest predecessor as can be."""
    import torch

    apart = torch.cdist(cameras.positions_world.double(), cameras.positions_world.double())
    chosen = list(chosen)
    for _ in range(count):
        chosen.append(int(apart[chosen].min(dim=0).values.argmax()))
    return chosen


def at_random(experiment: Experiment) -> list[int]:
    import torch

    others = experiment.others(experiment.given)
    drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(RANDOM_SEED + experiment.seed))
    return [*experiment.given, *(others[i] for i in drawn[:ADDED].tolist())]


def farthest(experiment: Experiment) -> list[int]:
    return farthest_from(experiment.cameras, experiment.given, ADDED)


def ours(experiment: Experiment, *, rounds: int = 1, kind: str = "pixels") -> list[int]:
    from veduta.information import gather, next_view

    chosen = list(experiment.given)
    for _ in range(rounds):
        scene = experiment.fit(chosen)
        evidence = gather(scene, Chosen(experiment.capture.train, chosen))
        others = experiment.others(chosen)
        ranking = next_view(scene, evidence, experiment.cameras[others], count=ADDED // rounds, kind=kind)
        chosen += [others[i] for i in ranking.indices.tolist()]
    return chosen


WAYS: Mapping[str, Callable[[Experiment], list[int]]] = {
    "the four alone": lambda experiment: experiment.given,
    "random": at_random,
    "farthest": farthest,
    "ours": ours,
    "ours, two rounds": lambda experiment: ours(experiment, rounds=2),
    "ours by parameters": lambda experiment: ours(experiment, kind="parameters"),
}


def choose_and_fit(run: Run, data: Path, work: Path) -> dict[str, Any]:
    """In this process: choose, fit, and compare with the held-out photographs."""
    import torch

    from veduta import kernels
    from veduta.recipes import evaluate

    kernels.set_threads(1)
    torch.set_num_threads(1)
    experiment = Experiment(data, work, run.seed)
    chosen = WAYS[run.way](experiment)
    scene = experiment.fit(chosen)
    scores = evaluate(scene, experiment.capture.test)
    names = [experiment.capture.train[i].names[0] for i in chosen]
    return {
        "psnr": scores.psnr,
        "ssim": scores.ssim,
        "views": {view.name: view.psnr for view in scores.views},
        "chosen": names,
        "gaussians": len(scene.background),
        "width": experiment.cameras.width,
        "height": experiment.cameras.height,
    }


def by_way(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One flat row per way: mean and spread (standard deviation over seeds) of the held-out PSNR."""
    found = {way: {r["seed"]: r for r in results.values() if r["way"] == way} for way in WAYS}
    rows: list[dict[str, Any]] = []
    for way, runs in found.items():
        if not runs:
            continue
        psnrs = [runs[seed]["psnr"] for seed in sorted(runs)]
        row: dict[str, Any] = {
            "way": way,
            "photographs": len(next(iter(runs.values()))["chosen"]),
            "PSNR": round(statistics.mean(psnrs), 2),
            "standard deviation": round(statistics.stdev(psnrs), 2) if len(psnrs) > 1 else "",
            "seeds": ", ".join(f"{psnr:.2f}" for psnr in psnrs),
            "SSIM": round(statistics.mean(r["ssim"] for r in runs.values()), 3),
        }
        for other in ("random", "farthest"):
            both = sorted(runs.keys() & found[other].keys())
            gains = [runs[seed]["psnr"] - found[other][seed]["psnr"] for seed in both]
            row[f"over {other}"] = round(statistics.mean(gains), 2) if gains and way not in ("random", other) else ""
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds static/")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--again", action="store_true", help="measure again what is already there")
    parser.add_argument("--show", action="store_true", help="only print the table")
    parser.add_argument("--work", type=Path, default=Path("runs/next_view"), help="where fits are kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "next_view.json")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    runs = [Run(way, seed) for seed in SEEDS for way in WAYS]
    if arguments.one is not None:
        json.dump(choose_and_fit(runs[arguments.one], arguments.data, arguments.work), sys.stdout)
        return
    stored: dict[str, Any] = json.loads(arguments.out.read_text())["runs"] if arguments.out.exists() else {}
    for index, run in enumerate(runs):
        if arguments.show or arguments.only not in run.name or (run.name in stored and not arguments.again):
            continue
        command = [sys.executable, __file__, str(arguments.data), "--one", str(index), "--work", str(arguments.work)]
        found = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        facts = {"way": run.way, "seed": run.seed, "steps": STEPS, "max_gaussians": GAUSSIANS, "commit": commit()}
        stored[run.name] = facts | json.loads(found.stdout)
        title = f"Next view: {ADDED} photographs added to {GIVEN}, held-out quality on {CAPTURE}"
        write(arguments.out, title, by_way(stored), runs=stored)
        print(f"{run.name}: {stored[run.name]['psnr']:.2f} dB", flush=True)
    rows = by_way(stored)
    if rows:
        print(table(list(rows[0]), [list(row.values()) for row in rows]))


if __name__ == "__main__":
    main()
