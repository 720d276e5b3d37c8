"""Whether a fit at full size gives the same bits for any number of threads, the kernels' and torch's.

    python benchmarks/threads.py ../shared/data            # short fits of 100,000 Gaussians, a few minutes
    python benchmarks/threads.py ../shared/data --whole    # two whole default fits besides, 7,000 steps each

Every fit is a process of its own on the fox capture; those of 200 steps run at full resolution and grow to their cap.
Compared byte for byte: the last checkpoint (raw parameters, Adam's moments, statistics, random streams), the finished
scene, and the scene at ten moments on the way, so that a difference is dated. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import RESULTS, table, write

CAPTURE = "compare/fox"
GAUSSIANS = 100_000
MOMENTS = 10
WHOLE = "defaults, 7,000 steps"
SHORT = "defaults, 1,000 steps"
THREADS = {
    "mcmc, 200 steps": ((1, 1), (2, 1), (1, 2), (2, 2)),
    "adaptive, exposure, sky, 200 steps": ((1, 1), (2, 1), (1, 2), (2, 2)),
    SHORT: ((1, 1), (2, 2)),
    WHOLE: ((1, 1), (2, 2)),
}
"""Of the kernels and of torch; the others are compared with the first."""
FIELDS = ("means", "quats", "scales", "opacities", "sh")


def plan_of(fit: str) -> Any:
    """The settings of one fit."""
    from veduta.fit import Adaptive, BackdropPlan, ExposurePlan, FitPlan, Mcmc

    if fit in (SHORT, WHOLE):
        steps = 1000 if fit == SHORT else 7000
        return FitPlan(steps=steps, log_every=steps // MOMENTS)
    # 200 steps must grow faster than 7,000 to get as far.
    short = FitPlan(
        steps=200, max_gaussians=GAUSSIANS, doublings=(), log_every=200 // MOMENTS, densify=Mcmc(growth=0.3)
    )
    if fit.startswith("mcmc"):
        return short
    return replace(
        short,
        densify=Adaptive(gradient_threshold=1e-5, absolute=True),
        backdrop=BackdropPlan(kind="sky"),
        exposure=ExposurePlan(enabled=True),
    )


def digest(tensors: dict[str, Any]) -> str:
    """Of names, shapes and bytes."""
    seen = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        seen.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        seen.update(tensor.detach().contiguous().numpy().tobytes())
    return seen.hexdigest()


def fit_once(fit: str, data: Path, *, kernel_threads: int, torch_threads: int) -> dict[str, Any]:
    """In this process: one fit, and what it came to."""
    import torch

    import veduta
    from veduta import kernels
    from veduta.fit import Event, Stepped
    from veduta.io.runs import RunFolder
    from veduta.io.tensors import load_tensors

    kernels.set_threads(kernel_threads)
    torch.set_num_threads(torch_threads)
    moments: dict[str, str] = {}
    counts: list[int] = []

    def keep(event: Event) -> None:
        if isinstance(event, Stepped):
            background = event.scene().background
            moments[str(event.step)] = digest({name: getattr(background, name) for name in FIELDS})
            counts.append(event.gaussians)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        veduta.fit(veduta.open_capture(data / CAPTURE), plan_of(fit), out=out, on_event=keep)
        run = RunFolder.open(out)
        latest = run.latest_checkpoint()
        assert latest is not None
        tensors, _ = load_tensors(latest)
        scene, _ = load_tensors(run.scene_path)
    return {
        "moments": moments,
        "gaussians": counts[-1],
        "checkpoint": digest(tensors),
        "tensors": {name: digest({name: tensor}) for name, tensor in tensors.items()},
        "scene": digest(scene),
    }


def differences(first: dict[str, Any], other: dict[str, Any]) -> str:
    """What is not the same, and since when; empty where everything is."""
    if first == other:
        return ""
    steps = [step for step in first["moments"] if first["moments"][step] != other["moments"].get(step)]
    names = [name for name in first["tensors"] if first["tensors"][name] != other["tensors"].get(name)]
    since = f"the scene from step {steps[0]} on" if steps else "no scene on the way"
    return f"{since}; in the checkpoint {', '.join(names) or 'nothing'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds compare/")
    parser.add_argument("--whole", action="store_true", help="whole default fits too")
    parser.add_argument("--only", default="", help="fits whose name contains this")
    parser.add_argument("--out", type=Path, default=RESULTS / "threads.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        fit, kernels, torchs = arguments.one
        found = fit_once(fit, arguments.data, kernel_threads=int(kernels), torch_threads=int(torchs))
        json.dump(found, sys.stdout)
        return
    rows: list[dict[str, Any]] = []
    for fit, settings in THREADS.items():
        if (fit == WHOLE and not arguments.whole) or arguments.only not in fit:
            continue
        results: list[dict[str, Any]] = []
        for kernels, torchs in settings:
            command = [sys.executable, __file__, str(arguments.data), "--one", fit, str(kernels), str(torchs)]
            results.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))
            row = {
                "fit": fit,
                "Gaussians": results[-1]["gaussians"],
                "kernels' threads": kernels,
                "torch's threads": torchs,
                "checkpoint": results[-1]["checkpoint"][:16],
                "scene": results[-1]["scene"][:16],
                "differs in": differences(results[0], results[-1]) or "no bit",
            }
            rows.append(row)
            print(", ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
            write(arguments.out, "Fit: the same bits for any number of threads", rows)
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    sys.exit(any(row["differs in"] != "no bit" for row in rows))


if __name__ == "__main__":
    main()
