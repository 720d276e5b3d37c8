"""The backends under test, the table of scenes, and the float64 answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from tests.backends.scenes import CASES, Answer, Case, boundary, solve
from veduta import kernels
from veduta.core import Render
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


@pytest.fixture(params=BACKENDS, name="rasterize")
def fixture_rasterize(request: pytest.FixtureRequest) -> Callable[..., Render]:
    """Each backend's ``rasterize`` in turn; skipped, visibly, where it cannot be used."""
    return rasterizer(request.param)


def rasterizer(name: str) -> Callable[..., Render]:
    """One backend's ``rasterize``; skips the test where the backend cannot be used."""
    for backend in report():
        if backend.name == name and not backend.usable:
            pytest.skip(f"backend {name!r} cannot be used: {backend.why}")
    return partial(rasterize, backend=name)


@pytest.fixture(params=CASES, scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    """Every scene of the table."""
    return CASES[request.param]


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
