"""Everything above the backends with the cuda backend: natively where there is a GPU, else in Triton's interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.backends.conftest import require
from tests.unit.fit.scenes import Photographs, capture_of, photographs_of, some_cameras, some_gaussians
from veduta import information
from veduta.core import Capture, Gaussians, PointCloud, RasterOptions
from veduta.fit import Event, FitPlan, Mcmc, Stepped, fit
from veduta.geometry import rgb_from_dc
from veduta.kernels import gpu
from veduta.recipes import evaluate

SIZE = 16
PLAN = FitPlan(
    steps=5,
    densify=Mcmc(every=10, start_share=1.0, noise=0.0),
    doublings=(),
    min_side_px=8,
    log_every=1,
    sh_degree=1,
    clear_radius=0.0,
)


@pytest.fixture(autouse=True)
def usable() -> None:
    """Skips where there is no Triton."""
    require("cuda")


@pytest.fixture(scope="module")
def truth() -> Gaussians:
    return some_gaussians(12, degree=1)


@pytest.fixture(scope="module")
def capture(truth: Gaussians) -> Capture:
    """Three photographs and a held-out one."""
    cameras = some_cameras(4, size=SIZE)
    points = PointCloud(xyz=truth.means, rgb=rgb_from_dc(truth.sh[:, 0]).clamp(0, 1))
    return capture_of(photographs_of(truth, cameras[:3]), photographs_of(truth, cameras[3:]), points=points)


@pytest.mark.slow
def test_a_fit_and_what_is_known_of_it(capture: Capture, tmp_path: Path) -> None:
    told: dict[str, list[Event]] = {"cuda": [], "reference": []}
    fit(capture, PLAN, backend="cuda", out=tmp_path / "cuda", on_event=told["cuda"].append)
    scene = fit(capture, PLAN, backend="reference", out=tmp_path / "reference", on_event=told["reference"].append)
    losses = {name: [event.loss for event in events if isinstance(event, Stepped)] for name, events in told.items()}
    assert losses["cuda"] == pytest.approx(losses["reference"], rel=1e-4)
    there = scene.to(gpu.device_type())
    scores = [
        evaluate(on, capture.test, backend=name, options=RasterOptions()).psnr
        for on, name in ((there, "cuda"), (scene, "reference"))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    photographs: Photographs = capture.train  # pyright: ignore[reportAssignmentType]
    camera = capture.test[0].cameras
    maps = []
    for on, name in ((there, "cuda"), (scene, "reference")):
        evidence = information.gather(on, Photographs(photographs.views[:1]), backend=name)
        known = information.posterior(on, evidence)
        found = information.map(on, known, camera, backend=name)
        assert found.gain.device.type == on.background.means.device.type
        maps.append(found)
    gain, expected = (found.gain.cpu() for found in maps)
    assert expected.max() > 0
    torch.testing.assert_close(gain, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))
    std, wanted = (found.variance.cpu().sqrt() for found in maps)
    torch.testing.assert_close(std, wanted, rtol=1e-3, atol=1e-3 * float(wanted.max()))
