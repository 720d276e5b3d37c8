"""Reference tensors of published models, and how close is close enough."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"


class Golden:
    """One file's tensors; :meth:`check` compares with the tolerance that the list of tensors gives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors = load_file(GOLDEN / f"{name}.safetensors")
        with (GOLDEN / "tensors.tsv").open() as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"] == name]
        self.tolerance = {row["tensor"]: row["suggested_atol"] for row in rows}

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def check(self, key: str, found: Tensor, *, slack: float = 1.0) -> None:
        """Compare; integers exactly. ``slack`` multiplies the tolerance."""
        expected = self.tensors[key]
        assert found.shape == expected.shape, f"{self.name}/{key}: {tuple(found.shape)} for {tuple(expected.shape)}"
        if not expected.is_floating_point():
            assert torch.equal(found.to(expected.dtype), expected), f"{self.name}/{key}"
            return
        error = float((found.detach() - expected).abs().max())
        allowed = slack * float(self.tolerance[key])
        assert error <= allowed, f"{self.name}/{key}: off by {error:.3g}, allowed {allowed:.3g}"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    """Opens a file of reference tensors; without them the test is skipped, visibly."""
    if not GOLDEN.is_dir():
        pytest.skip("no reference tensors: ../shared/golden is not there")
    opened: dict[str, Golden] = {}

    def open_once(name: str) -> Golden:
        if name not in opened:
            opened[name] = Golden(name)
        return opened[name]

    return open_once
