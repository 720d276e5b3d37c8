"""The direction map: the sky's axes, sums that add up, the background's variance."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.information.tiny import around
from veduta.core import Noise, Sky
from veduta.geometry import sky_color
from veduta.information.directions import (
    COLUMNS,
    ROWS,
    add_seen,
    background_variance,
    no_directions,
    seen_by,
)

SIDES = around([0.0, 77.0, 180.0, 265.0], width=40, height=32)


@pytest.mark.parametrize("side", range(4))
def test_cells_are_those_of_a_sky_of_that_size(side: int) -> None:
    """A pixel's cell is the one that weighs most in the sky's bilinear lookup."""
    camera = SIDES[side]
    hit = add_seen(no_directions(), camera, torch.ones(32, 40).double()).seen.nonzero()
    assert len(hit) > 50
    for row, column in hit[::25].tolist():
        one = torch.zeros(ROWS, COLUMNS, 1).double()
        one[row, column] = 1
        shown = sky_color(Sky(texture=one.expand(-1, -1, 3), up=no_directions().up), camera)[0, ..., 0]
        inside = seen_by(no_directions().replace(seen=one[..., 0]), camera) > 0
        assert bool((shown[inside] >= 0.25 - 1e-9).all())
        assert bool((shown[~inside] <= 0.5 + 1e-9).all())


def test_straight_up_is_the_first_row() -> None:
    pose = torch.eye(4).double()[None]
    up = SIDES[0].replace(world_from_camera=pose)  # the camera's z axis is the world's
    seen = add_seen(no_directions(), up, torch.ones(32, 40).double()).seen
    assert bool((seen[0] > 0).any())
    assert seen[ROWS // 2 :].sum() == 0


def test_amounts_add_up_and_places_do_not_matter() -> None:
    amount = torch.rand(32, 40, generator=torch.Generator().manual_seed(0)).double()
    once = add_seen(no_directions(), SIDES[1], amount)
    assert float(once.seen.sum()) == pytest.approx(float(amount.sum()))
    poses = SIDES[1].world_from_camera.clone()
    poses[:, :3, 3] += 5
    twice = add_seen(once, SIDES[1].replace(world_from_camera=poses), amount)
    torch.testing.assert_close(twice.seen, 2 * once.seen)
    assert once.seen.dtype == torch.float64


def test_the_variance_of_a_background() -> None:
    noise = Noise(sigma=0.05, kappa=4.0, tau=0.2)
    clear = torch.rand(32, 40, generator=torch.Generator().manual_seed(0)).double()
    unseen = background_variance(no_directions(), SIDES[2], clear, noise=noise)
    torch.testing.assert_close(unseen, clear**2 * 0.04)
    assert background_variance(no_directions(known=True), SIDES[2], clear, noise=noise).abs().max() == 0
    seen = add_seen(no_directions(), SIDES[2], torch.ones(32, 40).double())
    times = seen_by(seen, SIDES[2])
    assert float(times.min()) >= 1
    expected = clear**2 / (1 / 0.04 + times / (4 * 0.05**2))
    torch.testing.assert_close(background_variance(seen, SIDES[2], clear, noise=noise), expected)
    elsewhere = background_variance(seen, SIDES[0], clear, noise=noise)
    torch.testing.assert_close(elsewhere, clear**2 * 0.04)


def test_float32_cameras() -> None:
    camera = SIDES[1].to(torch.float32)
    seen = add_seen(no_directions(), camera, torch.ones(32, 40))
    assert float(seen.seen.sum()) == 32 * 40
    variance = background_variance(seen, camera, torch.ones(32, 40), noise=Noise(sigma=0.1, kappa=1.0, tau=0.2))
    assert variance.dtype == torch.float32
    assert not math.isnan(float(variance.sum()))
