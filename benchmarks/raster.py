"""Speed of the CPU rasteriser: stages, threads, instruction sets, the training step, and the ratio to plain torch.

    python benchmarks/raster.py                 # everything, a few minutes; writes benchmarks/results/raster*.json
    python benchmarks/raster.py --quick         # the smallest workload only, nothing written

Times of one thread are the minimum process CPU time over repeated calls (other work on the machine disturbs it least);
times of several threads are the minimum wall time, so they need idle cores. Ratios are within one run.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, table, write
from plain_torch import composite_at_once
from torch import Tensor

from veduta import kernels
from veduta.core import Cameras, Gaussians, RasterOptions
from veduta.kernels.loading import module
from veduta.measure import photometric_loss
from veduta.render import rasterize
from veduta.render.reference import STANDARD
from veduta.render.reference.compositing import Grid
from veduta.render.reference.compositing import composite as composite_reference
from veduta.render.reference.projection import Pinholes, Splats, drawable, project
from veduta.render.shared import camera_numbers

WORKLOADS = {
    "r20k 480x270": (20_000, 480, 270),
    "r100k 480x270": (100_000, 480, 270),
    "r500k 480x270": (500_000, 480, 270),
    "r20k 960x540": (20_000, 960, 540),
    "r100k 960x540": (100_000, 960, 540),
    "r500k 960x540": (500_000, 960, 540),
}
COMPARED = "r100k 480x270"
SIGMA_PX = 1.0
"""Median standard deviation on the screen of 100,000 Gaussians at 480x270, which gives about 178,000 (tile, Gaussian)
pairs; other counts and sizes are scaled to cover the picture equally."""
REPEATS = 12


@dataclass
class Workload:
    """Random Gaussians, log-normal scales, sigmoid-normal opacities, before one camera."""

    gaussians: Gaussians
    camera: Cameras

    @staticmethod
    def random(count: int, width: int, height: int) -> Workload:
        generator = torch.Generator().manual_seed(0)
        focal = 0.9 * width
        z = 2 + 6 * torch.rand(count, generator=generator)
        u = width * (1.15 * torch.rand(count, generator=generator) - 0.575)
        v = height * (1.15 * torch.rand(count, generator=generator) - 0.575)
        sigma_px = SIGMA_PX * (1e5 / count) ** 0.5 * (width * height / (480 * 270)) ** 0.5
        scales = torch.exp(0.5 * torch.randn(count, 3, generator=generator)) * z[:, None] * sigma_px / focal
        gaussians = Gaussians(
            means=torch.stack([u / focal * z, v / focal * z, z], dim=1),
            quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1),
            scales=scales,
            opacities=torch.sigmoid(1.5 * torch.randn(count, generator=generator)),
            sh=0.1 * torch.randn(count, 16, 3, generator=generator),
        )
        camera = Cameras.pinhole(
            torch.eye(4)[None], fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height
        )
        return Workload(gaussians, camera)


def best_ms(run: Callable[[], object], *, clock: Callable[[], float], repeats: int = REPEATS) -> float:
    """The minimum over repeated calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        begin = clock()
        run()
        times.append(clock() - begin)
    return 1e3 * min(times)


