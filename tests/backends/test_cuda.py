"""Promises of the cuda backend: on a GPU where there is one, else in Triton's interpreter, and compiled for two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends import test_degenerate as degenerate
from tests.backends.conftest import require, slow
from tests.backends.scenes import Answer, Case, random_case, solve
from veduta.core import Gaussians, Lens, UnsupportedError
from veduta.kernels import gpu
from veduta.render import rasterize, resolve
from veduta.render.cuda import Cuda

FEW = settings(max_examples=8)
SHARED_BYTES, REGISTERS = 48 * 1024, 255
"""What any NVIDIA GPU of the last ten years gives a program and a thread without being asked."""


@pytest.fixture(autouse=True)
def usable(request: pytest.FixtureRequest) -> None:
    """Skips, visibly, where the backend cannot be used."""
    require("cuda")


def busy(*, cameras: int = 1, features: int | None = 5) -> Case:
    """Several Gaussians in several tiles."""
    return random_case("", count=20, width=34, height=14, sh_degree=1, cameras=cameras, features=features, seed=11)


def solved(case: Case, *, deterministic: bool = False) -> Answer:
    device = "cpu" if gpu.interpreted() else "cuda"
    moved = Case(
        case.name,
        case.gaussians.to(device),
        case.cameras,
        None if case.features is None else case.features.to(device),
        None if case.background is None else case.background.to(device),
        case.options,
    )
    everywhere = torch.zeros(1, dtype=torch.bool, device=device)
    return solve(moved, Cuda(deterministic=deterministic).rasterize, everywhere)


def on_device(case: Case) -> Gaussians:
    return case.gaussians.to("cpu" if gpu.interpreted() else "cuda")


@pytest.mark.parametrize("features", [None, 5])
def test_ordered_sums_are_the_sums(features: int | None) -> None:
    atomic, ordered = (solved(busy(features=features), deterministic=flag) for flag in (False, True))
    assert torch.equal(atomic.render.color, ordered.render.color)
    for name, gradient in atomic.gradients.items():
        error = (ordered.gradients[name] - gradient).abs().max()
        assert error <= 1e-5 * gradient.abs().max(), name


def test_ordered_sums_have_the_same_bits_every_time() -> None:
    first, second = (solved(busy(), deterministic=True) for _ in range(2))
    assert all(torch.equal(second.gradients[name], gradient) for name, gradient in first.gradients.items())


@FEW
@given(kinds=st.lists(st.sampled_from(list(degenerate.KINDS)), max_size=5), **degenerate.scenes)
def test_anything_is_finite_here_too(**drawn) -> None:
    if not slow("cuda"):
        pytest.skip("as any backend, with more examples")
    degenerate.test_anything_is_finite.hypothesis.inner_test("cuda", **drawn)


@FEW
@given(kinds=st.lists(st.sampled_from(list(degenerate.TAME)), max_size=5), **degenerate.scenes)
def test_tame_scenes_agree_with_float64_here_too(**drawn) -> None:
    if not slow("cuda"):
        pytest.skip("as any backend, with more examples")
    degenerate.test_tame_scenes_agree_with_float64.hypothesis.inner_test("cuda", **drawn)


@FEW
@given(rows=st.lists(degenerate.rows, min_size=1, max_size=3), antialias=st.booleans())
def test_any_numbers_are_finite_here_too(**drawn) -> None:
    if not slow("cuda"):
        pytest.skip("as any backend, with more examples")
    degenerate.test_any_numbers_are_finite.hypothesis.inner_test("cuda", **drawn)


def test_a_lens_is_refused() -> None:
    cameras = busy().cameras.replace(lens=Lens("OPENCV", (0.1, 0.0, 0.0, 0.0)))
    with pytest.raises(UnsupportedError, match="lens"):
        rasterize(on_device(busy()), cameras, backend="cuda")


def test_float64_is_refused_with_a_hint() -> None:
    with pytest.raises(UnsupportedError, match="float32"):
        rasterize(on_device(busy()).to(torch.float64), busy().cameras, backend="cuda")


def test_views_of_other_memory_are_drawn_alike() -> None:
    case, own = busy(cameras=2, features=None), on_device(busy())
    plain = rasterize(own, case.cameras, backend="cuda")
    strided = own.map(lambda t: torch.stack([t, -t], dim=-1)[..., 0])
    assert not strided.means.is_contiguous()
    assert torch.equal(rasterize(strided, case.cameras, backend="cuda").color, plain.color)


def test_a_loss_of_features_alone_reaches_everything() -> None:
    case = busy()
    gaussians = on_device(case).map(lambda t: t.requires_grad_())
    features = case.features.to(gaussians.means.device).requires_grad_()
    rasterize(gaussians, case.cameras, features=features, backend="cuda").features.square().sum().backward()
    assert features.grad.abs().max() > 0
    assert gaussians.means.grad.abs().max() > 0
    assert (gaussians.sh.grad == 0).all()


def test_features_without_a_loss_have_gradients_of_zero() -> None:
    case = busy()
    gaussians = on_device(case).map(lambda t: t.requires_grad_())
    features = case.features.to(gaussians.means.device).requires_grad_()
    rasterize(gaussians, case.cameras, features=features, backend="cuda").color.sum().backward()
    assert features.grad is None or (features.grad == 0).all()


def test_many_tiles_and_a_wide_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists sorted by 32-bit tile numbers are those sorted by 16-bit ones."""
    from veduta.render.cuda import binning

    narrow = rasterize(on_device(busy()), busy().cameras, backend="cuda").color
    monkeypatch.setattr(binning, "NARROW_TILES", 0)
    assert torch.equal(rasterize(on_device(busy()), busy().cameras, backend="cuda").color, narrow)


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from veduta.render.cuda import binning

    monkeypatch.setattr(binning, "MOST_PAIRS", 3)
    with pytest.raises(UnsupportedError, match="too many pairs"):
        rasterize(on_device(busy()), busy().cameras, backend="cuda")


