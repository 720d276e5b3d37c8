"""What the tests of fit share."""

from __future__ import annotations

import pytest

from tests.unit.fit.scenes import capture_of, photographs_of, some_cameras, some_gaussians
from veduta.core import Capture, Gaussians, PointCloud
from veduta.geometry import rgb_from_dc


@pytest.fixture(scope="session")
def truth() -> Gaussians:
    """What the photographs show."""
    return some_gaussians(50)


@pytest.fixture(scope="session")
def capture(truth: Gaussians) -> Capture:
    """Eight photographs, every fourth held out, and a point per Gaussian."""
    cameras = some_cameras()
    test = [2, 6]
    train = [i for i in range(8) if i not in test]
    points = PointCloud(xyz=truth.means, rgb=rgb_from_dc(truth.sh[:, 0]).clamp(0, 1))
    return capture_of(photographs_of(truth, cameras[train]), photographs_of(truth, cameras[test]), points=points)
