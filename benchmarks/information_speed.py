"""Speed of information on the CPU: what one photograph tells, and one map of what is unknown, in plain renders.

    python benchmarks/information_speed.py            # a few minutes; writes benchmarks/results/information_speed*.json
    python benchmarks/information_speed.py --quick    # the smallest workload, fewer repetitions, nothing written

The workloads are those of ``raster.py``. Times of one thread are the minimum process CPU time over repeated calls;
times of two threads are the minimum wall time, and left out where others are at work when it starts. All ratios are to
a plain render (``rasterize`` without gradients) of the same view, whose calls alternate with the others'.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import RESULTS, table, write
from raster import WORKLOADS, Workload

from veduta import kernels
from veduta.core import Cameras, Noise, Posterior, Scene, Views
from veduta.information import gather, posterior
from veduta.information import map as information_map
from veduta.render import rasterize, screen_covariance, screen_moments, screen_pull, screen_push

VIEWS = 50
MEASURED = {name: WORKLOADS[name] for name in ("r20k 480x270", "r100k 480x270", "r100k 960x540", "r500k 960x540")} | {
    "r100k 1920x1080": (100_000, 1920, 1080)
}
GATHERED = "r100k 480x270"
REPEATS = 9
PATH = 4
"""Cameras of a path whose maps are made in one call; the time of one is a quarter of it."""
IDLE_LOAD = 0.7
"""Load average below which the cores count as idle."""

Clock = Callable[[], float]


class Pieces:
    """Everything that is timed, on one workload."""

    def __init__(self, workload: Workload) -> None:
        self.gaussians, self.camera = workload.gaussians, workload.camera
        generator = torch.Generator().manual_seed(1)
        h, w = self.camera.height, self.camera.width
        self.photograph = torch.rand(h, w, 3, generator=generator)
        self.weight = torch.rand(h, w, generator=generator)
        moments = screen_moments(self.gaussians, self.camera, photograph=self.photograph)
        assert moments.score is not None
        self.fisher, self.score = moments.fisher, moments.score
        self.blocks = screen_pull(self.gaussians, self.camera, self.fisher)
        self.forms = screen_push(self.gaussians, self.camera, self.blocks)
        self.scene = Scene(background=self.gaussians)
        self.path = Cameras.cat([self.camera] * PATH)
        none = gather(self.scene, [])
        noise = Noise(sigma=0.03, kappa=8.0, tau=0.25)
        self.known = Posterior(covariance=self.blocks, prior=self.blocks, noise=noise, sky=none.sky, kind="block")

    def render(self) -> None:
        with torch.no_grad():
            rasterize(self.gaussians, self.camera, backend="cpu")

    def moments(self) -> None:
        screen_moments(self.gaussians, self.camera, weight=self.weight)

    def moments_score(self) -> None:
        screen_moments(self.gaussians, self.camera, weight=self.weight, photograph=self.photograph)

    def moments_clustered(self) -> None:
        screen_moments(self.gaussians, self.camera, weight=self.weight, photograph=self.photograph, clustered=True)

    def pull(self) -> None:
        screen_pull(self.gaussians, self.camera, self.fisher)

    def push(self) -> None:
        screen_push(self.gaussians, self.camera, self.blocks)

    def covariance(self) -> None:
        screen_covariance(self.gaussians, self.camera, self.forms)

    def maps(self) -> None:
        information_map(self.scene, self.known, self.path)

    NAMES = ("render", "moments", "moments_score", "moments_clustered", "pull", "push", "covariance", "maps")

    def measure(self, clock: Clock, repeats: int) -> dict[str, float]:
        """The minimum of each in ms; the calls take turns, so that all see the same neighbours."""
        best: dict[str, float] = {name: float("inf") for name in self.NAMES}
        for _ in range(repeats):
            for name in self.NAMES:
                begin = clock()
                getattr(self, name)()
                best[name] = min(best[name], 1e3 * (clock() - begin))
        return best


def measured(name: str, clocks: dict[int, Clock], repeats: int) -> list[dict[str, object]]:
    """Rows of one workload, one per number of threads."""
    pieces = Pieces(Workload.random(*MEASURED[name]))
    rows: list[dict[str, object]] = []
    for threads, clock in clocks.items():
        kernels.set_threads(threads)
        times = pieces.measure(clock, repeats)
        told = times["moments_score"] + 2 * times["pull"]
        times["map"] = times.pop("maps") / PATH
        ratios = {"photograph / render": told / times["render"], "map / render": times["map"] / times["render"]}
        rows.append({"workload": name, "threads": threads, **_rounded(times | ratios)})
    kernels.set_threads(1)
    return rows


def peak_bytes(name: str) -> int | None:
    """Growth of resident memory at its peak over one photograph, in a fresh process, what is returned included."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None

    def resident(field: str) -> int:
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))

    torch.set_num_threads(1)
    kernels.set_threads(1)
    small = Workload.random(100, 32, 32)
    screen_moments(small.gaussians, small.camera, photograph=torch.rand(32, 32, 3))  # whatever a first call loads
    workload = Workload.random(*MEASURED[name])
    photograph = torch.rand(workload.camera.height, workload.camera.width, 3)
    reset.write_text("5")  # the peak starts anew
    before = resident("VmRSS:")
    screen_moments(workload.gaussians, workload.camera, photograph=photograph)
    return resident("VmHWM:") - before