def test_tiles_list_every_gaussian_that_shows_in_depth_order() -> None:
    """The lists against the definition: all alphas over the threshold, in all pixels."""
    from veduta.core import RasterOptions
    from veduta.render.cuda.binning import bin_tiles
    from veduta.render.cuda.functions import color_of, project
    from veduta.render.reference.compositing import TILE
    from veduta.render.reference.cutoffs import MIN_ALPHA
    from veduta.render.shared import camera_numbers

    case, gaussians = busy(), on_device(busy())
    width, height = case.cameras.width, case.cameras.height
    camera = camera_numbers(case.cameras)[0].to(gaussians.means)
    projected = project(gaussians, camera, RasterOptions())
    tiles = bin_tiles(projected, color_of(gaussians, projected, camera, RasterOptions()), width=width, height=height)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    tile_of = (rows // TILE * tiles.columns + columns // TILE).long()
    listed = [set(tiles.ids[tiles.starts[t] : tiles.starts[t + 1]].tolist()) for t in range(len(tiles.starts) - 1)]
    shown: list[set[int]] = [set() for _ in listed]
    for i in (projected.extents[:, 0] > 0).nonzero()[:, 0].tolist():
        dx, dy = columns - projected.means_px[i, 0].cpu(), rows - projected.means_px[i, 1].cpu()
        xx, xy, yy = projected.conics[i].tolist()
        alpha = projected.opacities[i].cpu() * torch.exp(-0.5 * (xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy))
        for tile in tile_of[alpha >= MIN_ALPHA * (1 + 1e-4)].unique().tolist():
            shown[tile].add(i)
    assert all(drawn <= there for drawn, there in zip(shown, listed, strict=True))
    assert sum(map(len, shown)) > 0.5 * len(tiles.ids), "the lists are much longer than needed"
    depths = projected.depths[tiles.ids.long()]
    for begin, end in zip(tiles.starts[:-1].tolist(), tiles.starts[1:].tolist(), strict=True):
        assert (depths[begin:end].diff() >= 0).all()
    pairs = torch.arange(len(tiles.ids), device=tiles.places.device)
    assert torch.equal(tiles.places.sort().values, pairs)
    assert int(tiles.ends[-1]) == len(pairs)


@pytest.mark.slow
def test_every_kernel_compiles_for_gpus_that_are_not_here() -> None:
    """Ampere and Hopper, ahead of time: no spills where it is hot, and within what a program gets anywhere."""
    program = Path(__file__).with_name("compile_kernels.py")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, program, "80", "90"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert {result["capability"] for result in results} == {80, 90}
    for result in results:
        assert result["shared_bytes"] <= SHARED_BYTES, result
        assert result["registers"] <= REGISTERS, result
        assert result["spilled_bytes"] == 0, result


def test_auto_leaves_tensors_on_the_cpu_to_the_cpu() -> None:
    assert resolve("auto", busy().gaussians).name in ("cpu", "reference")
