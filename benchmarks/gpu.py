"""The cuda backend on this machine's GPU: whether it is right, then how fast, then JSON.

    PYTHONPATH=src python benchmarks/gpu.py            # a bare machine: no installation; minutes
    PYTHONPATH=src python benchmarks/gpu.py --tiny     # a scene of a few Gaussians: does it run at all?
    PYTHONPATH=src python benchmarks/gpu.py --floor 3350   # no GPU: ms that moving bytes takes at 3,350 GB/s

Needs a checkout, torch (a CUDA build), triton and numpy, nothing else: where ``jaxtyping``, which the package's
annotations use, is missing, annotations are left unread. With TRITON_INTERPRET=1 and --tiny it needs no GPU. If gsplat
can be loaded, it is timed beside. Times are medians over repeated runs between CUDA events, ratios of one run.
Bandwidth is achieved over the bytes that a pass cannot avoid to move (:func:`traffic`), so it is a lower bound.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

if importlib.util.find_spec("jaxtyping") is None:

    class _Unread:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    _annotations = ModuleType("jaxtyping")
    for _name in ("Bool", "Float", "Float32", "Float64", "Int", "Shaped", "UInt8"):
        setattr(_annotations, _name, _Unread)
    sys.modules["jaxtyping"] = _annotations

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from common import RESULTS, table, write
from raster import Workload, rounded
from torch import Tensor

from tests.backends.scenes import Case, boundary, random_loss, solve
from veduta.core import Cameras, Gaussians, RasterOptions, Render, VedutaError
from veduta.kernels import gpu
from veduta.measure import photometric_loss
from veduta.render import screen_moments, screen_pull, screen_uncertainty
from veduta.render.cuda import Cuda
from veduta.render.gsplat import Gsplat
from veduta.render.reference import STANDARD, Reference
from veduta.render.reference.compositing import Grid, touched_tiles
from veduta.render.reference.projection import Pinholes, drawable, project

WORKLOADS = {
    "480x270, 100 k": (100_000, 480, 270),
    "1080p, 1 M": (1_000_000, 1920, 1080),
    "1080p, 5 M": (5_000_000, 1920, 1080),
    "4K, 1 M": (1_000_000, 3840, 2160),
}
TINY = {"24x18, 20": (20, 24, 18)}
CROP_PX = 96
WARM_UP, REPEATS = 5, 30
VIEWS, TINY_VIEWS = 50, 3
"""Of which evidence is gathered."""
MAPS_AT_MOST = 1_000_000
"""Gaussians beyond which evidence is not timed: its blocks take 364 bytes each."""
Draw = Callable[..., Render]


def median_ms(run: Callable[[], object], *, tiny: bool) -> float:
    """The median of repeated runs; of one run by the clock where there is no GPU."""
    if not torch.cuda.is_available():
        begin = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - begin)
    for _ in range(1 if tiny else WARM_UP):
        run()
    times = []
    for _ in range(3 if tiny else REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def facts() -> dict[str, Any]:
    """What it ran on."""
    found: dict[str, Any] = {"torch": torch.__version__, "runs on": gpu.reason()}
    if torch.cuda.is_available():
        driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        found |= {"gpu": torch.cuda.get_device_name(), "capability": capability, "driver": driver.stdout.strip()}
    return found


def crop(camera: Cameras, left: int, top: int, size: int) -> Cameras:
    """A part of the picture, as a camera of its own."""
    intrinsics = camera.intrinsics.clone()
    intrinsics[:, 0, 2] -= left
    intrinsics[:, 1, 2] -= top
    return camera.replace(intrinsics=intrinsics, width=min(size, camera.width), height=min(size, camera.height))


def correctness(name: str, workload: Workload, device: str, tiny: bool) -> list[dict[str, str]]:
    """Crops of the picture, and all gradients of a loss on them, against the reference in float64.

    ``whole``: the same crop cut from the whole picture, whose lists of tiles are as long as they get.
    """
    rows = []
    width, height = workload.camera.width, workload.camera.height
    gaussians, background = workload.gaussians.to(device), torch.rand(3).to(device)
    with torch.no_grad():
        whole = Cuda().rasterize(gaussians, workload.camera.to(device), background=background)
    corners = ((0, 0), (width // 2, height // 3), (width - CROP_PX // 2, height - CROP_PX // 2))
    for left, top in corners[:1] if tiny else corners:
        camera = crop(workload.camera, left, top, CROP_PX)
        case = Case("", gaussians, camera.to(device), background=background)
        ignored = boundary(case)
        truth = solve(case.to(torch.float64), Reference().rasterize, ignored)
        found = solve(case, Cuda().rasterize, ignored)
        error = (found.render.color.double() - truth.render.color).abs().amax(dim=-1)
        row = {"workload": name, "crop": f"{left},{top}", "in band": f"{float(ignored.float().mean()):.2%}"}
        row["color"] = f"{float(error[~ignored.cpu()].max()):.1e}"
        cut = whole.color[:, top : top + camera.height, left : left + camera.width].cpu().double()
        error = (cut - truth.render.color).abs().amax(dim=-1)
        row["whole"] = f"{float(error[~ignored.cpu()].max()):.1e}"
        for field, gradient in truth.gradients.items():
            wrong = (found.gradients[field].double() - gradient).abs().max()
            row[f"v_{field}"] = f"{float(wrong / gradient.abs().max().clamp_min(1e-30)):.1e}"
        rows.append(row)
    return rows


def traffic(n: int, visible: int, pairs: int, pixels: int) -> tuple[int, int]:
    """Bytes that forward, and forward with backward, cannot avoid: every array once in and once out.

    Forward: parameters (11 numbers; 48 of colour where visible), 23 results and records each, a list of 4 + 40 bytes
    per pair written and read, seven images. Backward: the lists again, 48 bytes per pair added, five images, 59
    gradients.
    """
    forward = 4 * (11 * n + 48 * visible) + 2 * 4 * 23 * n + pairs * (2 * 14 + 44) + pixels * 28
    backward = pairs * (44 + 48) + pixels * 40 + 4 * 16 * n + 2 * 4 * 59 * n
    return forward, forward + backward


def pass_times(draw: Draw, gaussians: Gaussians, camera: Cameras, tiny: bool) -> tuple[float, float]:
    """Ms of forward, and of forward with backward to all parameters."""
    given = gaussians.map(lambda t: t.detach().requires_grad_())
    gradient = torch.rand(1, camera.height, camera.width, 3, device=gaussians.means.device)

    def forward() -> None:
        with torch.no_grad():
            draw(gaussians, camera)

    def both() -> None:
        draw(given, camera).color.backward(gradient)

    return median_ms(forward, tiny=tiny), median_ms(both, tiny=tiny)


def counts(gaussians: Gaussians, camera: Cameras) -> tuple[int, int]:
    """Visible Gaussians, and pairs with tiles."""
    from veduta.render.cuda.binning import bin_tiles
    from veduta.render.cuda.functions import color_of
    from veduta.render.cuda.functions import project as seen_by
    from veduta.render.shared import camera_numbers

    options = RasterOptions()
    numbers = camera_numbers(camera)[0].to(gaussians.means)
    projected = seen_by(gaussians, numbers, options)
    tiles = bin_tiles(
        projected, color_of(gaussians, projected, numbers, options), width=camera.width, height=camera.height
    )
    return int((projected.extents[:, 0] > 0).sum()), len(tiles.ids)


def speed(name: str, workload: Workload, device: str, tiny: bool) -> dict[str, Any]:
    """Times, bandwidth, memory, determinism and the ratio to gsplat of one workload."""
    gaussians, camera = workload.gaussians.to(device), workload.camera.to(device)
    n, pixels = len(gaussians), camera.width * camera.height
    visible, pairs = counts(gaussians, camera)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    forward, both = pass_times(Cuda().rasterize, gaussians, camera, tiny)
    row: dict[str, Any] = {"workload": name, "visible": visible, "pairs": pairs, "forward": forward, "both": both}
    if torch.cuda.is_available():
        row["peak MiB"] = torch.cuda.max_memory_allocated() / 2**20
    for key, volume, spent in zip(
        ("forward", "both"), traffic(n, visible, pairs, pixels), (forward, both), strict=True
    ):
        row[f"GB/s {key}"] = volume / spent / 1e6
    ordered = Cuda(deterministic=True).rasterize
    row["deterministic / both"] = pass_times(ordered, gaussians, camera, tiny)[1] / both
    row["same bits"] = same_bits(ordered, gaussians, camera)
    target = torch.rand(camera.height, camera.width, 3, device=device)
    picture = torch.rand_like(target).requires_grad_()
    row["loss"] = median_ms(lambda: photometric_loss(picture, target).backward(), tiny=tiny)
    if n <= MAPS_AT_MOST:
        row |= maps(gaussians, camera, target, tiny)
    try:
        peer = pass_times(Gsplat().rasterize, gaussians, camera, tiny)
    except VedutaError as error:
        row["gsplat"] = error.problem
    else:
        row |= {"gsplat forward": peer[0], "gsplat both": peer[1], "both / gsplat": both / peer[1]}
    return row


def same_bits(draw: Draw, gaussians: Gaussians, camera: Cameras) -> bool:
    """Whether two runs give the same gradients to the last bit."""

    def gradients() -> list[Tensor]:
        given = gaussians.map(lambda t: t.detach().requires_grad_())
        render = draw(given, camera)
        random_loss(render.to("cpu"), torch.zeros(1, camera.height, camera.width, dtype=torch.bool)).backward()
        found = (given.means.grad, given.quats.grad, given.scales.grad, given.opacities.grad, given.sh.grad)
        return [gradient for gradient in found if gradient is not None]

    return all(torch.equal(one, other) for one, other in zip(gradients(), gradients(), strict=True))


def maps(gaussians: Gaussians, camera: Cameras, photograph: Tensor, tiny: bool) -> dict[str, float]:
    """Evidence of all :data:`VIEWS`, and one map of variance, in plain forwards of the same views."""
    views = side_by_side(camera, TINY_VIEWS if tiny else VIEWS)

    def told() -> Tensor:
        evidence = None
        for view in views:
            moments = screen_moments(gaussians, view, photograph=photograph, backend="cuda")
            own = screen_pull(gaussians, view, moments.fisher, backend="cuda")
            evidence = own if evidence is None else evidence.add_(own)
        assert evidence is not None
        return evidence

    @torch.no_grad()
    def plain(seen: list[Cameras]) -> None:
        for view in seen:
            Cuda().rasterize(gaussians, view)

    blocks = told()
    spent = {
        "evidence of all": median_ms(told, tiny=tiny),
        "forward of all": median_ms(lambda: plain(views), tiny=tiny),
        "map": median_ms(lambda: screen_uncertainty(gaussians, camera, blocks, backend="cuda"), tiny=tiny),
        "forward": median_ms(lambda: plain(views[:1]), tiny=tiny),
    }
    return {
        "views": len(views),
        "evidence / forward": spent["evidence of all"] / spent["forward of all"],
        "map / forward": spent["map"] / spent["forward"],
    }


def floor(name: str, workload: Workload, bandwidth: float) -> dict[str, Any]:
    """The least time by :func:`traffic`, at so many GB/s, with the reference's counts; no GPU."""
    gaussians, camera = workload.gaussians, workload.camera
    pinholes, options = Pinholes.of(camera, torch.float32), RasterOptions()
    view, row = drawable(gaussians, pinholes, options=options, cutoffs=STANDARD).nonzero(as_tuple=True)
    splats = project(gaussians, pinholes, view, row, options=options, cutoffs=STANDARD)
    splats = splats.replace(extent_px=splats.extent_px - 0.5)  # a tile is touched where its pixels' centres are
    grid = Grid(images=1, width=camera.width, height=camera.height)
    pairs = len(touched_tiles(splats, view, grid, torch.arange(len(row)))[0])
    forward, both = traffic(len(gaussians), len(row), pairs, camera.width * camera.height)
    found = {"workload": name, "visible": len(row), "pairs": pairs, "GB forward": forward / 1e9, "GB both": both / 1e9}
    return found | {"ms forward": forward / bandwidth / 1e6, "ms both": both / bandwidth / 1e6}


