"""Feed-forward models from end to end: seconds per stage, CPU seconds, peak memory, numbers of Gaussians.

    python benchmarks/feedforward_speed.py                     # full-size object and scene networks, the embedded one
    python benchmarks/feedforward_speed.py --only scene        # one of them; nothing written
    python benchmarks/feedforward_speed.py --device cuda       # milliseconds per stage and peak memory on a GPU

Every model runs in a process of its own, so that the peak of resident memory is its own. Full-size networks run under
artificial weights that are drawn by the tensors' names (the rule of ``tests/golden/rules.py``), on smooth noise seen by
four cameras around an object, or by two cameras a step apart. On a CPU, wall time needs idle cores; CPU seconds over
all threads are steadier. On a GPU the second of two runs counts, and every stage ends when the device has finished.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, table, write
from torch import Tensor, nn
from torch.nn.functional import interpolate

from veduta import kernels
from veduta.core import Cameras, Views
from veduta.feedforward import FeedForward, Prediction, models
from veduta.feedforward.checkpoints import embedded
from veduta.feedforward.lara import cell_centres
from veduta.feedforward.published import PUBLISHED, expected_shapes, from_published
from veduta.feedforward.small_weights import EMBEDDED
from veduta.geometry import look_at

sys.path.append(str(Path(__file__).parents[1]))
from tests.golden.rules import weight

MODELS = ("object", "scene", "embedded")
BUFFERS = {
    "frequencies": lambda: 2.0 ** torch.arange(15),
    "volume_grid": lambda: cell_centres(16),
    "group_centers": lambda: cell_centres(64).flatten(0, 2)[None],
}
"""What is not drawn by name."""
STAGES: dict[str, dict[str, str]] = {
    "object": {
        "image encoder": "backbone.net.img_encoder",
        "volume transformer": "backbone.net.vol_decoder",
        "backbone": "backbone",
        "fine features": "densifier.fine",
        "stage 1": "densifier.densifier.dec.0",
        "stage 2": "densifier.densifier.dec.1",
        "densifier": "densifier",
    },
    "scene": {
        "image features": "backbone.net.backbone",
        "depth": "backbone.net.depth_predictor",
        "backbone": "backbone",
        "stage 1": "densifier.point_decoder.dec.0",
        "stage 2": "densifier.point_decoder.dec.1",
        "stage 3": "densifier.point_decoder.dec.2",
        "densifier": "densifier",
    },
    "embedded": {"backbone": "backbone", "densifier": "densifier"},
}
"""Modules that are timed, by the names that are told."""
LOOK = "drawn, compared, gradients"


@dataclass
class Clock:
    """Seconds spent between begin and end of named stages, which add up over calls."""

    device: str
    spent: dict[str, float] = field(default_factory=dict)

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def watch(self, module: nn.Module, name: str) -> None:
        """Time every call of a module."""

        def before(*_: Any) -> None:
            self.spent[name] = self.spent.get(name, 0.0) - self.now()

        def after(*_: Any) -> None:
            self.spent[name] += self.now()

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    def wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Time every call of a function."""

        def timed(*args: Any, **named: Any) -> Any:
            began = self.now()
            result = function(*args, **named)
            self.spent[name] = self.spent.get(name, 0.0) + self.now() - began
            return result

        return timed


def full_size(kind: str) -> FeedForward:
    """A published model under the artificial weights."""
    state: dict[str, Tensor] = {}
    for key, shape in expected_shapes(kind).items():
        made = BUFFERS.get(key.rpartition(".")[2])
        state[key] = weight(key, shape) if made is None else made()
    model = PUBLISHED[kind].outline()
    model.load_state_dict(from_published(kind, state), assign=True)
    return model.eval()


def pictures(cameras: Cameras) -> Views:
    """Smooth noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(len(cameras), 3, cameras.height // 16, cameras.width // 16, generator=generator)
    rgb = interpolate(noise, size=(cameras.height, cameras.width), mode="bicubic").clamp(0, 1)
    return Views.of(cameras, rgb=rgb.permute(0, 2, 3, 1).contiguous())


def around(views: int, size: int) -> Cameras:
    """Around an object in [-0.5, 0.5]^3."""
    angle = torch.arange(views) * (2 * torch.pi / views)
    eyes = 1.75 * torch.stack([angle.cos(), angle.sin(), torch.full_like(angle, 0.3)], dim=1)
    poses = look_at(eyes, torch.zeros_like(eyes), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras.pinhole(poses, fx=1.5 * size, fy=1.5 * size, cx=size / 2, cy=size / 2, width=size, height=size)


def apart(size: int) -> Cameras:
    """A step apart, looking ahead."""
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 0, 3] = 0.3
    return Cameras.pinhole(poses, fx=0.9 * size, fy=0.9 * size, cx=size / 2, cy=size / 2, width=size, height=size)


def measure(kind: str, *, device: str, threads: int) -> dict[str, Any]:
    """One model from pictures to Gaussians, in this process."""
    kernels.set_threads(threads)
    torch.set_num_threads(threads)
    model = (embedded() if kind == "embedded" else full_size(kind)).to(device)
    side = model.intake.side_px
    views = pictures(around(4, side) if model.intake.masked else apart(side)).to(device)
    clock = Clock(device)
    for name, path in STAGES[kind].items():
        clock.watch(model.get_submodule(path), name)
    models.look = clock.wrap(models.look, LOOK)  # pyright: ignore[reportPrivateImportUsage]
    if device == "cuda":
        predicted(model, views)
        clock.spent.clear()
    began, began_cpu = clock.now(), time.process_time()
    made = predicted(model, views)
    seconds, cpu_seconds = clock.now() - began, time.process_time() - began_cpu
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "model": kind,
        "parameters": sum(p.numel() for p in model.parameters()),
        "views": f"{len(views)} x {side}^2",
        "device": device,
        "threads": threads,
        "seconds": seconds,
        "CPU seconds": cpu_seconds,
        "peak GB": torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else resident,
        "estimated GB": model.needed_bytes(views=len(views), pixels=side**2) / 1e9,
        "coarse": len(made.coarse),
        "Gaussians": len(made.fine),
        "stages": dict(clock.spent),
    }


@torch.no_grad()
def predicted(model: FeedForward, views: Views) -> Prediction:
    """What a model makes of the pictures; depths as scene models take them."""
    return model(views, near=1.0, far=100.0)


def in_a_process(kind: str, *, device: str, threads: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, "--device", device, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS, help="one model; nothing is written")
    parser.add_argument("--measure", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "feedforward_speed.json")
    arguments = parser.parse_args()
    chosen = {"device": arguments.device, "threads": arguments.threads}
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure, **chosen)))
        return
    there = [kind for kind in MODELS if kind != "embedded" or EMBEDDED.is_file()]
    kinds = there if arguments.only is None else [arguments.only]
    found = [in_a_process(kind, **chosen) for kind in kinds]
    rows = [{key: value for key, value in each.items() if key != "stages"} for each in found]
    stages = [
        {"model": each["model"], "stage": name, "seconds": spent}
        for each in found
        for name, spent in each["stages"].items()
    ]
    for part in (rows, stages):
        print(table(list(part[0]), [list(row.values()) for row in part]), end="\n\n")
    if arguments.only is None:
        write(arguments.out, "Feed-forward models from photographs to Gaussians", rows, stages=stages)


if __name__ == "__main__":
    main()
