"""What is known about a scene on a GPU, pretended: everything follows the scene, and comes to the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.pretend import PRETENDED, PretendTensor, pretending, values
from tests.unit.information.tiny import around, photographs, scene
from veduta import information
from veduta.core import Scene, Views
from veduta.information.warp import WarpConsistency
from veduta.io.evidence import load_evidence, save_evidence


@pytest.fixture(scope="module")
def subject() -> tuple[Scene, list[Views], list[Views]]:
    """A scene that moves under a sky, photographs of it, and held-out ones; on the CPU."""
    made = scene(moving=True, sky=True)
    seen = photographs(made, around([-20.0, 30.0], times=[0.0, 1.0]))
    return made, seen, photographs(made, around([10.0, -40.0], times=[0.0, 0.5]), seed=1)


def close(found: Tensor, expected: Tensor) -> None:
    assert isinstance(found, PretendTensor), "on the scene's device"
    torch.testing.assert_close(values(found), expected, rtol=1e-9, atol=1e-12)


def test_evidence_posterior_and_maps(subject: tuple[Scene, list[Views], list[Views]], tmp_path: Path) -> None:
    made, seen, held_out = subject
    cameras = held_out[0].cameras
    evidence = information.gather(made, seen, backend="reference")
    known = information.posterior(made, evidence)
    expected = information.map(made, known, cameras, backend="reference")
    with pretending():
        there = made.to(PRETENDED)
        found = information.gather(there, seen, backend="reference")
        posterior = information.posterior(there, found)
        maps = information.map(there, posterior, cameras, backend="reference")
        save_evidence(found, tmp_path / "evidence.safetensors", scene=there)
        read = load_evidence(tmp_path / "evidence.safetensors", scene=there)
        again = information.posterior(there, read)  # evidence from a file is on the CPU
        trust = information.confidence(posterior)
        cost = information.removal_cost(found, there)
    close(found.fisher, evidence.fisher)
    assert found.score is not None
    assert evidence.score is not None
    close(found.score, evidence.score)
    close(found.sky.seen, evidence.sky.seen)
    close(posterior.covariance, known.covariance)
    close(again.covariance, known.covariance)
    close(maps.gain, expected.gain)
    close(maps.variance, expected.variance)
    close(trust, information.confidence(known))
    close(cost, information.removal_cost(evidence, made))


def test_errors_warp_and_calibration(subject: tuple[Scene, list[Views], list[Views]]) -> None:
    made, seen, held_out = subject
    known = information.posterior(made, information.gather(made, seen, backend="reference"))
    model = information.fit_errors(made, seen, iterations=1, backend="reference")
    warp = WarpConsistency(made, [view.cameras for view in seen], backend="reference")
    expected = information.calibrate(made, known, held_out, errors=model, warp=warp, backend="reference")
    with pretending():
        there = made.to(PRETENDED)
        posterior = information.posterior(there, information.gather(there, seen, backend="reference"))
        found = information.fit_errors(there, seen, iterations=1, backend="reference")
        warps = WarpConsistency(there, [view.cameras for view in seen], backend="reference")
        calibration = information.calibrate(there, posterior, held_out, errors=found, warp=warps, backend="reference")
        drawn = information.error_map(there, found, held_out[0].cameras, backend="reference")
    close(found.values, model.values)
    close(drawn, information.error_map(made, model, held_out[0].cameras, backend="reference"))
    assert calibration.scale == pytest.approx(expected.scale, rel=1e-6)
    assert calibration.widths == pytest.approx(expected.widths, rel=1e-6)


@pytest.mark.parametrize("kind", ["pixels", "parameters"])
def test_the_next_view(kind: str, subject: tuple[Scene, list[Views], list[Views]]) -> None:
    made, seen, _ = subject
    candidates = around([60.0, 5.0])
    evidence = information.gather(made, seen, backend="reference")
    expected = information.next_view(made, evidence, candidates, count=2, kind=kind, backend="reference")
    with pretending():
        found = information.next_view(made.to(PRETENDED), evidence, candidates, count=2, kind=kind, backend="reference")
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.gains.tolist() == pytest.approx(expected.gains.tolist(), rel=1e-9)


def test_pruning(subject: tuple[Scene, list[Views], list[Views]]) -> None:
    made, seen, held_out = subject
    scores = information.removal_cost(information.gather(made, seen, backend="reference"), made)
    expected = information.prune_report(made, scores, held_out, (1.0, 0.5), backend="reference")
    with pretending():
        there = made.to(PRETENDED)
        found = information.prune_report(there, scores.to(PRETENDED), held_out, (1.0, 0.5), backend="reference")
        pruned = information.prune(there, scores, keep=0.5)
    assert [row.psnr for row in found] == pytest.approx([row.psnr for row in expected], rel=1e-9)
    assert isinstance(pruned.background.means, PretendTensor)
