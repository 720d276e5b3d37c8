"""The GPU benchmark runs on a machine with only torch, triton and numpy; without a GPU, in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import pytest
import torch

pytest.importorskip("triton")

LIMIT = 1e-4
ONLY = """
import importlib.util, runpy, sys
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "jaxtyping" else there(name, package)
sys.argv = ["gpu.py", "--tiny", "--out", sys.argv[1]]
runpy.run_path("benchmarks/gpu.py", run_name="__main__")
others = {name.split(".")[0] for name in sys.modules} & set("scipy PIL safetensors rich tyro viser imageio".split())
assert not others, others
"""


@pytest.mark.slow
def test_it_runs_on_a_bare_machine_and_finds_the_backend_right(root: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root / 'benchmarks'}"}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", ONLY, tmp_path], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "gpu.json").read_text())
    (right,) = written["details"]["correctness"]
    errors = {name: float(value) for name, value in right.items() if name.startswith(("v_", "color", "whole"))}
    assert max(errors.values()) <= LIMIT, errors
    (row,) = written["rows"]
    assert row["same bits"]
    assert row["pairs"] > row["visible"] > 0
    assert row["views"] == 3
    assert row["GB/s forward"] > 0
    least = gpu.floor("tiny", gpu.Workload.random(*gpu.TINY["24x18, 20"]), 1000.0)
    assert (least["visible"], least["pairs"]) == (row["visible"], row["pairs"])
    assert 0 < least["ms forward"] < least["ms both"]
    assert "gsplat" in " ".join(row)


def test_it_says_why_it_cannot_run(root: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu.py"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the cuda backend cannot be used: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
