"""Ranking of cameras: laws of information, and that the lazy way chooses what the plain way does."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.information import tiny
from veduta import information
from veduta.core import Cameras, Evidence, InputError, Noise, Scene
from veduta.geometry import Similarity, transform_cameras, transform_scene, unpack
from veduta.information import ASSUMED_NOISE, add, gather, measured_noise, next_view, posterior
from veduta.information.next_view import Ranking, _log_det

POOL = tiny.around([-20.0, 0.0, 30.0, 80.0, 120.0, 180.0, 240.0])


@pytest.fixture(params=["pixels", "parameters"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def ranked(
    scene: Scene, evidence: Evidence, candidates: Cameras = POOL, *, kind: str, count: int = 1, **settings
) -> Ranking:
    settings = {"noise": ASSUMED_NOISE, "backend": "reference"} | settings
    return next_view(scene, evidence, candidates, kind=kind, count=count, **settings)


def seen(scene: Scene, degrees: list[float]) -> Evidence:
    return gather(scene, tiny.around(degrees), backend="reference")


def block_gain(scene: Scene, evidence: Evidence, camera: Cameras) -> float:
    """1/2 sum log det(1 + H_v P / (kappa sigma^2)) with the posterior's covariance, in the parameters' own units."""
    covariance = unpack(posterior(scene, evidence, kind="block", noise=ASSUMED_NOISE).covariance)
    told = unpack(gather(scene, camera, backend="reference").fisher)
    told = told / (ASSUMED_NOISE.kappa * ASSUMED_NOISE.sigma**2)
    one = torch.eye(13, dtype=torch.float64)
    return float(torch.linalg.slogdet(one + told @ covariance).logabsdet.sum()) / 2


@pytest.mark.parametrize("moving", [False, True])
def test_a_gain_of_parameters_is_the_drop_of_entropy(moving: bool) -> None:
    scene = tiny.scene(moving=moving)
    evidence = gather(scene, tiny.around([0.0], times=[0.3]), backend="reference", known_background=True)
    candidates = tiny.around([0.0, 90.0], times=[1.7, 0.9])
    found = ranked(scene, evidence, candidates, kind="parameters").alone
    expected = [block_gain(scene, evidence, candidates[i]) for i in range(2)]
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-6, atol=1e-6)


def test_the_first_choice_is_the_best_single_one(kind: str) -> None:
    scene = tiny.scene()
    found = ranked(scene, seen(scene, [0.0]), count=3, kind=kind)
    assert int(found.indices[0]) == int(found.alone.argmax())
    assert float(found.gains[0]) == float(found.alone.max())


@pytest.mark.parametrize("known_background", [False, True])
def test_lazy_choices_are_the_plain_greedy_ones(known_background: bool, kind: str) -> None:
    scene = tiny.scene(moving=True, sky=True)
    evidence = gather(scene, tiny.around([0.0]), backend="reference", known_background=known_background)
    found = ranked(scene, evidence, count=len(POOL), kind=kind)
    left = list(range(len(POOL)))
    for step in range(len(POOL)):
        alone = ranked(scene, evidence, POOL[left], kind=kind).alone
        assert left[int(alone.argmax())] == int(found.indices[step])
        torch.testing.assert_close(alone.max(), found.gains[step], rtol=1e-9, atol=1e-9)
        chosen = left.pop(int(alone.argmax()))
        evidence = add(evidence, gather(scene, POOL[chosen], backend="reference", known_background=known_background))
    assert sorted(found.indices.tolist()) == list(range(len(POOL)))


def test_choosing_leaves_the_evidence_as_it_was(kind: str) -> None:
    scene = tiny.scene()
    evidence = seen(scene, [0.0])
    before = evidence.fisher.clone()
    ranked(scene, evidence, count=3, kind=kind)
    assert torch.equal(evidence.fisher, before)


def test_gains_never_rise(kind: str) -> None:
    scene = tiny.scene()
    found = ranked(scene, seen(scene, [0.0]), count=len(POOL), kind=kind)
    assert (found.gains.diff() <= 1e-9).all()
    assert (found.gains > 0).all()


def test_every_gain_falls_when_evidence_is_added(kind: str) -> None:
    scene = tiny.scene(sky=True)
    little, more = seen(scene, [0.0]), seen(scene, [0.0, 90.0])
    assert (ranked(scene, more, kind=kind).alone < ranked(scene, little, kind=kind).alone).all()
    assert (ranked(scene, little, kind=kind).alone < ranked(scene, tiny.nothing(scene), kind=kind).alone).all()


def test_a_camera_seen_before_tells_less_than_a_new_one(kind: str) -> None:
    scene = tiny.scene()
    found = ranked(scene, seen(scene, [0.0]), tiny.around([0.0, 90.0]), kind=kind).alone
    assert found[0] < 0.6 * found[1]


def test_nothing_depends_on_the_unit_or_the_axes_of_the_world(kind: str) -> None:
    scene, views = tiny.scene(), tiny.around([0.0])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    world = Similarity(0.01, turn * torch.linalg.det(turn), torch.tensor([1.0, -2.0, 3.0]).double())
    moved = transform_scene(scene, world)
    here = gather(scene, views, backend="reference", known_background=True)
    there = gather(moved, transform_cameras(views, world), backend="reference", known_background=True)
    a, b = (
        ranked(scene, here, count=4, kind=kind),
        ranked(moved, there, transform_cameras(POOL, world), count=4, kind=kind),
    )
    assert a.indices.tolist() == b.indices.tolist()
    torch.testing.assert_close(a.alone, b.alone, rtol=1e-6, atol=1e-8)


def test_nothing_depends_on_the_order_of_gaussians_or_candidates(kind: str) -> None:
    scene = tiny.scene()
    rows = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    shuffled = Scene(scene.background[rows])
    order = [3, 0, 6, 2, 5, 1, 4]
    a = ranked(scene, seen(scene, [0.0]), count=4, kind=kind)
    b = ranked(shuffled, seen(shuffled, [0.0]), POOL[order], count=4, kind=kind)
    assert [order[i] for i in b.indices.tolist()] == a.indices.tolist()
    torch.testing.assert_close(b.alone, a.alone[order])


def test_unseen_space_counts_until_its_direction_was_seen(kind: str) -> None:
    """A camera that looks past everything gains, less so the more often it was looked there, nothing where known."""
    scene = Scene(tiny.gaussians(4, spread=0.1))
    away = tiny.around([0.0])
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]).double())  # half a turn about the camera's own y
    away = away.replace(world_from_camera=away.world_from_camera @ turn)
    evidence = gather(scene, away[[]], backend="reference")
    gains = [float(ranked(scene, evidence, away, kind=kind).alone)]
    for _ in range(3):
        evidence = add(evidence, gather(scene, away, backend="reference"))
        gains.append(float(ranked(scene, evidence, away, kind=kind).alone))
    assert gains[1] < 0.8 * gains[0]
    assert gains == sorted(gains, reverse=True)
    known = gather(scene, away[[]], backend="reference", known_background=True)
    assert float(ranked(scene, known, away, kind=kind).alone) == 0.0
    # Nothing but clear pixels: each of unknown colour, kappa of them as one.
    pixel = 1.5 * math.log1p((ASSUMED_NOISE.tau / ASSUMED_NOISE.sigma) ** 2) / ASSUMED_NOISE.kappa
    assert gains[0] == pytest.approx(tiny.WIDTH * tiny.HEIGHT * pixel, rel=1e-6)


def test_progress_is_told_and_a_scene_without_gaussians_has_a_ranking(kind: str) -> None:
    told: list[tuple[int, int]] = []
    empty = Scene(tiny.gaussians(0))
    found = ranked(
        empty, tiny.nothing(empty), POOL, count=2, on_view=lambda done, total: told.append((done, total)), kind=kind
    )
    assert told == [(i + 1, len(POOL)) for i in range(len(POOL))]
    assert found.indices[0] != found.indices[1]


def test_noise_is_that_of_photographs_where_it_is_not_given(kind: str) -> None:
    scene = tiny.scene()
    evidence = tiny.known(scene, [0.0, 40.0])
    noise = Noise(sigma=0.01, kappa=1.0, tau=measured_noise(evidence).tau)
    found, again = (ranked(scene, evidence, kind=kind, noise=given) for given in (None, noise))
    assert torch.equal(found.alone, again.alone)
    assert not torch.equal(found.alone, ranked(scene, evidence, kind=kind).alone)


@pytest.mark.parametrize("kappa", [1.0, 4.0])
def test_a_gain_of_pixels_is_its_map_summed_up(kappa: float) -> None:
    scene = tiny.scene(moving=True, sky=True)
    evidence = tiny.known(scene, [0.0, 40.0])
    noise = Noise(sigma=0.02, kappa=kappa, tau=0.3)
    known = posterior(scene, evidence, kind="block", noise=noise)
    maps = information.map(scene, known, POOL, backend="reference")
    found = ranked(scene, evidence, kind="pixels", noise=noise)
    torch.testing.assert_close(found.alone, maps.gain.sum(dim=(1, 2)) / kappa)
    assert torch.equal(next_view(scene, evidence, POOL, noise=noise, backend="reference").alone, found.alone)


def test_what_cannot_be_ranked_is_refused(kind: str) -> None:
    scene = tiny.scene()
    with pytest.raises(InputError, match="cannot choose that many"):
        ranked(scene, tiny.nothing(scene), count=8, kind=kind)
    with pytest.raises(InputError, match="cannot choose that many"):
        ranked(scene, tiny.nothing(scene), POOL[[]], kind=kind)
    with pytest.raises(InputError, match="no such criterion"):
        ranked(scene, tiny.nothing(scene), kind="photographs")
    with pytest.raises(InputError, match="belong"):
        ranked(scene, tiny.nothing(tiny.scene(moving=True)), kind=kind)


def test_rounding_that_made_information_indefinite_counts_for_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(2, 13, 13, generator=generator, dtype=torch.float64)).Q
    values = torch.linspace(0, 12, 13, dtype=torch.float64).repeat(2, 1)
    values[1, 0] = -3.0
    found = _log_det(axes @ torch.diag_embed(values) @ axes.mT)
    torch.testing.assert_close(found, torch.full((2,), math.lgamma(14.0), dtype=torch.float64))  # log 13!
