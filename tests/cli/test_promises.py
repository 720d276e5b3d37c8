"""Promises kept by whole processes and files: a killed run loses little, and what is exported looks the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData

from tests.cli.conftest import Veduta
from veduta.core import Cameras, Gaussians
from veduta.data import open_capture
from veduta.io.ply import read_ply
from veduta.io.scenes import load_scene
from veduta.render import rasterize, render_scene

STEPS = 400
COMMAND = "import sys; from veduta.cli import main; sys.exit(main())"
PATIENCE_S = 120


def test_a_killed_run_goes_on_from_its_last_checkpoint(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    """kill -9 in the middle; the resumed run ends with the bits of one that nobody disturbed."""
    settings = ["--steps", str(STEPS), "--threads", "1", "--plan.checkpoint-every", "350"]  # of 7,000: every 20 steps
    killed, quiet = tmp_path / "killed", tmp_path / "quiet"
    arguments = [sys.executable, "-c", COMMAND, "fit", str(capture), "-o", str(killed), *settings]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not list(killed.glob("checkpoints/*.safetensors")):
        assert process.poll() is None, "the fit ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "scene.safetensors").exists(), "the fit was over before it was killed"
    assert veduta("fit", capture, "-o", killed, "--resume", "--threads", "1").code == 0
    assert veduta("fit", capture, "-o", quiet, *settings).code == 0
    one, other = (load_scene(folder / "scene.safetensors").background for folder in (killed, quiet))
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_what_another_program_reads_looks_the_same(veduta: Veduta, capture: Path, run: Path, tmp_path: Path) -> None:
    """The exported PLY, read by plyfile with the format's own formulas, drawn again."""
    assert veduta("export", run, tmp_path / "scene.ply").code == 0
    vertex = PlyData.read(tmp_path / "scene.ply")["vertex"]

    def columns(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(vertex[name]) for name in names], axis=1))

    rest = [p.name for p in vertex.properties if p.name.startswith("f_rest_")]
    colour = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:  # channel by channel
        ordered = sorted(rest, key=lambda name: int(name.removeprefix("f_rest_")))
        colour = torch.cat([colour, columns(*ordered).reshape(len(colour), 3, -1).transpose(1, 2)], dim=1)
    gaussians = Gaussians(
        means=columns("x", "y", "z"),
        quats=torch.nn.functional.normalize(columns("rot_0", "rot_1", "rot_2", "rot_3"), dim=1),
        scales=columns("scale_0", "scale_1", "scale_2").exp(),
        opacities=columns("opacity")[:, 0].sigmoid(),
        sh=colour.contiguous(),
    )
    scene = load_scene(run / "scene.safetensors")
    views = open_capture(capture).train
    for i in range(len(views)):
        expected = render_scene(scene, views[i].cameras)
        found = rasterize(gaussians, views[i].cameras)
        assert expected.alpha.max() > 0.5
        assert (found.color - expected.color).abs().max() < 1e-4


def test_a_model_trained_by_the_original_draws(shared_data: Path) -> None:
    gaussians = read_ply(shared_data / "splats" / "inria_sh3_9k.ply")
    assert len(gaussians) == 9080
    assert gaussians.sh_degree == 3
    centre = gaussians.means.median(dim=0).values
    distance = 2.5 * (gaussians.means - centre).norm(dim=1).median()
    pose = torch.eye(4)
    pose[:3, 3] = centre - torch.tensor([0.0, 0.0, float(distance)])
    camera = Cameras.pinhole(pose[None], fx=200.0, fy=200.0, cx=100.0, cy=75.0, width=200, height=150)
    drawn = rasterize(gaussians, camera)
    assert drawn.color.isfinite().all()
    assert drawn.alpha.mean() > 0.2
    assert drawn.color.std() > 0.05
