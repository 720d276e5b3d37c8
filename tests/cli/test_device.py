"""``--device``: what is told where there is no GPU, or one that is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.conftest import Veduta
from veduta.cli import eval as eval_verb
from veduta.kernels import gpu

REASON = "torch 2.13.0+cpu has no CUDA: install a CUDA build of torch (pytorch.org, Get Started)"


@pytest.mark.parametrize("verb", ["fit", "eval", "render", "gain", "calibrate", "next-view", "trust", "view"])
def test_a_gpu_that_is_not_there(
    verb: str, veduta: Veduta, run: Path, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_attempt", lambda: ("", REASON))
    words = {"fit": [capture, "-o", tmp_path / "new"], "trust": [run, tmp_path / "x.ply"]}.get(verb, [run])
    outcome = veduta(verb, *words, "--device", "cuda")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert lines[0] == f"error: device 'cuda': no GPU can be used: got {REASON}"
    assert lines[1].startswith("hint: Put that right, or use --device cpu")
    assert not (tmp_path / "new").exists()


def test_a_gpu_that_is_full(veduta: Veduta, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1 MiB"
        )

    monkeypatch.setattr(eval_verb, "evaluate", full)
    outcome = veduta("eval", run)
    assert outcome.code == 2
    assert outcome.err.splitlines()[0] == (
        "error: device 'cuda': the GPU's memory is full: got 2.00 GiB more than is free of 7.79 GiB in all"
    )
    assert "--device cpu" in outcome.err


def test_other_errors_pass_through(veduta: Veduta, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(eval_verb, "evaluate", wrong)
    with pytest.raises(RuntimeError, match="a mistake"):
        veduta("eval", run)


def test_doctor_tells_of_the_gpu(veduta: Veduta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_attempt", lambda: ("", REASON))
    outcome = veduta("doctor")
    assert f"GPU: none to be used: {REASON}" in outcome.out
    assert "computing on cpu" in outcome.out
