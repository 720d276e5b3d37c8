"""The scene densifier, all stages of all views, against reference tensors."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.golden.conftest import GOLDEN
from tests.golden.inputs import made_input
from tests.golden.rules import fill
from tests.golden.test_mvsplat import cameras_of
from veduta.feedforward.compatibility import SCENE
from veduta.feedforward.samples import normalized_places, point_samples
from veduta.feedforward.scene import SCENE_PLAN, SceneDensifier, rows_by_view

SIDE = 32


@pytest.fixture(scope="module")
def net() -> SceneDensifier:
    plan = dataclasses.replace(SCENE_PLAN, gate="softmax", shared_cells="first")
    made = SceneDensifier(plan, compatibility=SCENE).eval()
    fill(made, "")
    return made


def test_keys_and_shapes_are_the_published_ones(golden, net: SceneDensifier) -> None:
    golden("08_scene_gd_2views")
    lines = (GOLDEN / "keys" / "scene_gd.tsv").read_text().splitlines()[1:]
    listed = dict(line.split("\t")[:2] for line in lines if not line.startswith("encoder."))
    assert {key: "x".join(map(str, value.shape)) for key, value in net.state_dict().items()} == listed
    assert sum(p.numel() for p in net.parameters()) == 15_686_157 + 157_600


@pytest.mark.parametrize(
    ("name", "folder", "views", "every"),
    [
        ("08_scene_gd_2views", "08", 2, 4),
        ("08c_scene_gd_3views", "08c", 3, 32),
    ],
)
@torch.no_grad()
def test_every_view(golden, net: SceneDensifier, name: str, folder: str, views: int, every: int) -> None:
    told = golden(name)
    cameras = cameras_of(told["extrinsics"], told["intrinsics"], SIDE, SIDE)
    shape = (views, SIDE * SIDE)

    def given(part: str, *size: int) -> torch.Tensor:
        return made_input(f"input/{folder}/{part}").reshape(views, *size)

    samples = point_samples(
        *normalized_places(told["coarse_mean"][0], cameras),
        images=given("image", 3, SIDE, SIDE).permute(0, 2, 3, 1),
        drawn=given("render_color", 3, SIDE, SIDE).permute(0, 2, 3, 1),
        alpha=given("render_alpha", SIDE, SIDE),
        depth=given("render_depth", SIDE, SIDE),
        outside="border",
    )
    told.check("point_samples", samples[..., ::8])
    selected = told["selected"].bool().reshape(shape)
    means, raw = told["coarse_mean"].reshape(*shape, 3), given("raw_features", SIDE * SIDE, 163)
    rows = rows_by_view(selected.flatten().nonzero()[:, 0], torch.arange(selected.numel()) // SIDE**2, views)
    stages = net.points(means.flatten(0, 1), raw.flatten(0, 1), rows, samples, cameras)
    sizes = {"cov": (3, 3), "sh": (3, 25), "opacity": ()}
    passed = {part: given(part, SIDE * SIDE, *size) for part, size in sizes.items()}
    union: dict[str, list[torch.Tensor]] = {"mean": [], "covariance": [], "harmonics": [], "opacity": []}
    for view in range(views):
        rest = ~selected[view]
        for points in stages[view]:
            union["mean"].append(points.means)
            union["covariance"].append(points.covariances())
            union["harmonics"].append(points.published_harmonics())
            union["opacity"].append(points.opacities)
        union["mean"].append(means[view][rest])
        union["covariance"].append(passed["cov"][view][rest])
        union["harmonics"].append(passed["sh"][view][rest])
        union["opacity"].append(passed["opacity"][view][rest])
    joined = {part: torch.cat(values) for part, values in union.items()}
    told.check("union.mean", joined["mean"])
    told.check("union.opacity", joined["opacity"])
    told.check("union.covariance", joined["covariance"][::every])
    told.check("union.harmonics", joined["harmonics"][::every])
