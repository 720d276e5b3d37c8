"""The whole object densifier against reference tensors."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.golden.conftest import GOLDEN
from tests.golden.rules import fill
from veduta.core import Gaussians
from veduta.feedforward import Densifier, DensifierPlan, object_gaussians
from veduta.feedforward.densify import Head

PLAIN = DensifierPlan(shared_cells="first")
RESIDUAL = dataclasses.replace(PLAIN, residual=True, gate="softmax", grid_size=1 / 32)
"""Works in coordinates twice as large."""


@pytest.mark.parametrize(
    ("file", "plan", "scale"), [("07_object_gd_plain", PLAIN, 1), ("07_object_gd_residual", RESIDUAL, 2)]
)
@torch.no_grad()
def test_object_densifier(golden, file: str, plan: DensifierPlan, scale: int) -> None:
    told = golden(file)
    densifier = Densifier(plan).eval()
    fill(densifier, "net.")
    stages = densifier(scale * told["coord"], told["feat"], torch.tensor([600]))
    for index, leaves in enumerate(stages):
        told.check(f"s{index}.leaf_coord", leaves.coords)
        told.check(f"s{index}.leaf_attr", leaves.attributes)
    made = Gaussians.cat([object_gaussians(leaves.coords / scale, leaves.attributes) for leaves in stages])
    told.check("union.mean", made.means)
    told.check("union.opacity", made.opacities[:, None])
    told.check("union.scale", made.scales)
    told.check("union.rotation_wxyz", made.quats)
    told.check("union.sh", made.sh)


@pytest.mark.parametrize(("case", "stage", "parent", "scale"), [("plain_s0", 0, False, 1), ("residual_s1", 1, True, 2)])
@torch.no_grad()
def test_object_head(golden, case: str, stage: int, parent: bool, scale: int) -> None:
    told = golden("06_head_object")
    head = Head(256, 20)
    fill(head, f"net.dec.{stage}.head.")
    attributes = head(told["feat"]) + (told["parent_attr"] if parent else 0)
    made = object_gaussians(told["coord"] / scale, attributes)
    told.check(f"{case}.attr", attributes)
    told.check(f"{case}.mean", made.means)
    told.check(f"{case}.opacity", made.opacities[:, None])
    told.check(f"{case}.scale", made.scales)
    told.check(f"{case}.rotation_wxyz", made.quats)
    told.check(f"{case}.sh", made.sh)


def test_keys_and_shapes_are_the_published_ones(golden) -> None:
    golden("07_object_gd_plain")
    lines = (GOLDEN / "keys" / "object_gd_plain.tsv").read_text().splitlines()
    listed = dict(line.split("\t")[:2] for line in lines if line.startswith("net.dec."))
    own = Densifier().state_dict()
    assert {f"net.{key}": "x".join(str(size) for size in value.shape) for key, value in own.items()} == listed
