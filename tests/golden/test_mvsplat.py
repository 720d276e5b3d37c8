"""MVSplat, and the heads of the scene densifier, against reference tensors."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from tests.golden.conftest import GOLDEN, Golden
from tests.golden.rules import fill
from veduta.core import Cameras
from veduta.feedforward.decode import ScenePoints, densified_gaussians, pixel_gaussians
from veduta.feedforward.densify import Head
from veduta.feedforward.mvsplat import MvsplatNet, cost_volume
from veduta.geometry import matrix_from_quat


def cameras_of(poses: torch.Tensor, intrinsics: torch.Tensor, width: int, height: int) -> Cameras:
    """Cameras of intrinsics that are given in units of the picture."""
    scale = torch.tensor([width, height, 1.0])
    matrices = (intrinsics * scale[:, None]).expand(len(poses), 3, 3)
    return Cameras(poses, matrices, torch.zeros(len(poses), dtype=torch.float64), width, height)


@pytest.fixture(scope="module")
def net() -> MvsplatNet:
    made = MvsplatNet(misplaced_mask=True).eval()
    fill(made, "encoder.")
    return made


def test_keys_and_shapes_are_the_published_ones(golden, net: MvsplatNet) -> None:
    golden("11_mvsplat_2views")
    lines = (GOLDEN / "keys" / "mvsplat.tsv").read_text().splitlines()[1:]
    listed = dict(line.split("\t")[:2] for line in lines)
    own = {f"encoder.{key}": "x".join(map(str, value.shape)) for key, value in net.state_dict().items()}
    assert own == listed
    assert sum(p.numel() for p in net.parameters()) == 11_955_734


@pytest.mark.parametrize("views", [2, 3])
@torch.no_grad()
def test_every_part(golden, net: MvsplatNet, views: int) -> None:
    told: Golden = golden(f"11_mvsplat_{views}views")
    images = (told["images_u8"].float() / 255).permute(0, 3, 1, 2)
    cameras = cameras_of(told["extrinsics"], told["intrinsics"], 256, 256)
    alone, matched = net.backbone(images)
    told.check("cnn_features", alone[:, ::8, ::5, ::5])
    told.check("transformer_features", matched[:, ::8, ::5, ::5])
    cost = cost_volume(matched, cameras, near=1, far=100)
    told.check("cost_volume", cost[:, ::4, ::5, ::5])
    depth = net.depth_predictor
    coarse, certain = depth.coarse_disparity(matched, cost, near=1, far=100)
    full = interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=True)[:, 0]
    told.check("disparity_coarse_fullres", full[:, ::5, ::5])
    told.check("pmax_fullres", interpolate(certain, scale_factor=4)[:, 0, ::5, ::5])
    made = depth(images, alone, matched, cost, near=1, far=100)
    told.check("upsampled_features", made.features[:, ::9, ::9, 35::8].permute(0, 3, 1, 2))
    told.check("refine_unet_out", made.features[:, ::9, ::9, :32:2].permute(0, 3, 1, 2))
    told.check("disparity_refined", made.disparity[:, ::5, ::5])
    told.check("raw_gaussians", made.raw[:, ::13, ::13])
    told.check("gd_raw_features", made.features[:, ::17, ::17])
    told.check("opacity", made.opacity[:, ::9, ::9])
    decoded = [
        pixel_gaussians(made.raw[i], made.disparity[i], made.opacity[i], cameras[i], ray_distance=True)
        for i in range(views)
    ]
    told.check("mean", in_pictures([points.means for points in decoded])[:, ::9, ::9])
    told.check("covariance", in_pictures([points.covariances() for points in decoded])[:, ::9, ::9])
    told.check("harmonics", in_pictures([points.published_harmonics() for points in decoded])[:, ::13, ::13])


def in_pictures(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([value.unflatten(0, (256, 256)) for value in values])


@pytest.mark.parametrize(("stage", "feat", "size"), [(0, "feat", (256, 256)), (1, "feat_s1", (256, 192))])
@torch.no_grad()
def test_scene_head(golden, stage: int, feat: str, size: tuple[int, int]) -> None:
    told = golden("06b_head_scene")
    head = Head(told[feat].shape[1], 83)
    fill(head, f"point_decoder.dec.{stage}.head.")
    attributes = head(told[feat]) + (told["parent_attr"] if stage else 0)
    camera = cameras_of(told[f"extrinsics_s{stage}"][None], told["intrinsics"], *size)
    made = densified_gaussians(told["xyz"], attributes, camera)
    told.check(f"s{stage}.attr", attributes)
    told.check(f"s{stage}.mean", made.means)
    told.check(f"s{stage}.scale", made.scales)
    told.check(f"s{stage}.rotation_xyzw", made.quats[:, [1, 2, 3, 0]])
    told.check(f"s{stage}.covariance", made.covariances())
    told.check(f"s{stage}.harmonics", made.published_harmonics())
    told.check(f"s{stage}.opacity", made.opacities)
    check_gaussians(made)


def check_gaussians(made: ScenePoints) -> None:
    """The same shapes and places as Gaussians of ours."""
    gaussians = made.gaussians(e3nn_signs=True)
    axes = matrix_from_quat(gaussians.quats) * gaussians.scales[:, None]
    assert torch.allclose(axes @ axes.mT, made.covariances(), rtol=1e-3, atol=1e-7)
    assert torch.equal(gaussians.means, made.means)
    assert gaussians.sh.shape == (len(made.means), 16, 3)