def side_by_side(camera: Cameras, count: int) -> list[Cameras]:
    """The camera, and others beside it on a line, half a unit long."""
    views = []
    for step in torch.linspace(0, 0.5, count).tolist():
        pose = camera.world_from_camera.clone()
        pose[:, 0, 3] += step
        views.append(camera.replace(world_from_camera=pose))
    return views


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a few Gaussians only; nothing is written without --out")
    parser.add_argument("--out", type=Path, help="folder of the JSON (benchmarks/results)")
    parser.add_argument("--floor", type=float, metavar="GB/S", help="bandwidth of a GPU that is not here")
    arguments = parser.parse_args()
    if arguments.floor:
        rows = [rounded(floor(name, Workload.random(*size), arguments.floor)) for name, size in WORKLOADS.items()]
        print(table(list(rows[0]), [list(row.values()) for row in rows]))
        return
    if not gpu.available():
        parser.exit(2, f"the cuda backend cannot be used: {gpu.reason()}\n")
    device = gpu.device_type()
    print(facts())
    right, fast = [], []
    for name, size in (TINY if arguments.tiny else WORKLOADS).items():
        workload = Workload.random(*size)
        if name in ("1080p, 1 M", *TINY):
            right += correctness(name, workload, device, arguments.tiny)
            print(table(list(right[0]), [list(row.values()) for row in right]), flush=True)
        fast.append(rounded(speed(name, workload, device, arguments.tiny)))
        print(table(list(fast[-1]), [list(fast[-1].values())]), flush=True)
    out = arguments.out if arguments.out or arguments.tiny else RESULTS
    if out is not None:
        title = "GPU: ms per pass (medians), achieved GB/s, ratios"
        write(out / "gpu.json", title, fast, details={"machine": facts(), "correctness": right})


if __name__ == "__main__":
    main()
