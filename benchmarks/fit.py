"""Quality against time of `fit` on real captures, held-out photographs, one set of defaults.

    python benchmarks/fit.py ../shared/data                  # every run below, about an hour on 2 cores
    python benchmarks/fit.py ../shared/data --only fox       # runs whose name contains a word
    python benchmarks/fit.py ../shared/data --show           # the table of what was measured before
    python benchmarks/fit.py ../shared/data --gpu            # fits on a GPU, and one on the CPU beside; gpu_fit.json

Each run is a process of its own; its CPU seconds are those of the fit (reading photographs included), its memory is the
peak resident set. Scores are PSNR and SSIM (11x11 Gaussian window, windows inside the picture) of renders clamped to
0..1 and rounded to 8 bits, averaged over held-out photographs. Results are kept in fit.json, run by run, so that an
interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import RESULTS, commit, table, write

PEER = {
    "fox 2,000 full": (801, 28.03, 0.860),
    "fox 7,000 as peer": (1346, 30.43, 0.890),
    "llff_fern 2,000 full": (505, 25.45, 0.811),
    "m360_kitchen_sparse 2,000 full": (441, 17.67, 0.515),
    "m360_kitchen_sparse 7,000 as peer": (1139, 18.20, 0.616),
}
"""A repaired OpenSplat 1.1.5 on one thread: CPU seconds, PSNR, SSIM on the same pictures (single runs)."""
MEASURED = ("psnr", "ssim", "cpu_s", "wall_s", "peak_mib", "gaussians")
PEER_DOUBLINGS = (3 / 7, 6 / 7)
"""The peer's default: a quarter size until step 3,000 and half size until 6,000 of 7,000."""


@dataclass(frozen=True)
class Run:
    """One fit and its evaluation."""

    name: str
    capture: str
    steps: int = 7000
    threads: int = 2
    schedule: str = "default"
    seed: int = 0
    max_size: int | None = None
    """Longer side of the photographs, in pixels; None: as they are."""
    device: str = "cpu"
    most: int | None = None
    """Gaussians; None: as by default."""
    limit_gb: float | None = None
    """Memory of the GPU that it may use; None: all of it."""


EQUAL = [
    Run("fox 2,000 full", "compare/fox", steps=2000, threads=1, schedule="full"),
    Run("llff_fern 2,000 full", "compare/llff_fern", steps=2000, threads=1, schedule="full"),
    Run("fox 7,000 as peer", "compare/fox", threads=1, schedule="peer"),
    *(
        Run("m360_kitchen_sparse 7,000 as peer", "compare/m360_kitchen_sparse", threads=1, schedule="peer", seed=s)
        for s in range(5)
    ),
]
DEFAULTS = [
    Run("fox 7,000 defaults", "compare/fox"),
    *(
        Run(f"{path.split('/')[-1]} 7,000 defaults", path, threads=1)
        for path in (
            "compare/llff_fern",
            "compare/m360_kitchen_sparse",
            "static/ramen_table",
            "static/sceaux_castle",
            "static/vrnerf_apartment",
        )
    ),
    Run("vrnerf_apartment 2,000 defaults", "static/vrnerf_apartment", 2000, threads=1),
    Run("sceaux_castle 7,000 defaults, at most 480 px", "static/sceaux_castle", threads=1, max_size=480),
    Run("vrnerf_apartment 2,000 fast, at most 480 px", "static/vrnerf_apartment", 2000, threads=1, max_size=480),
]
ON_GPU = [
    Run("fox 7,000 on the GPU", "compare/fox", device="cuda"),
    Run("fox 7,000 on the CPU", "compare/fox"),
    Run("vrnerf_apartment 30,000, 1 M Gaussians, in 8 GB", "static/vrnerf_apartment", 30_000, device="cuda",
        most=1_000_000, limit_gb=8),
]  # fmt: skip


