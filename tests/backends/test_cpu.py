"""Promises of the cpu backend: every instruction set gives the same answer, every thread count the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.backends.conftest import rasterizer
from tests.backends.scenes import CASES, Answer, Case, random_case, solve
from tests.backends.test_agreement import GRADIENT_TOLERANCE, IMAGE_TOLERANCE
from veduta import kernels
from veduta.core import Cameras, Gaussians, Lens, UnsupportedError

pytestmark = pytest.mark.usefixtures("kernels_as_they_were")

BUSY = random_case(
    "busy", count=3000, width=150, height=100, sh_degree=2, cameras=2, features=2, size=0.05, seed=11
)  # fmt: skip


def solved(case: Case) -> Answer:
    return solve(case, rasterizer("cpu"), torch.zeros(1, dtype=torch.bool))


def everything(answer: Answer) -> dict[str, Tensor | None]:
    names = ("color", "alpha", "depth", "features")
    screen = answer.render.screen
    return {
        **{name: getattr(answer.render, name) for name in names},
        **{f"screen.{name}": getattr(screen, name) for name in ("means_px", "radii_px", "visible")},
        **{f"gradient of {name}": value for name, value in answer.gradients.items()},
    }


def assert_identical(a: Answer, b: Answer) -> None:
    others = everything(b)
    for name, value in everything(a).items():
        assert (value is None and others[name] is None) or torch.equal(value, others[name]), name


@pytest.mark.parametrize("name", CASES)
def test_instruction_sets_agree_with_float64(isa: str, name: str, truths) -> None:
    ignored, truth = truths(CASES[name])
    assert kernels.isa() == isa
    answer = solve(CASES[name], rasterizer("cpu"), ignored)
    for field in ("color", "alpha", "depth", "features"):
        expected = getattr(truth.render, field)
        if expected is not None:
            error = (getattr(answer.render, field).double() - expected).abs()[~ignored].max()
            assert error <= IMAGE_TOLERANCE * max(1.0, float(expected.abs().max())), field
    for field, expected in truth.gradients.items():
        error = (answer.gradients[field].double() - expected).abs().max()
        assert error <= GRADIENT_TOLERANCE * expected.abs().max(), field


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_number_of_threads_changes_no_bit(isa: str, threads: int) -> None:
    kernels.set_threads(1)
    alone = solved(BUSY)
    kernels.set_threads(threads)
    assert kernels.threads() == threads
    assert_identical(solved(BUSY), alone)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_rerun_changes_no_bit(isa: str, threads: int) -> None:
    kernels.set_threads(threads)
    first = solved(BUSY)
    for _ in range(3):
        assert_identical(solved(BUSY), first)


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="abacus"):
        kernels.set_isa("abacus")


def test_a_lens_is_refused() -> None:
    cameras = BUSY.cameras.replace(lens=Lens("OPENCV", (0.1, 0.0, 0.0, 0.0)))
    with pytest.raises(UnsupportedError, match="lens"):
        rasterizer("cpu")(BUSY.gaussians, cameras)


def test_float64_is_refused_with_a_hint() -> None:
    with pytest.raises(UnsupportedError, match="reference"):
        rasterizer("cpu")(BUSY.gaussians.to(torch.float64), BUSY.cameras)


def test_views_of_other_memory_are_drawn_alike() -> None:
    """Strided and offset inputs: what a caller slices out of something larger."""
    case = CASES["degree-2-two-cameras"]
    plain = rasterizer("cpu")(case.gaussians, case.cameras)
    strided = case.gaussians.map(lambda t: torch.stack([t, -t], dim=-1)[..., 0])
    assert not strided.means.is_contiguous()
    poses = case.cameras.world_from_camera.transpose(1, 2).contiguous().transpose(1, 2)
    cameras = case.cameras.replace(world_from_camera=poses)
    torch.testing.assert_close(rasterizer("cpu")(strided, cameras).color, plain.color, rtol=0, atol=0)


def test_inputs_are_not_written_to() -> None:
    case = CASES["degree-3-features"]
    before = case.gaussians.map(torch.clone)
    solve(case, rasterizer("cpu"), torch.zeros(1, dtype=torch.bool))
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(before, name), getattr(case.gaussians, name)), name


def test_a_second_render_does_not_disturb_the_first_one_s_backward_pass() -> None:
    """Scratch memory that is reused must not be what the backward pass reads."""
    case = CASES["degree-0"]

    def gradient(*, disturbed: bool) -> Tensor:
        gaussians: Gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
        render = rasterizer("cpu")(gaussians, case.cameras)
        if disturbed:
            rasterizer("cpu")(BUSY.gaussians, BUSY.cameras)
            other: Cameras = BUSY.cameras[0]
            rasterizer("cpu")(gaussians.map(lambda t: t * 1.1), other).color.sum()
        render.color.square().sum().backward()
        return gaussians.means.grad

    assert torch.equal(gradient(disturbed=True), gradient(disturbed=False))
