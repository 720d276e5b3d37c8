"""The backends under test, the table of scenes, and the float64 answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    # Before Triton is loaded: without a GPU its kernels are tested in its interpreter.
    os.environ.setdefault("TRITON_INTERPRET", "1")

from tests.backends.scenes import CASES, SMALL_CASES, Answer, Case, boundary, solve
from veduta import kernels
from veduta.core import Cameras, Gaussians, Render
from veduta.kernels import gpu
from veduta.render import BACKENDS, rasterize, report
from veduta.render.reference import Reference

INSTRUCTION_SETS = ("avx512", "avx2", "portable")


@pytest.fixture
def kernels_as_they_were() -> Iterator[None]:
    """Instruction set and threads of the compiled kernels put back afterwards; skips where there are no kernels."""
    if not kernels.available():
        pytest.skip(f"backend 'cpu' was not built: {kernels.reason()}")
    isa, threads = kernels.isa(), kernels.threads()
    yield
    kernels.set_isa(isa)
    kernels.set_threads(threads)


@pytest.fixture(params=INSTRUCTION_SETS)
def isa(request: pytest.FixtureRequest, kernels_as_they_were: None) -> str:
    """Each instruction set; skipped, visibly, where the processor or the build lacks it."""
    if request.param not in kernels.instruction_sets():
        pytest.skip(f"no {request.param} here")
    kernels.set_isa(request.param)
    return request.param


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend's name in turn; skipped, visibly, where it cannot be used."""
    require(request.param)
    return request.param


@pytest.fixture(name="rasterize")
def fixture_rasterize(backend: str) -> Callable[..., Render]:
    """Each backend's ``rasterize`` in turn."""
    return rasterizer(backend)


def require(name: str) -> None:
    """Skips the test where the backend cannot be used."""
    for found in report():
        if found.name == name and not found.usable:
            pytest.skip(f"backend {name!r} cannot be used: {found.why}")


def rasterizer(name: str) -> Callable[..., Render]:
    """One backend's ``rasterize``, for tensors on the CPU; skips the test where the backend cannot be used."""
    require(name)
    return on_gpu if name == "cuda" and not gpu.interpreted() else partial(rasterize, backend=name)


def on_gpu(gaussians: Gaussians, cameras: Cameras, **given: Any) -> Render:
    """Drawn by ``cuda`` on the GPU; pictures, radii and visibility come back to the CPU."""
    moved = {name: value.to("cuda") if isinstance(value, Tensor) else value for name, value in given.items()}
    drawn = rasterize(gaussians.to("cuda"), cameras, **moved, backend="cuda")
    screen = drawn.screen
    if screen is not None:
        screen = screen.replace(radii_px=screen.radii_px.cpu(), visible=screen.visible.cpu())
    return drawn.replace(screen=None).to("cpu").replace(screen=screen)


def slow(name: str) -> bool:
    """Whether the backend takes milliseconds per Gaussian: Triton's interpreter."""
    return name == "cuda" and gpu.interpreted()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, backend: str) -> Case:
    """Every scene of the table, or a smaller one of the same kind for what is slow."""
    return (SMALL_CASES if slow(backend) else CASES)[request.param]


@pytest.fixture(scope="session")
def truths() -> Callable[[Case], tuple[Tensor, Answer]]:
    """For a case, the pixels in the boundary band and the float64 answer; worked out once."""
    known: dict[str, tuple[Tensor, Answer]] = {}

    def truth(case: Case) -> tuple[Tensor, Answer]:
        if case.name not in known:
            ignored = boundary(case)
            known[case.name] = ignored, solve(case.to(torch.float64), Reference().rasterize, ignored)
        return known[case.name]

    return truth
