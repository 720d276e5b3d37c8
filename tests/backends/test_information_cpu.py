"""The cpu backend's moments, blocks, forms and covariances in float32 against the reference in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.backends.scenes import CASES, Case, boundary, random_case, some_cameras, some_gaussians
from tests.backends.test_degenerate import KINDS, gaussians_of
from veduta import kernels
from veduta.core import Cameras, Gaussians, RasterOptions, UnsupportedError
from veduta.geometry import pack, unpack
from veduta.render import Backend, rasterize
from veduta.render.cpu import Cpu
from veduta.render.reference import Reference

pytestmark = pytest.mark.usefixtures("kernels_as_they_were")

TOLERANCE = 1e-4
"""Of the largest number in the picture or among all blocks, and of the largest number in each block by itself."""
FAINT = 1e-4
"""Blocks below this share of the largest one say too little to be compared by themselves."""


def with_scales(name: str, *scales: float, opacity: float | None = None, seed: int, **given) -> Case:
    """A random case whose Gaussians all have these scales."""
    case = random_case(name, seed=seed, **given)
    gaussians = case.gaussians.replace(scales=torch.tensor(scales).expand(len(case.gaussians), 3).clone())
    if opacity is not None:
        gaussians = gaussians.replace(opacities=torch.full_like(gaussians.opacities, opacity))
    return Case(name, gaussians, case.cameras, background=case.background, options=case.options)


SCENES = CASES | {
    case.name: case
    for case in (
        with_scales("needles", 0.5, 0.004, 0.004, count=60, width=60, height=50, sh_degree=1, seed=20),
        with_scales("discs", 0.3, 0.3, 1e-4, count=60, width=60, height=50, sh_degree=2, seed=22),
        with_scales("clamped", 0.4, 0.3, 0.2, opacity=0.9999, count=20, width=40, height=30, sh_degree=1, seed=23),
        with_scales(
            "needles-antialias", 0.5, 0.02, 0.02, count=60, width=60, height=50, sh_degree=1, seed=24,
            options=RasterOptions(antialias=True),
        ),
    )
}  # fmt: skip
"""The scenes of every backend, and shapes that are hard on float32."""

BUSY = random_case("busy", count=3000, width=150, height=100, sh_degree=2, size=0.05, seed=11)


@dataclass(frozen=True, eq=False)
class Told:
    """Everything that one backend says about one camera."""

    fisher: Tensor
    score: Tensor
    clustered: Tensor
    blocks: Tensor
    score_blocks: Tensor
    clustered_blocks: Tensor
    forms: Tensor
    covariance: Tensor
    color: Tensor
    clear: Tensor


def told(case: Case, index: int, backend: Backend, ignored: Tensor | None = None, dtype=torch.float32) -> Told:
    """Moments with random photograph and weights (0 where ``ignored``), carried to blocks; random blocks to forms."""
    generator = torch.Generator().manual_seed(index)
    case, camera = case.to(dtype), case.to(dtype).cameras[index : index + 1]
    h, w, n = camera.height, camera.width, len(case.gaussians)
    photograph, weight = torch.rand(h, w, 3, generator=generator), torch.rand(h, w, generator=generator)
    root = torch.randn(n, 13, 13, generator=generator)
    if ignored is not None:
        weight = weight * ~ignored
    behind = None if case.background is None else case.background.expand(h, w, 3) * torch.linspace(0, 1, w)[:, None]
    behind = None if behind is None else behind.to(dtype)
    given = {"weight": weight.to(dtype), "photograph": photograph.to(dtype), "behind": behind, "options": case.options}
    pixels = backend.screen_moments(case.gaussians, camera, **given)
    view = backend.screen_moments(case.gaussians, camera, **given, clustered=True)
    assert pixels.score is not None
    assert view.score is not None

    def pull(moments: Tensor) -> Tensor:
        return backend.screen_pull(case.gaussians, camera, moments, options=case.options)

    blocks = pack(root @ root.mT).to(dtype)
    forms = backend.screen_push(case.gaussians, camera, blocks, options=case.options)
    found = backend.screen_covariance(case.gaussians, camera, forms, behind=behind, options=case.options)
    assert torch.equal(found.color, pixels.color)
    assert torch.equal(found.clear, pixels.clear)
    return Told(
        fisher=pixels.fisher,
        score=pixels.score,
        clustered=view.score,
        blocks=pull(pixels.fisher),
        score_blocks=pull(pixels.score),
        clustered_blocks=pull(view.score),
        forms=forms,
        covariance=found.covariance,
        color=found.color,
        clear=found.clear,
    )


@pytest.fixture(scope="module")
def truth() -> Callable[[str], list[tuple[Tensor, Told]]]:
    """Per camera of a scene, the pixels in the boundary band and what float64 says; worked out once."""
    known: dict[str, list[tuple[Tensor, Told]]] = {}

    def of(name: str) -> list[tuple[Tensor, Told]]:
        if name not in known:
            case = SCENES[name]
            ignored = boundary(case)
            known[name] = [
                (ignored[i], told(case, i, Reference(), ignored[i], torch.float64)) for i in range(len(case.cameras))
            ]
        return known[name]

    return of


def assert_close(found: Tensor, expected: Tensor, name: str, *, by_row: bool) -> None:
    error = (found.double() - expected).abs()
    largest = expected.abs().max()
    assert error.max() <= TOLERANCE * largest, name
    if by_row:
        sizes = expected.abs().amax(dim=1)
        clear = sizes > FAINT * largest
        assert (error.amax(dim=1)[clear] <= TOLERANCE * sizes[clear]).all(), f"{name}, each by itself"


@pytest.mark.parametrize("name", SCENES)
def test_float32_agrees_with_float64(isa: str, name: str, truth) -> None:
    for index, (ignored, expected) in enumerate(truth(name)):
        found = told(SCENES[name], index, Cpu(), ignored)
        assert expected.fisher.abs().max() > 0
        for field in ("fisher", "blocks", "score_blocks", "clustered_blocks", "forms"):
            assert_close(getattr(found, field), getattr(expected, field), field, by_row=field != "clustered_blocks")
        for field in ("score", "clustered"):
            assert_close(getattr(found, field), getattr(expected, field), field, by_row=False)
        for field in ("covariance", "color", "clear"):
            picture, answer = getattr(found, field)[~ignored], getattr(expected, field)[~ignored]
            assert_close(picture, answer, field, by_row=False)


@pytest.mark.parametrize("thickness", [1e-3, 1e-6, 0.0])
@pytest.mark.parametrize("length", [1.0, 5.0, 30.0])
def test_the_linear_map_is_sound_for_needles(isa: str, length: float, thickness: float) -> None:
    """Whatever their alpha in float32 is worth: given moments and given covariances are carried over as in float64."""
    case = with_scales("", length, thickness, thickness, count=40, width=60, height=50, sh_degree=1, seed=21)
    truth, generator = case.to(torch.float64), torch.Generator().manual_seed(0)
    moments = Reference().screen_moments(truth.gaussians, truth.cameras).fisher.float()
    root = torch.randn(40, 13, 13, generator=generator)
    blocks = pack(root @ root.mT)
    expected = Reference().screen_pull(truth.gaussians, truth.cameras, moments.double())
    found = Cpu().screen_pull(case.gaussians, case.cameras, moments)
    assert_close(found, expected, "blocks", by_row=True)
    expected = Reference().screen_push(truth.gaussians, truth.cameras, blocks.double())
    found = Cpu().screen_push(case.gaussians, case.cameras, blocks)
    assert_close(found, expected, "forms", by_row=True)


@pytest.mark.parametrize("name", SCENES)
def test_blocks_are_positive_semidefinite(isa: str, name: str) -> None:
    found = told(SCENES[name], 0, Cpu())
    for blocks in (found.blocks, found.score_blocks, found.clustered_blocks):
        values = torch.linalg.eigvalsh(unpack(blocks.double()))
        assert (values[:, 0] >= -1e-5 * values[:, -1]).all()
    values = torch.linalg.eigvalsh(unpack(found.covariance.double()))
    assert (values[..., 0] >= -1e-5 * values[..., -1]).all()


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_number_of_threads_changes_no_bit(isa: str, threads: int) -> None:
    kernels.set_threads(1)
    alone = told(BUSY, 0, Cpu())
    kernels.set_threads(threads)
    together = told(BUSY, 0, Cpu())
    for name, value in vars(alone).items():
        assert torch.equal(value, getattr(together, name)), name


def test_pictures_are_those_of_rasterize() -> None:
    case = CASES["degree-3-features"]
    found = told(case, 0, Cpu())
    render = rasterize(case.gaussians, case.cameras, options=case.options, backend="cpu")
    back = case.background.expand(*found.clear.shape, 3) * torch.linspace(0, 1, found.clear.shape[1])[:, None]
    torch.testing.assert_close(found.color, render.color[0] + found.clear[..., None] * back)
    torch.testing.assert_close(1 - found.clear, render.alpha[0], rtol=0, atol=1e-6)


def test_more_pairs_than_fit_at_once() -> None:
    """Tiles are handled in groups; how many go together depends on what is summed, the sums do not."""
    gaussians = some_gaussians(6000, sh_degree=0, size=0.3, seed=3, spread=1.0)
    gaussians = gaussians.replace(opacities=0.05 * gaussians.opacities + 0.005)
    camera = some_cameras(1, width=320, height=240)
    photograph = torch.rand(240, 320, 3, generator=torch.Generator().manual_seed(0))
    alone = Cpu().screen_moments(gaussians, camera)
    both = Cpu().screen_moments(gaussians, camera, photograph=photograph)
    view = Cpu().screen_moments(gaussians, camera, photograph=photograph, clustered=True)
    kernels.set_threads(1)
    again = Cpu().screen_moments(gaussians, camera, photograph=photograph)
    assert alone.score is None
    assert both.score is not None
    assert again.score is not None
    scale = float(alone.fisher.abs().max())
    torch.testing.assert_close(alone.fisher, both.fisher, rtol=1e-5, atol=1e-6 * scale)
    torch.testing.assert_close(alone.fisher, view.fisher, rtol=1e-5, atol=1e-6 * scale)
    assert torch.equal(both.fisher, again.fisher)
    assert torch.equal(both.score, again.score)


def test_each_row_is_carried_over_by_itself() -> None:
    """Also where there are so many rows that their memory is asked for in large pages."""
    count, part = 60_000, slice(31_000, 31_037)
    gaussians = some_gaussians(count, sh_degree=1, size=0.02, seed=4)
    camera = some_cameras(1, width=40, height=30)
    generator = torch.Generator().manual_seed(0)
    moments, blocks = torch.rand(count, 34, generator=generator), torch.rand(count, 91, generator=generator)
    found = Cpu().screen_pull(gaussians, camera, moments)
    assert found.count_nonzero() > 0
    assert torch.equal(found[part], Cpu().screen_pull(gaussians[part], camera, moments[part]))
    found = Cpu().screen_push(gaussians, camera, blocks)
    assert torch.equal(found[part], Cpu().screen_push(gaussians[part], camera, blocks[part]))


def test_weights_add_up() -> None:
    case = CASES["degree-1-tall"]
    camera = case.cameras[:1]
    weight = torch.rand(camera.height, camera.width, generator=torch.Generator().manual_seed(0))
    parts = [Cpu().screen_moments(case.gaussians, camera, weight=w).fisher for w in (weight, 1 - weight)]
    whole = Cpu().screen_moments(case.gaussians, camera).fisher
    torch.testing.assert_close(parts[0] + parts[1], whole, rtol=1e-5, atol=1e-6 * float(whole.abs().max()))


def test_pixels_without_weight_may_be_anything() -> None:
    case = CASES["degree-0"]
    camera = case.cameras[:1]
    weight = torch.ones(camera.height, camera.width)
    weight[10:30, 20:40] = 0
    photograph = torch.rand(camera.height, camera.width, 3, generator=torch.Generator().manual_seed(0))
    clean = Cpu().screen_moments(case.gaussians, camera, photograph=photograph, weight=weight)
    photograph[10:30, 20:40] = float("nan")
    found = Cpu().screen_moments(case.gaussians, camera, photograph=photograph, weight=weight)
    assert clean.score is not None
    assert found.score is not None
    assert torch.equal(clean.score, found.score)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bright"])  # whose squares float32 does not have
def test_anything_is_finite(kind: str, size: tuple[int, int]) -> None:
    for antialias in (False, True):
        options = RasterOptions(antialias=antialias)
        gaussians = gaussians_of(["ordinary", kind, "ordinary"], sh_degree=1, seed=5)
        case = Case("", gaussians, some_cameras(1, width=size[0], height=size[1], focal=15.0), options=options)
        found = told(case, 0, Cpu())
        for name, value in vars(found).items():
            assert value.isfinite().all(), name
        seen = rasterize(gaussians, case.cameras, options=RasterOptions(antialias=antialias, keep_screen=True)).screen
        assert seen is not None
        for rows in (found.fisher, found.score, found.clustered, found.blocks, found.forms):
            assert (rows[~seen.visible[0]] == 0).all()


@pytest.mark.parametrize("sh_degree", [0, 3])
def test_no_gaussians_say_nothing(sh_degree: int) -> None:
    case = Case("", Gaussians.empty(sh_degree), some_cameras(1, width=17, height=5), background=torch.ones(3))
    found = told(case, 0, Cpu())
    assert (found.covariance == 0).all()
    assert (found.clear == 1).all()
    assert found.blocks.shape == (0, 91)
    assert found.forms.shape == (0, 39)


def test_all_behind_the_camera_say_nothing() -> None:
    gaussians = some_gaussians(40, sh_degree=1, size=0.1, seed=0)
    gaussians = gaussians.replace(means=gaussians.means - torch.tensor([0.0, 0.0, 50.0]))
    found = told(Case("", gaussians, some_cameras(1, width=30, height=20)), 0, Cpu())
    for rows in (found.fisher, found.score, found.blocks, found.score_blocks, found.forms, found.covariance):
        assert (rows == 0).all()


def test_no_gradient_is_recorded() -> None:
    case = CASES["degree-0"]
    gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
    moments = Cpu().screen_moments(gaussians, case.cameras[:1])
    assert not moments.fisher.requires_grad
    assert not Cpu().screen_pull(gaussians, case.cameras[:1], moments.fisher).requires_grad


def test_float64_is_refused_with_a_hint() -> None:
    case = CASES["degree-0"].to(torch.float64)
    camera: Cameras = case.cameras[:1]
    with pytest.raises(UnsupportedError, match="reference"):
        Cpu().screen_moments(case.gaussians, camera)
    with pytest.raises(UnsupportedError, match="reference"):
        Cpu().screen_push(case.gaussians, camera, torch.zeros(len(case.gaussians), 91))
