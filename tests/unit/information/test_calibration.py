"""Intervals that hold what they promise: on errors of known distributions, and where they must not be trusted."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from tests.unit.information.tiny import around, gaussians
from veduta import information
from veduta.core import Cameras, InputError, Noise, Posterior, Scene, Views
from veduta.information import Calibration, ErrorModel, calibrate, calibration_from, measure_coverage
from veduta.measure import laplace_widths, normal_widths
from veduta.render import render_scene

WIDTH, HEIGHT = 32, 24
LEVELS = (0.5, 0.8, 0.95)


def scene() -> Scene:
    """Of colours about the middle, so that errors are not clamped away."""
    made = gaussians(12, sh_degree=0)
    return Scene(background=made.replace(sh=0.3 * made.sh))


def seen_from(count: int, *, first: float = 0.0) -> Cameras:
    return around([first + 8.0 * k for k in range(count)], width=WIDTH, height=HEIGHT)


@pytest.fixture(scope="module")
def known() -> Posterior:
    made = information.posterior(scene(), information.gather(scene(), seen_from(3)))
    return made.replace(noise=Noise(sigma=0.02, kappa=8.0, tau=0.25))


def std_of(known: Posterior, cameras: Cameras) -> Tensor:
    return (information.map(scene(), known, cameras).variance + known.noise.sigma**2).sqrt()


def photographs(cameras: Cameras, std: Tensor, shape: str, *, seed: int = 0) -> list[Views]:
    """Errors of this distribution and standard deviation, about a picture that is nowhere near 0 or 1."""
    source = torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(cameras), HEIGHT, WIDTH, 3, generator=source, dtype=torch.float64)
    sign = torch.where(torch.rand(uniform.shape, generator=source) < 0.5, -1.0, 1.0)
    widths = {"normal": normal_widths, "laplace": laplace_widths}[shape]
    error = sign * widths(uniform.flatten().clamp(max=1 - 1e-9)).view_as(sign) * std[..., None]
    color = render_scene(scene(), cameras).color.clamp(0, 1)
    views = Views.of(cameras, rgb=color + error)
    return [views[i] for i in range(len(cameras))]


@pytest.mark.parametrize("shape", ["normal", "laplace"])
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_intervals_hold_on_other_views_whatever_the_distribution(known: Posterior, shape: str, factor: float) -> None:
    cameras = seen_from(8)
    found = calibrate(scene(), known, photographs(cameras, factor * std_of(known, cameras), shape))
    assert found.after is not None
    others = seen_from(4, first=3.0)
    fresh = photographs(others, factor * std_of(known, others), shape, seed=1)
    there = measure_coverage(scene(), known, fresh, found)
    for level in LEVELS:
        assert abs(there.at(level) - level) < 0.03
        for coverage in (found.after, *found.halves):
            assert abs(coverage.at(level) - level) < 0.03
    assert found.noise == found.scale  # noise and what is unknown were equally wrong
    expected = {"normal": normal_widths, "laplace": laplace_widths}[shape]
    share = float(expected(torch.tensor([math.erf(math.sqrt(0.5))]))[0])
    assert found.scale == pytest.approx(factor * share, rel=0.03)
    for level in LEVELS:
        assert found.width(level) * share == pytest.approx(float(expected(torch.tensor([level]))[0]), rel=0.05)


def test_what_was_right_before_says_so(known: Posterior) -> None:
    cameras = seen_from(4)
    found = calibrate(scene(), known, photographs(cameras, std_of(known, cameras), "normal"))
    for level, covered in zip(found.before.levels, found.before.covered, strict=True):
        assert abs(covered - level) < 0.02
    twice = calibrate(scene(), known, photographs(cameras, 2 * std_of(known, cameras), "normal"))
    assert all(half < whole for half, whole in zip(twice.before.covered, found.before.covered, strict=True))


def test_larger_errors_than_were_held_out_are_not_held(known: Posterior) -> None:
    cameras = seen_from(4)
    std = std_of(known, cameras)
    found = calibrate(scene(), known, photographs(cameras, std, "normal"))
    worse = measure_coverage(scene(), known, photographs(cameras, 3 * std, "normal", seed=1), found)
    for level in LEVELS:
        assert worse.at(level) < level - 0.1


def test_maps_and_intervals_are_scaled_alike(known: Posterior) -> None:
    cameras = seen_from(6)
    std = 2 * std_of(known, cameras)
    found = calibrate(scene(), known, photographs(cameras, std, "normal"))
    variance = information.map(scene(), known, cameras, calibration=found).variance
    torch.testing.assert_close(found.std(variance, known.noise.sigma), std, rtol=0.04, atol=0)


def test_noise_that_is_too_small_gets_its_own_factor(known: Posterior) -> None:
    cameras = seen_from(6)
    variance = information.map(scene(), known, cameras).variance
    std = (variance + (4 * known.noise.sigma) ** 2).sqrt()
    found = calibrate(scene(), known, photographs(cameras, std, "normal"))
    assert found.noise / found.scale == pytest.approx(4.0, rel=0.5)


def test_predicted_errors_take_the_place_of_noise(known: Posterior) -> None:
    cameras = seen_from(6)
    source = torch.Generator().manual_seed(5)
    rows = len(scene().background)
    model = ErrorModel(
        values=0.02 + 0.2 * torch.rand(rows, generator=source, dtype=torch.float64),
        background=torch.tensor(0.02, dtype=torch.float64),
        mean=torch.tensor(0.05, dtype=torch.float64),
    )
    predicted = information.error_map(scene(), model, cameras)
    std = (information.map(scene(), known, cameras).variance + predicted.square()).sqrt()
    views = photographs(cameras, std, "normal")
    found = calibrate(scene(), known, views, errors=model)
    assert found.with_errors
    assert found.noise / found.scale == pytest.approx(1.0, rel=0.5)
    variance = information.map(scene(), known, cameras, calibration=found).variance
    torch.testing.assert_close(found.std(variance, predicted), std, rtol=0.1, atol=0)
    assert abs(measure_coverage(scene(), known, views, found, errors=model).at(0.8) - 0.8) < 0.01
    with pytest.raises(InputError, match="another way of predicting"):
        measure_coverage(scene(), known, views, found)


def test_a_warp_is_part_of_what_is_calibrated(known: Posterior) -> None:
    cameras = seen_from(4)

    def warp(camera: Cameras, color: Tensor) -> Tensor:
        return torch.full_like(color[..., 0], 0.15)  # a factor of 4 of the variance, 2 of the deviation

    std = (4 * information.map(scene(), known, cameras).variance + known.noise.sigma**2).sqrt()
    views = photographs(cameras, std, "normal")
    one, two = (calibrate(scene(), known, views, warp=w) for w in (None, warp))
    assert (one.with_warp, two.with_warp) == (False, True)
    assert abs(one.before.at(0.8) - 0.8) > 0.1
    for level in LEVELS:
        assert abs(two.before.at(level) - level) < 0.02
    assert two.scale == pytest.approx(1.0, rel=0.05)
    with pytest.raises(InputError, match="another way of predicting"):
        measure_coverage(scene(), known, views, two)


def test_masked_pixels_do_not_count(known: Posterior) -> None:
    cameras = seen_from(3)
    views = photographs(cameras, std_of(known, cameras), "normal")
    weight = torch.ones(1, HEIGHT, WIDTH, dtype=torch.float64)
    weight[:, :10] = 0
    spoiled = [v.replace(weight=weight, rgb=torch.where(weight[..., None] > 0, v.rgb, 1e3)) for v in views]
    clean = [v.replace(weight=weight) for v in views]
    assert calibrate(scene(), known, spoiled) == calibrate(scene(), known, clean)


def test_neither_grouping_nor_progress_changes_anything(known: Posterior) -> None:
    cameras = seen_from(4)
    views = photographs(cameras, std_of(known, cameras), "laplace")
    together = Views.of(cameras, rgb=torch.cat([v.rgb for v in views]))
    told: list[tuple[int, int]] = []
    one = calibrate(scene(), known, views, on_view=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    other = calibrate(scene(), known, [together])
    assert other.scale == pytest.approx(one.scale, rel=1e-6)
    assert other.after == one.after


def test_a_single_view_gives_no_second_opinion(known: Posterior) -> None:
    found = calibrate(scene(), known, photographs(seen_from(1), std_of(known, seen_from(1)), "normal"))
    assert found.after is None
    assert found.halves == ()
    assert found.before.views == 1
    assert calibration_from(found.as_dict()) == found


def test_widths_rise_with_the_level(known: Posterior) -> None:
    found = calibrate(scene(), known, photographs(seen_from(2), std_of(known, seen_from(2)), "laplace"))
    at = [found.width(k / 200) for k in range(200)]
    assert at[0] == 0
    assert at == sorted(at)
    assert found.width(math.erf(math.sqrt(0.5))) == pytest.approx(1.0, rel=0.01)
    for wrong in (-0.1, 0.9999):
        with pytest.raises(InputError, match="no such level"):
            found.width(wrong)


def test_a_calibration_survives_json(known: Posterior) -> None:
    found = calibrate(scene(), known, photographs(seen_from(2), std_of(known, seen_from(2)), "normal"))
    assert calibration_from(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.0},
        {"scale": math.nan},
        {"noise": "much"},
        {"widths": [1.0]},
        {"levels": []},
        {"before": None},
        {"halves": [{"levels": [0.5]}]},
    ],
)
def test_what_is_not_a_calibration_is_refused(known: Posterior, change: dict[str, object]) -> None:
    found = calibrate(scene(), known, photographs(seen_from(1), std_of(known, seen_from(1)), "normal"))
    with pytest.raises(InputError, match="not a calibration"):
        calibration_from({**found.as_dict(), **change}, where="calibration.json")


def test_an_exact_prediction_is_no_accident_of_division(known: Posterior) -> None:
    cameras = seen_from(2)
    found = calibrate(scene(), known, photographs(cameras, torch.zeros(2, HEIGHT, WIDTH), "normal"))
    assert isinstance(found, Calibration)
    assert 0 < found.scale < 1e-3
    assert all(map(math.isfinite, found.widths))


def test_without_held_out_photographs_there_is_nothing_to_calibrate_on(known: Posterior) -> None:
    with pytest.raises(InputError, match="no held-out photographs") as raised:
        calibrate(scene(), known, [])
    assert raised.value.hint is not None
    assert "--test-every" in raised.value.hint
    view = photographs(seen_from(1), std_of(known, seen_from(1)), "normal")[0]
    with pytest.raises(InputError, match="all masked"):
        calibrate(scene(), known, [view.replace(weight=torch.zeros_like(view.weight))])
