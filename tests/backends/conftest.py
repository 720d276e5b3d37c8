"""The backends under test."""

from __future__ import annotations

from functools import partial

import pytest

from tests.backends.scenes import CASES, Case, boundary, solve
from veduta.render.reference import Reference

BACKENDS = ("reference", "cpu")


@pytest.fixture(params=BACKENDS)
def rasterize(request: pytest.FixtureRequest):
    """Each backend's ``rasterize`` in turn; skipped, visibly, where it was not built."""
    return rasterizer(request.param)


def rasterizer(name: str):
    """One backend's ``rasterize``; skips the test where the backend cannot be used."""
    if name == "reference":
        return Reference().rasterize
    kernels = pytest.importorskip("veduta.kernels", reason="the compiled kernels are not there")
    if not kernels.available():
        pytest.skip(f"backend {name!r} was not built: {kernels.reason()}")
    from veduta.render import rasterize

    return partial(rasterize, backend=name)


@pytest.fixture(params=CASES, scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    """Every scene of the table."""
    return CASES[request.param]


@pytest.fixture(scope="session")
def truths():
    """For a case, the pixels in the boundary band and the float64 answer; worked out once."""
    known: dict[str, tuple] = {}

    def truth(case: Case) -> tuple:
        if case.name not in known:
            import torch

            ignored = boundary(case)
            known[case.name] = ignored, solve(case.to(torch.float64), Reference().rasterize, ignored)
        return known[case.name]

    return truth