class Stages:
    """Each kernel by itself, on memory that is already there."""

    def __init__(self, workload: Workload) -> None:
        g, n = workload.gaussians, len(workload.gaussians)
        w, h = workload.camera.width, workload.camera.height
        self.n, self.size, self.camera = n, (w, h), camera_numbers(workload.camera)[0].tolist()
        shapes = {"means_px": (n, 2), "conics": (n, 3), "depths": (n,), "extents": (n, 2), "colors": (n, 3)}
        shapes |= {"v_px": (n, 2), "v_conics": (n, 3), "v_opacities": (n,), "v_colors": (n, 3), "v_depths": (n,)}
        shapes |= {"v_means": (n, 3), "v_quats": (n, 4), "v_scales": (n, 3), "v_sh": (n, 16, 3), "absgrad": (n, 2)}
        shapes |= {"color": (h, w, 3), "alpha": (h, w), "depth": (h, w), "clear": (h, w)}
        self.memory = {name: torch.zeros(shape) for name, shape in shapes.items()}
        self.memory |= {"means": g.means, "quats": g.quats, "scales": g.scales, "opacities": g.opacities, "sh": g.sh}
        self.memory["v_color"] = torch.rand(h, w, 3, generator=torch.Generator().manual_seed(1)) - 0.5
        self.frame = module().Frame()

    def at(self, *names: str) -> list[int]:
        return [self.memory[name].data_ptr() if name else 0 for name in names]

    def project(self) -> None:
        gaussians = self.at("means", "quats", "scales", "opacities")
        result = self.at("means_px", "conics", "depths", "extents", "")
        module().project(self.n, gaussians, self.camera, [0.01, 1e10, 0.3, 0.0], result)

    def sh(self) -> None:
        module().sh(self.n, 3, 16, *self.at("means", "sh", "extents"), self.camera, *self.at("colors"))

    def bin(self) -> None:
        projected = self.at("means_px", "conics", "opacities", "extents", "depths", "colors")
        module().bin(self.frame, self.n, *self.size, projected)

    def forward(self) -> None:
        module().composite(self.frame, 4, *self.at("color", "alpha", "depth", "clear"))

    def backward(self) -> None:
        result = self.at("v_px", "v_conics", "v_opacities", "v_colors", "v_depths", "", "")
        module().composite_backward(self.frame, 0, 0, self.at("v_color", "", "", ""), result)

    def backward_absgrad(self) -> None:
        result = self.at("v_px", "v_conics", "v_opacities", "v_colors", "v_depths", "absgrad", "")
        module().composite_backward(self.frame, 0, 0, self.at("v_color", "", "", ""), result)

    def sh_backward(self) -> None:
        given = self.at("means", "sh", "extents")
        module().sh_backward(self.n, 3, 16, *given, self.camera, *self.at("colors", "v_colors", "v_sh", "v_means"))

    def project_backward(self) -> None:
        gaussians = self.at("means", "quats", "scales", "opacities")
        given, result = self.at("v_px", "v_conics", "v_depths", ""), self.at("v_means", "v_quats", "v_scales", "")
        limits, extents = [0.01, 1e10, 0.3, 0.0], self.at("extents")
        module().project_backward(self.n, gaussians, self.camera, limits, *extents, given, result)

    NAMES = ("project", "sh", "bin", "forward", "backward", "backward_absgrad", "sh_backward", "project_backward")

    def measure(self, clock: Callable[[], float]) -> dict[str, float]:
        times = {name: best_ms(getattr(self, name), clock=clock) for name in self.NAMES}
        times["bin+forward+backward"] = times["bin"] + times["forward"] + times["backward"]
        return times


def measure_step(workload: Workload, clock: Callable[[], float]) -> dict[str, float]:
    """A whole training step through autograd: activations, render, loss, backward, Adam, statistics."""
    g = workload.gaussians
    raw = {"means": g.means, "quats": g.quats, "scales": g.scales.log(), "opacities": g.opacities.logit(), "sh": g.sh}
    raw = {name: value.clone().requires_grad_() for name, value in raw.items()}
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in raw.items()}
    target = torch.rand(workload.camera.height, workload.camera.width, 3, generator=torch.Generator().manual_seed(2))
    seen, total = torch.zeros(len(g)), torch.zeros(len(g))
    sh_rates = torch.tensor([1e-6] + [1e-7] * 15)

    def step() -> None:
        gaussians = Gaussians(
            means=raw["means"],
            quats=raw["quats"],
            scales=raw["scales"].exp(),
            opacities=raw["opacities"].sigmoid(),
            sh=raw["sh"],
        )
        render = rasterize(gaussians, workload.camera, options=RasterOptions(keep_screen=True), backend="cpu")
        photometric_loss(render.color[0], target).backward()
        for name, value in raw.items():
            assert value.grad is not None
            rate = sh_rates if name == "sh" else 1e-7
            kernels.adam_step_(value, value.grad, *moments[name], lr=rate, beta1=0.9, beta2=0.999, eps=1e-15, step=1000)
            value.grad = None
        screen = render.screen
        assert screen is not None
        assert screen.means_px.grad is not None
        total.add_(screen.means_px.grad[0].norm(dim=-1))
        seen.add_(screen.visible[0])

    return {"training step": best_ms(step, clock=clock)}


def measure_torch(workload: Workload, *, repeats: int = 3) -> dict[str, float]:
    """Torch on one thread: the reference's whole pass, its binning and compositing alone, and all tiles at once."""
    whole, part, plain = [], [], []
    for _ in range(repeats):
        gaussians = workload.gaussians.map(lambda t: t.clone().requires_grad_())
        begin = time.process_time()
        render = rasterize(gaussians, workload.camera, backend="reference")
        render.color.backward(torch.ones_like(render.color))
        whole.append(1e3 * (time.process_time() - begin))
        part.append(composite_in_torch(workload, blend_in_batches))
        plain.append(composite_in_torch(workload, composite_at_once))
    return {"whole pass": min(whole), "bin+forward+backward": min(part), "all tiles at once": min(plain)}


def blend_in_batches(splats: Splats, camera: Tensor, grid: Grid) -> Tensor:
    """The reference backend's compositing."""
    values = torch.cat([splats.color, splats.depth[:, None]], dim=1)
    return composite_reference(splats, camera, values, grid, cutoffs=STANDARD, collect=None)[0]


def composite_in_torch(workload: Workload, composite: Callable[[Splats, Tensor, Grid], Tensor]) -> float:
    """From binning to gradients of what was projected, in ms: the kernels' `bin+forward+backward`."""
    given = splats_of(workload)
    begin = time.process_time()
    composite(*given)[..., :3].sum().backward()
    return 1e3 * (time.process_time() - begin)