def gathered(threads: int, clock: Clock) -> dict[str, object]:
    """What 50 photographs of one size tell, by `gather`, and one map from it; seconds."""
    kernels.set_threads(threads)
    workload = Workload.random(*MEASURED[GATHERED])
    generator = torch.Generator().manual_seed(2)
    poses = torch.eye(4).repeat(VIEWS, 1, 1)
    poses[:, :3, 3] = 0.1 * torch.randn(VIEWS, 3, generator=generator)
    camera = workload.camera
    fx, fy = float(camera.intrinsics[0, 0, 0]), float(camera.intrinsics[0, 1, 1])
    cameras = Cameras.pinhole(
        poses, fx=fx, fy=fy, cx=camera.width / 2, cy=camera.height / 2, width=camera.width, height=camera.height
    )
    with torch.no_grad():
        pictures = rasterize(workload.gaussians, cameras, backend="cpu").color
    photographs = pictures + 0.05 * torch.randn(pictures.shape, generator=generator)
    views = [Views.of(cameras[i], rgb=photographs[i : i + 1]) for i in range(VIEWS)]
    scene = Scene(background=workload.gaussians)
    begin = clock()
    evidence = gather(scene, views)
    told = clock() - begin
    begin = clock()
    unknown = posterior(scene, evidence)
    settled = clock() - begin
    begin = clock()
    information_map(scene, unknown, cameras[:5])
    maps = (clock() - begin) / 5
    times = {f"gather {VIEWS} views, s": told, "posterior, s": settled, "one map, s": maps}
    kernels.set_threads(1)
    return {"workload": GATHERED, "threads": threads, **_rounded(times)}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: float(f"{value:.3g}") for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest workload, nothing written")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ["r20k 480x270"] if arguments.quick else list(MEASURED)
    clocks: dict[int, Clock] = {1: time.process_time}
    if os.getloadavg()[0] < IDLE_LOAD:
        clocks[2] = time.perf_counter
    else:
        print("others are at work here: one thread only")
    repeats = 3 if arguments.quick else REPEATS
    rows = [row for name in names for row in measured(name, clocks, repeats)]
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    if arguments.quick:
        return
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        memory = dict(zip(names, fresh.map(peak_bytes, names, chunksize=1), strict=True))
    wholes = [gathered(threads, clock) for threads, clock in clocks.items()]
    print(table(list(wholes[0]), [list(row.values()) for row in wholes]))
    print("peak growth of resident memory over one photograph, MB:")
    print({name: None if size is None else round(size / 1e6) for name, size in memory.items()})
    title = "Information: ms per call (1 thread: CPU time, 2 threads: wall time) and in plain renders"
    write(arguments.out / "information_speed.json", title, rows, isa=kernels.isa(), peak_bytes=memory)
    title = f"Information: {VIEWS} photographs, 100,000 Gaussians, 480x270"
    write(arguments.out / "information_speed_gather.json", title, wholes, isa=kernels.isa())


if __name__ == "__main__":
    main()
