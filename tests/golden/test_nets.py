"""The blocks of ``veduta.nets`` against reference tensors, under the artificial weights."""

from __future__ import annotations

import csv

import pytest
import torch

from tests.golden.conftest import GOLDEN
from tests.golden.rules import fill, weight
from veduta.nets import Block, Points, Split, SubmanifoldConv, Upsample, grid_cells, grid_depth, serialize


def test_weights_are_rebuilt(golden) -> None:
    golden("02_submconv")
    with (GOLDEN / "weight_checksums.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if ".dec." in row["key"]]
    assert len(rows) > 50
    for row in rows[::5]:
        found = weight(row["key"], tuple(int(size) for size in row["shape"].split("x"))).double().flatten()
        assert float(found.sum()) == pytest.approx(float(row["sum"]), rel=1e-8, abs=1e-8), row["key"]
        assert float(found.square().sum()) == pytest.approx(float(row["sum_of_squares"]), rel=1e-10), row["key"]


@pytest.mark.parametrize("depth", range(1, 17))
def test_codes(golden, depth: int) -> None:
    told = golden("01_serialization")
    codes, _ = serialize(told["base_coord16"].long() >> (16 - depth), told["batch"], depth)
    told.check(f"codes_d{depth:02d}", codes)


def test_container(golden) -> None:
    told = golden("01b_container")
    cells = grid_cells(told["coord"], 1 / 64)
    depth = grid_depth(cells)
    codes, orders = serialize(cells, told["batch"], depth)
    told.check("grid_coord", cells)
    told.check("depth", torch.tensor([depth]))
    told.check("code", codes)
    told.check("order", orders)
    told.check("inverse", orders.argsort(dim=1))


@pytest.mark.parametrize("kind", ["dedup", "dup"])
def test_sparse_convolution(golden, kind: str) -> None:
    told = golden("02_submconv")
    conv = SubmanifoldConv(8, 12, shared_cells="first")
    with torch.no_grad():
        conv.weight.copy_(told["weight"])
        conv.bias.copy_(told["bias"])
    told.check(f"out_{kind}", conv(told[f"feat_{kind}"], told[f"coord_{kind}"].long(), told[f"batch_{kind}"].long()))


CASES = ("n20", "n48", "n100", "n1000", "batch60_100", "batch30_100", "n100_dup", "n100_block1")


@pytest.mark.parametrize("case", CASES)
def test_block(golden, case: str) -> None:
    told = golden("03_block_c160")
    which = 1 if case == "n100_block1" else 0
    block = Block(160, 20, curve=which, shared_cells="first").eval()
    fill(block, f"net.dec.0.block{which}.")
    counts = told[f"{case}.offset"].diff(prepend=torch.zeros(1, dtype=torch.long))
    points = Points.along_curves(told[f"{case}.coord"], counts, 1 / 64)
    told.check(f"{case}.grid_coord", points.cells)
    told.check(f"{case}.order_rows", points.orders)
    told.check(f"{case}.out", block(told[f"{case}.feat"], points))


@pytest.mark.parametrize(
    ("file", "case", "prefix", "sizes", "reach"),
    [
        ("04_up_object", "obj_s0", "net.dec.0.up.", (160, 256, 2), 0.5),
        ("04_up_object", "obj_s1", "net.dec.1.up.", (256, 256, 4), 0.5),
        ("04b_up_scene", "s0", "point_decoder.dec.0.up.", (320, 256, 2), 0.1),
        ("04b_up_scene", "s1", "point_decoder.dec.1.up.", (256, 128, 2), 0.1),
    ],
)
def test_upsampling(golden, file: str, case: str, prefix: str, sizes: tuple[int, int, int], reach: float) -> None:
    told = golden(file)
    up = Upsample(*sizes, reach=reach).eval()
    fill(up, prefix)
    scene = file == "04b_up_scene"
    feat = "feat_s1" if scene and case == "s1" else "feat" if scene else f"{case}.feat"
    size = {"s0": 0.01, "s1": 0.005}[case] if scene else float(told[f"{case}.grid_size"])
    coords, features = up(told["coord" if scene else f"{case}.coord"], told[feat], size)
    told.check(f"{case}.coord_out", coords)
    told.check(f"{case}.feat_out", features)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
@pytest.mark.parametrize("scores", ["fixed", "net"])
def test_split(golden, gate: str, scores: str) -> None:
    told = golden("05_split")
    name = f"{'plain' if gate == 'sigmoid' else 'residual'}.{scores}"
    split = Split(256, 0.8, gate=gate)
    fill(split, "net.dec.0.mask.")
    counts = told["offset"].diff(prepend=torch.zeros(1, dtype=torch.long))
    features = told["feat"].clone().requires_grad_()
    given = told["score"][:, 0].clone().requires_grad_()
    parting = split(features, counts) if scores == "net" else split.part(features, given, counts)
    (told["upstream"] * parting.features).sum().backward()
    told.check(f"{name}.feat_ste", parting.features)
    told.check(f"{name}.leaf_index", parting.leaves)
    told.check(f"{name}.non_leaf_index", parting.goes_on)
    told.check(f"{name}.grad_feat", features.grad)
    if scores == "fixed":
        told.check(f"{name}.grad_score", given.grad[:, None])
    else:
        told.check(f"{name}.raw_score", split.net(told["feat"]))
        told.check(f"{name}.grad_net.0.bias", split.net[0].bias.grad)
        told.check(f"{name}.grad_net.0.weight", split.net[0].weight.grad[::8, ::8])
        told.check(f"{name}.grad_net.2.weight", split.net[2].weight.grad)


def test_split_of_scenes(golden) -> None:
    told = golden("05b_split_scene")
    features = told["feat"].clone().requires_grad_()
    scores = told["score"][:, 0].clone().requires_grad_()
    counts = told["offset"].diff(prepend=torch.zeros(1, dtype=torch.long))
    parting = Split(features.shape[1], 0.5, gate="softmax").part(features, scores, counts)
    (told["upstream"] * parting.features).sum().backward()
    told.check("leaf_index", parting.leaves)
    told.check("non_leaf_index", parting.goes_on)
    told.check("grad_feat", features.grad)
    told.check("grad_score", scores.grad[:, None])