def peak_mib(device: str) -> float:
    """The most that was held at once: main memory, or on the GPU what torch set aside."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit_once(run: Run, data: Path) -> dict[str, float]:
    """In this process: fit, evaluate, and say what it took."""
    import torch

    import veduta
    from veduta import kernels
    from veduta.fit import FitPlan
    from veduta.measure import psnr, ssim
    from veduta.render import render_scene

    kernels.set_threads(run.threads)
    torch.set_num_threads(run.threads)
    plan = FitPlan(steps=run.steps, seed=run.seed)
    if run.schedule != "default":
        plan = replace(plan, doublings=() if run.schedule == "full" else PEER_DOUBLINGS)
    if run.most is not None:
        plan = replace(plan, max_gaussians=run.most)
    if run.limit_gb is not None:
        torch.cuda.set_per_process_memory_fraction(min(1.0, run.limit_gb * 1e9 / torch.cuda.mem_get_info()[1]))
    capture = veduta.open_capture(data / run.capture, max_size=run.max_size)
    width, height = capture.test[0].cameras.width, capture.test[0].cameras.height
    cpu, wall = time.process_time(), time.perf_counter()
    scene = veduta.fit(capture, plan, device=run.device)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = peak_mib(run.device)
    scores = []
    for i in range(len(capture.test)):
        views = capture.test[i]
        with torch.no_grad():
            color = (render_scene(scene, views.cameras).color.clamp(0, 1) * 255).round() / 255
        scores.append((float(psnr(color, views.rgb, views.weight)[0]), float(ssim(color, views.rgb, views.weight)[0])))
    mean = [sum(column) / len(scores) for column in zip(*scores, strict=True)]
    return {
        "psnr": mean[0],
        "ssim": mean[1],
        "held_out": len(scores),
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_mib": peak,
        "gaussians": len(scene.background),
        "width": width,
        "height": height,
    }


def by_run(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One flat row per run; seeds of one run are joined to mean and spread (largest minus smallest)."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results.values():
        groups.setdefault(result["name"], []).append(result)
    rows = []
    for name, group in groups.items():
        mean = {key: sum(r[key] for r in group) / len(group) for key in MEASURED}
        spread = max(r["psnr"] for r in group) - min(r["psnr"] for r in group)
        peer_cpu, peer_psnr, peer_ssim = PEER.get(name, (None, None, None))
        rows.append(
            {
                "run": name,
                "pixels": f"{group[0]['width']}x{group[0]['height']}",
                "threads": group[0]["threads"],
                "PSNR": round(mean["psnr"], 2),
                "spread": f"{spread:.2f} over {len(group)} seeds" if len(group) > 1 else "",
                "SSIM": round(mean["ssim"], 3),
                "CPU s": round(mean["cpu_s"]),
                "wall s": round(mean["wall_s"]),
                "peak MiB": round(mean["peak_mib"]),
                "Gaussians": round(mean["gaussians"]),
                "peer: PSNR / SSIM / CPU s": "" if peer_cpu is None else f"{peer_psnr} / {peer_ssim} / {peer_cpu}",
                "CPU s / peer's": "" if peer_cpu is None else round(mean["cpu_s"] / peer_cpu, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds compare/ and static/")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--again", action="store_true", help="measure again what is already there")
    parser.add_argument("--show", action="store_true", help="only print the table")
    parser.add_argument("--gpu", action="store_true", help="measure fits on a GPU instead")
    parser.add_argument("--out", type=Path, help="fit.json or gpu_fit.json among the results")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    runs = ON_GPU if arguments.gpu else [*EQUAL, *DEFAULTS]
    if arguments.one is not None:
        json.dump(fit_once(runs[arguments.one], arguments.data), sys.stdout)
        return
    arguments.out = arguments.out or RESULTS / ("gpu_fit.json" if arguments.gpu else "fit.json")
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    for index, run in enumerate(runs):
        key = f"{run.name} seed {run.seed}"
        if arguments.show or arguments.only not in key or (key in stored["runs"] and not arguments.again):
            continue
        command = [sys.executable, __file__, str(arguments.data), "--one", str(index)]
        command += ["--gpu"] if arguments.gpu else []
        found = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        facts = {
            "name": run.name,
            "threads": run.threads,
            "steps": run.steps,
            "schedule": run.schedule,
            "device": run.device,
            "commit": commit(),
        }
        runs = json.loads(arguments.out.read_text())["runs"] if arguments.out.exists() else {}  # another may have added
        runs[key] = facts | json.loads(found.stdout)
        stored["runs"] = runs
        write(arguments.out, "Fit: held-out quality against time", by_run(runs), runs=runs)
        print(f"{key}: {stored['runs'][key]['psnr']:.2f} dB, {stored['runs'][key]['cpu_s']:.0f} CPU s", flush=True)
    rows = by_run(stored["runs"])
    print(table(list(rows[0]), [list(row.values()) for row in rows]))


if __name__ == "__main__":
    main()
