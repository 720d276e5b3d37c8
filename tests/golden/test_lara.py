"""LaRa, part by part, against reference tensors."""

from __future__ import annotations

import pytest
import torch

from tests.golden.conftest import GOLDEN, Golden
from tests.golden.inputs import made_input
from tests.golden.rules import fill, weight
from veduta.core import Cameras
from veduta.feedforward.dino import DinoEncoder, from_published, to_published
from veduta.feedforward.lara import LaraNet, Volume, VoxelDecoder
from veduta.feedforward.rays import RayNorm, pluecker, ray_harmonics
from veduta.feedforward.samples import FineFeatures, normalized_places, point_samples
from veduta.feedforward.volume import VolumeTransformer


@pytest.fixture(scope="module")
def net() -> LaraNet:
    """The object network under the artificial weights."""
    pytest.importorskip("transformers")
    made = LaraNet(half_pixel_shift=True).eval()
    encoder = encoder_weights()
    fill(made, "net.")
    made.img_encoder.load_state_dict(from_published(encoder), strict=False)
    return made


def encoder_weights() -> dict[str, torch.Tensor]:
    prefix = "net.img_encoder.model."
    rows = [line.split("\t") for line in (GOLDEN / "keys" / "object_gd_plain.tsv").read_text().splitlines()]
    listed = {row[0]: tuple(int(size) for size in row[1].split("x")) for row in rows if row[0].startswith(prefix)}
    return {key.removeprefix(prefix): weight(key, shape) for key, shape in listed.items()}


def cameras_of(told: Golden) -> Cameras:
    pose = told["c2w"] if "c2w" in told.tensors else torch.linalg.inv(told["w2c"])
    time = torch.zeros(4, dtype=torch.float64)
    return Cameras(world_from_camera=pose, intrinsics=told["intrinsics"], time=time, width=512, height=512)


def check_volume(told: Golden, volume: Volume, step: int) -> None:
    told.check("mean", volume.means[::step])
    told.check("sh", volume.sh[::step])
    told.check("log_scale", volume.log_scales[::step])
    told.check("rotation_raw", volume.quats[::step])
    told.check("opacity_logit", volume.opacity_logits[::step])


@torch.no_grad()
def test_rays(golden) -> None:
    told = golden("09a_ray_modln_lift")
    rays = pluecker(told["rays_down"][..., :3], told["rays_down"][..., 3:])
    told.check("plucker", rays[:, ::2, ::2])
    told.check("ray_sh", ray_harmonics(rays)[:, ::2, ::2])


@torch.no_grad()
def test_conditioned_norm_and_lifting(golden, net: LaraNet) -> None:
    told = golden("09a_ray_modln_lift")
    cameras = cameras_of(told)
    rays = net.ray_tokens(cameras)
    told.check("ray_sh", rays[:, ::2, ::2])
    norm = RayNorm()
    fill(norm, "net.dir_norm.")
    features = norm(made_input("input/09/img_feats").permute(0, 2, 3, 1), rays)
    told.check("modln_out", features[:, ::4, ::4, ::8])
    told.check("feat_vol", net.lift(features.permute(0, 3, 1, 2), cameras)[:, ::24, ::2, ::3, ::3])


@torch.no_grad()
def test_volume_transformer(golden) -> None:
    told = golden("09b_volume_transformer")
    transformer = VolumeTransformer().eval()
    fill(transformer, "net.vol_decoder.")
    kept: dict[str, torch.Tensor] = {}
    for index in (0, 5, 11):
        transformer.layers[index].register_forward_hook(
            lambda _module, _inputs, out, name=f"layer{index}": kept.update({name: out[0, ::8, ::5, ::5, ::5]})
        )
    out = transformer(made_input("input/09/feat_vol"))
    for name, found in kept.items():
        told.check(name, found)
    told.check("out", out[0, ::7, ::7, ::7])


@torch.no_grad()
def test_coarse_gaussians(golden) -> None:
    decoder = VoxelDecoder()
    fill(decoder, "net.decoder.")
    check_volume(golden("09c_coarse_decode"), decoder(made_input("input/09/vol_feat")[0]), 97)


@torch.no_grad()
def test_features_that_have_seen_the_photographs(golden) -> None:
    told = golden("09d_fine_sampling")
    samples = point_samples(
        *normalized_places(told["points"], cameras_of(told), half_pixel_shift=True),
        images=made_input("input/09/gt_rgb").permute(0, 2, 3, 1),
        drawn=made_input("input/09/render_rgb"),
        alpha=made_input("input/09/render_alpha").reshape(4, 512, 512),
        depth=made_input("input/09/render_depth").reshape(4, 512, 512),
    )
    told.check("point_samples", samples)
    rows = made_input("input/09/vol_feat_rows")
    finer = FineFeatures()
    fill(finer, "net.decoder.")
    fine, change = finer(rows, samples)
    told.check("f_fine", fine)
    told.check("delta_sh", change.flatten(1))
    told.check("sh_fine", change + made_input("input/09/sh_coarse"))
    told.check("gd_input", torch.cat([fine, rows], dim=1)[::4])


@torch.no_grad()
def test_original_lara(golden) -> None:
    told = golden("09f_lara_original_decode")
    decoder, finer = VoxelDecoder(per_voxel=2, axes=2), FineFeatures(heads=8, hidden=64, features=0)
    fill(decoder, "net.decoder.")
    fill(finer, "net.decoder.")
    check_volume(told, decoder(made_input("input/09/vol_feat")[0]), 193)
    _, change = finer(made_input("input/09/vol_feat_rows"), told["point_samples"])
    told.check("delta_sh", change.flatten(1))
    told.check("sh_fine", change + made_input("input/09/sh_coarse"))


@torch.no_grad()
def test_image_encoder(golden, net: LaraNet) -> None:
    told = golden("10_dino")
    told.check("tokens", net.img_encoder(told["images_u8"].float() / 255)[:, ::3, ::3, ::12])


@torch.no_grad()
def test_photographs_to_coarse_gaussians(golden, net: LaraNet) -> None:
    told = golden("09e_images_to_coarse")
    images = golden("10_dino")["images_u8"].float() / 255
    check_volume(told, net(images, cameras_of(told)), 97)


def test_names_of_the_encoder_go_there_and_back(golden) -> None:
    golden("10_dino")
    pytest.importorskip("transformers")
    published = encoder_weights()
    encoder = DinoEncoder()
    encoder.load_state_dict(from_published(published))
    again = to_published(encoder.state_dict())
    assert again.keys() == published.keys()
    assert all(torch.equal(again[key], published[key]) for key in published)
