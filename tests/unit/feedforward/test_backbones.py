"""LaRa and MVSplat as backbones, and whole published models put together."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.feedforward.tiny import pictures, ring
from veduta.core import Cameras, Views
from veduta.feedforward import BACKBONES, Backbone, ByGradient, Compatibility, Densifier, DensifierPlan, Prediction
from veduta.feedforward.checkpoints import MODELS
from veduta.feedforward.compatibility import SCENE
from veduta.feedforward.lara import THIN, Lara, Volume, VoxelDecoder, cell_centres
from veduta.feedforward.mvsplat import Mvsplat, cost_volume
from veduta.feedforward.published import PUBLISHED, Improvements, scene_gd
from veduta.geometry import Similarity, transform_cameras


class Told(nn.Module):
    """Stands for LaRa's network: ``per_voxel`` Gaussians of each of a hundred voxels, of given opacities."""

    def __init__(self, logits: torch.Tensor, *, per_voxel: int = 1, axes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        count = len(logits)
        self.volume = Volume(
            means=torch.rand(count, 3, generator=generator) - 0.5,
            sh=torch.randn(count, 4, 3, generator=generator),
            opacity_logits=logits[:, None],
            log_scales=torch.randn(count, axes, generator=generator) - 4,
            quats=torch.randn(count, 4, generator=generator),
            features=torch.arange(count // per_voxel)[:, None].float(),
        )

    def forward(self, images: torch.Tensor, cameras: Cameras) -> Volume:
        return self.volume


class Largest(TorchDispatchMode):
    """Notes the sizes of all tensors that are made, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.sizes.append(made.nbytes)
        return made


def test_the_cost_volume_is_in_the_estimate_of_memory() -> None:
    with Largest() as largest, torch.no_grad():
        cost_volume(torch.randn(3, 128, 16, 16), ring(3, size=64), near=1, far=100)
    warped, products = sorted(largest.sizes)[-2:]
    assert warped + products == 2 * 128 * 128 * 16 * 16 * 4
    with torch.device("meta"):
        backbone = Mvsplat()
    assert warped + products < backbone.passing_bytes(pixels=64**2) < 1.2 * (warped + products)
    estimate = PUBLISHED["mvsplat"].outline().needed_bytes(views=2, pixels=256**2)
    assert 1.03e9 < estimate < 1.3e9, "1.03 GB were measured"
    assert 2.0e9 < PUBLISHED["scene"].outline().needed_bytes(views=2, pixels=256**2) < 2.2e9, "2.0 GB were measured"


@pytest.fixture
def views() -> Views:
    return pictures(torch.Generator().manual_seed(0))


def lara(logits: torch.Tensor, *, per_voxel: int = 1, axes: int = 3) -> Lara:
    return Lara(Told(logits, per_voxel=per_voxel, axes=axes))


def test_gaussians_that_nobody_could_see_are_left_out(views: Views) -> None:
    logits = torch.linspace(-10, 10, 100)
    made = lara(logits).eval()(views, near=1, far=3)
    assert len(made.gaussians) == int((logits.sigmoid() > 0.005).sum())
    assert bool((made.gaussians.opacities > 0.005).all())
    assert torch.equal(made.features[:, 0], torch.arange(100.0)[logits.sigmoid() > 0.005])
    assert torch.allclose(made.gaussians.quats.norm(dim=1), torch.ones(len(made.gaussians)), atol=1e-6)
    assert int(made.sources.max()) == 0


def test_places_are_exact_where_the_network_computes_in_half_precision() -> None:
    """A voxel's centre rounded to bfloat16 would be off by as much as what the network adds to it."""
    torch.manual_seed(0)
    decoder = VoxelDecoder()
    features = 0.3 * torch.randn(16, 16, 16, 80)
    with torch.no_grad():
        full = decoder(features)
        with torch.autocast("cpu", torch.bfloat16):
            half = decoder(features.bfloat16())
    centres = cell_centres(16).flatten(0, 2)
    assert half.means.dtype == half.opacity_logits.dtype == half.log_scales.dtype == torch.float32
    error, offset = (float((means - full.means).square().mean().sqrt()) for means in (half.means, centres))
    assert error < 0.02 * offset


def test_where_nothing_could_be_seen_some_are_kept(views: Views) -> None:
    made = lara(torch.full((100,), -9.0)).eval()(views, near=1, far=3)
    assert len(made.gaussians) == 20


def test_training_takes_a_random_half(views: Views) -> None:
    backbone = lara(torch.zeros(1000)).train()
    counts = [len(backbone(views, near=1, far=3, generator=torch.Generator().manual_seed(s)).gaussians) for s in (1, 1)]
    assert counts[0] == counts[1]
    assert 400 < counts[0] < 600
    assert len(backbone.eval()(views, near=1, far=3).gaussians) == 1000


def test_flat_gaussians_get_a_thickness(views: Views) -> None:
    made = lara(torch.zeros(100), per_voxel=2, axes=2).eval()(views, near=1, far=3)
    scales = made.gaussians.scales
    assert torch.allclose(scales[:, 2], THIN * scales[:, :2].amin(dim=1), rtol=1e-5)
    assert made.features[:4, 0].tolist() == [0, 0, 1, 1]


def street(scale: float = 1.0) -> Views:
    """Two views of a scene, a step apart."""
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[1, 0, 3] = 0.3
    cameras = Cameras.pinhole(pose, fx=60, fy=60, cx=32, cy=32, width=64, height=64)
    larger = Similarity(scale, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    return Views.of(transform_cameras(cameras, larger), rgb=torch.rand(2, 64, 64, 3, generator=generator))


@pytest.fixture(scope="module")
def scenes() -> dict[bool, Prediction]:
    """Predictions of one untrained scene network, as a fresh model and as published."""
    made: dict[bool, Prediction] = {}
    for published in (False, True):
        torch.manual_seed(0)
        model = scene_gd(SCENE if published else Compatibility()).eval()
        with torch.no_grad():
            made[published] = model(street(), near=1, far=100, budget=200)
    return made


def test_a_whole_scene_model(scenes: dict[bool, Prediction]) -> None:
    made = scenes[False]
    assert len(made.coarse) == 2 * 64 * 64
    assert torch.bincount((made.chosen >= 64 * 64).long()).tolist() == [200, 200]
    assert len(made.fine) == 2 * (64 * 64 - 200) + 2 * (200 + 80 + 640)
    for field in dataclasses.fields(made.fine):
        assert bool(getattr(made.fine, field.name).isfinite().all()), field.name


def test_depths_along_z_lie_farther_than_depths_along_the_ray(scenes: dict[bool, Prediction]) -> None:
    """The same network, the same disparities: only what they mean differs, by the cosine of the ray's angle."""
    first = slice(0, 64 * 64)
    z, ray = scenes[False].coarse.means[first], scenes[True].coarse.means[first]
    assert torch.allclose(z[:, 2], ray.norm(dim=1), rtol=1e-4)
    assert torch.allclose(nn.functional.normalize(z, dim=1), nn.functional.normalize(ray, dim=1), atol=1e-5)


def test_colours_turn_with_the_camera_unless_as_published(scenes: dict[bool, Prediction]) -> None:
    """Of a camera that is not turned, harmonics are the same up to the published order and signs."""
    ours, theirs = scenes[False].coarse.sh[: 64 * 64], scenes[True].coarse.sh[: 64 * 64]
    assert torch.allclose(ours[:, 0], theirs[:, 0], atol=1e-6)
    assert torch.allclose(ours.square().sum(dim=1), theirs.square().sum(dim=1), rtol=1e-3, atol=1e-6)


def test_half_precision_attention_differs_a_little() -> None:
    coords, features = torch.rand(60, 3), torch.randn(60, 16)
    plan = DensifierPlan(channels=(16, 8), heads=(2, 1))
    torch.manual_seed(0)
    exact = Densifier(plan).eval()
    rounded = Densifier(dataclasses.replace(plan, fp16_attention=True)).eval()
    rounded.load_state_dict(exact.state_dict())
    told = [net(coords, features, torch.tensor([60]))[0].attributes for net in (exact, rounded)]
    off = float((told[0] - told[1]).abs().max().detach())
    assert 0 < off < 1e-2


def test_improvements_add_to_the_published_parts_and_start_without_effect() -> None:
    """Published weights fit; what is added is told apart, and the first prediction is the same."""
    torch.manual_seed(0)
    plain = scene_gd().eval()
    better = scene_gd(improvements=Improvements(looks=True, learned_selection=True)).eval()
    missing, unexpected = better.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert {name.split(".")[0] for name in missing} == {"selector", "densifier"}
    assert all(".look." in name or name.startswith("selector.") for name in missing)
    plain.selector = ByGradient()
    with torch.no_grad():
        one, other = (model(street(), near=1, far=100, budget=100) for model in (plain, better))
    assert torch.equal(one.chosen, other.chosen)
    assert torch.equal(one.fine.means, other.fine.means)
    assert torch.equal(one.fine.opacities, other.fine.opacities)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_improvements_are_settings_of_a_file(kind: str) -> None:
    pytest.importorskip("transformers")
    settings = {"compatibility": {}, "improvements": {"looks": True, "together": True}}
    with torch.device("meta"):
        model = MODELS[kind](settings)
    looks = [name for name, _ in model.named_parameters() if ".look." in name]
    assert bool(looks) == (kind not in {"lara", "mvsplat"})


def test_backbones_by_name() -> None:
    assert set(BACKBONES) >= {"lara", "mvsplat"}
    assert isinstance(BACKBONES["mvsplat"](), Backbone)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_models_say_what_they_take(kind: str) -> None:
    pytest.importorskip("transformers")
    intake = PUBLISHED[kind].outline().intake
    assert intake.masked == (kind in {"object", "object-residual", "lara"})
    sizes = Views.of(ring(2, size=100), rgb=torch.zeros(2, 100, 100, 3))
    with pytest.raises(Exception, match="photographs of this size"):
        intake.check(sizes)
    assert math.isfinite(intake.min_views)
