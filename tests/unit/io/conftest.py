"""What the tests of io share."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from veduta.core import Gaussians


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which the system refuses to let any file grow beyond 512 bytes, as root too."""

    @contextmanager
    def limited() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def random_gaussians(count: int, *, degree: int = 3, seed: int = 0) -> Gaussians:
    """Float32 Gaussians of ordinary sizes and colours."""
    g = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=torch.randn(count, 3, generator=g) * 5,
        quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=-1),
        scales=torch.exp(torch.randn(count, 3, generator=g) - 3),
        opacities=torch.sigmoid(torch.randn(count, generator=g) * 2),
        sh=torch.randn(count, (degree + 1) ** 2, 3, generator=g) * 0.5,
    )


@pytest.fixture(scope="session")
def make_gaussians() -> Callable[..., Gaussians]:
    return random_gaussians