def splats_of(workload: Workload) -> tuple[Splats, Tensor, Grid]:
    """What was projected, as leaves of autograd, the camera of each, and the tiles."""
    pinholes = Pinholes.of(workload.camera, torch.float32)
    seen = drawable(workload.gaussians, pinholes, options=RasterOptions(), cutoffs=STANDARD)
    camera, row = seen.nonzero(as_tuple=True)
    with torch.no_grad():
        splats = project(workload.gaussians, pinholes, camera, row, options=RasterOptions(), cutoffs=STANDARD)
    splats = splats.map(lambda t: t.requires_grad_() if t.is_floating_point() else t)
    return splats, camera, Grid(images=1, width=workload.camera.width, height=workload.camera.height)


def measure_cpu(workload: Workload) -> float:
    """The whole pass through the cpu backend, one thread."""
    gaussians = workload.gaussians.map(lambda t: t.clone().requires_grad_())

    def both() -> None:
        render = rasterize(gaussians, workload.camera, backend="cpu")
        render.color.backward(torch.ones_like(render.color))

    return best_ms(both, clock=time.process_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest workload only; nothing is written")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ["r20k 480x270"] if arguments.quick else list(WORKLOADS)
    results: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    results |= {"isa": kernels.isa(), "workloads": {}, "instruction sets": {}}
    for name in names:
        workload = Workload.random(*WORKLOADS[name])
        kernels.set_threads(1)
        stages = Stages(workload)
        row = {"1 thread, cpu ms": stages.measure(time.process_time) | measure_step(workload, time.process_time)}
        row["visible"], row["pairs"] = stages.frame.visible, stages.frame.pairs
        row["1 thread, wall ms"] = stages.measure(time.perf_counter)
        kernels.set_threads(2)
        row["2 threads, wall ms"] = Stages(workload).measure(time.perf_counter)
        kernels.set_threads(1)
        results["workloads"][name] = row
    compared = names[0] if arguments.quick else COMPARED
    workload = Workload.random(*WORKLOADS[compared])
    for name in kernels.instruction_sets():
        kernels.set_isa(name)
        results["instruction sets"][name] = Stages(workload).measure(time.process_time)
    kernels.set_isa(results["isa"])
    plain, ours = measure_torch(workload), measure_cpu(workload)
    own = results["workloads"][compared]["1 thread, cpu ms"]["bin+forward+backward"]
    results["plain torch"] = {
        "workload": compared,
        "whole pass, torch": plain["whole pass"],
        "whole pass, cpu": ours,
        "ratio of the whole pass": plain["whole pass"] / ours,
        "bin+forward+backward, torch": plain["bin+forward+backward"],
        "bin+forward+backward, cpu": own,
        "ratio": plain["bin+forward+backward"] / own,
        "bin+forward+backward, torch with all tiles at once": plain["all tiles at once"],
        "ratio to that": plain["all tiles at once"] / own,
    }
    print(show(results))
    if not arguments.quick:
        title = "Rasteriser: ms per stage (one thread, CPU time), two threads by wall time"
        write(arguments.out / "raster.json", title, by_workload(results), details=results)
        title = f"Rasteriser: ms by instruction set, {compared}, one thread"
        isas = [{"instruction set": name} | rounded(row) for name, row in results["instruction sets"].items()]
        write(arguments.out / "raster_isa.json", title, isas)
        title = "Against vectorised torch, one thread, ms"
        write(arguments.out / "raster_torch.json", title, [rounded(results["plain torch"])])


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Three digits are all that a timing has."""
    return {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in row.items()}


def by_workload(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One flat row per workload."""
    whole, rows = "bin+forward+backward", []
    for name, row in results["workloads"].items():
        one, wall, two = (row[key] for key in ("1 thread, cpu ms", "1 thread, wall ms", "2 threads, wall ms"))
        own = one[whole] + sum(one[stage] for stage in ("project", "sh", "sh_backward", "project_backward"))
        facts = {"workload": name, "visible": row["visible"], "pairs": row["pairs"]}
        extra = {f"{whole}, 2 threads": two[whole], "speed-up by 2 threads": wall[whole] / two[whole]}
        rows.append(rounded(facts | one | extra | {"step / rasteriser": one["training step"] / own}))
    return rows


def show(results: dict[str, Any]) -> str:
    """The tables for people."""
    rows = by_workload(results)
    first = table(list(rows[0]), [list(row.values()) for row in rows])
    isas = [{"instruction set": name} | row for name, row in results["instruction sets"].items()]
    second = table(list(isas[0]), [list(row.values()) for row in isas])
    plain = rounded(results["plain torch"])
    third = table(list(plain), [list(plain.values())])
    return f"ms\n\n{first}\n\n{second}\n\n{third}"


if __name__ == "__main__":
    main()
