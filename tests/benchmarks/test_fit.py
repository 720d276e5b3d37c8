"""The benchmark of fits does what its rows say."""

from __future__ import annotations

from pathlib import Path

import fit
import pytest
import torch

from tests.cli.tiny import write_capture
from veduta import kernels


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one capture; the threads of this process stay as they are."""
    monkeypatch.setattr(kernels, "set_threads", lambda count: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    write_capture(tmp_path / "tiny")
    return tmp_path


def test_a_run_keeps_to_what_it_says(data: Path) -> None:
    found = fit.fit_once(fit.Run("tiny", "tiny", steps=20, most=40), data)
    assert found["gaussians"] <= 40
    assert found["peak_mib"] > 50
    assert found["psnr"] > 5


def test_the_limit_is_a_share_of_the_gpu(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    for total in (80e9, 4e9):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda total=total: (0, total))
        fit.fit_once(fit.Run("tiny", "tiny", steps=1, limit_gb=8), data)
    assert shares == [pytest.approx(0.1), 1.0]


def test_what_is_open_on_a_gpu_has_a_run(root: Path) -> None:
    named = {run.name: run for run in fit.ON_GPU}
    on_gpu, on_cpu = named["fox 7,000 on the GPU"], named["fox 7,000 on the CPU"]
    assert (on_gpu.capture, on_gpu.steps, on_gpu.seed) == (on_cpu.capture, on_cpu.steps, on_cpu.seed)
    assert (on_gpu.device, on_cpu.device) == ("cuda", "cpu")
    assert "fit.py DATA --gpu" in (root / "docs" / "benchmarks.md").read_text()
