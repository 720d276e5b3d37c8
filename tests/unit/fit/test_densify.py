"""Strategies: what an edit may and must do, and the laws of relocation."""

from __future__ import annotations

import pytest
import torch

from tests.unit.fit.scenes import some_gaussians
from tests.unit.fit.test_plan import moment
from veduta.core import Gaussians, Screen
from veduta.fit import DENSIFIERS, Adaptive, Densifier, Mcmc
from veduta.fit.densify.adaptive import strongest
from veduta.fit.densify.mcmc import MAX_COPIES, shared
from veduta.fit.parameters import Parameters


def screen_of(gradients: torch.Tensor, *, visible: torch.Tensor | None = None) -> Screen:
    """One picture in which the Gaussians have these view-space gradients (loss per pixel)."""
    means_px = torch.zeros(1, len(gradients), 2, requires_grad=True)
    means_px.grad = torch.stack([gradients, torch.zeros_like(gradients)], dim=1)[None]
    seen = torch.ones(1, len(gradients), dtype=torch.bool) if visible is None else visible[None]
    return Screen(means_px=means_px, absgrad=2 * means_px.grad, radii_px=seen.float(), visible=seen)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("kind", list(DENSIFIERS))
def test_every_strategy_gives_edits_that_parameters_can_apply(kind: str) -> None:
    strategy: Densifier = DENSIFIERS[kind]()
    gaussians = some_gaussians(60, degree=1)
    gaussians.opacities[:7] = 0.001
    for step in range(90, 3600):
        now = moment(step, max_gaussians=80)
        if not strategy.due(now):
            continue
        state = strategy.start(len(gaussians))
        if strategy.observes(now):
            strategy.observe(state, screen_of(torch.rand(60, generator=generator())), now, width=32, height=32)
        edit = strategy.propose(state, gaussians, now, generator=generator())
        if edit is None:
            continue
        assert len(edit.values) == int(edit.changed.sum())
        assert int(edit.source.max()) < len(gaussians)
        assert len(edit.source) <= 80
        parameters = Parameters.of([gaussians])
        parameters.apply_edit_(edit)
        assert parameters.all_finite()
        again = strategy.propose(state, gaussians, now, generator=generator())
        assert again is not None
        assert torch.equal(again.source, edit.source)
        assert torch.equal(again.values.means, edit.values.means)
    if strategy.drifts:
        rows, offsets = strategy.drift(gaussians, moment(100), generator=generator())
        assert len(rows) == len(offsets)


def observed(strategy: Adaptive, gaussians: Gaussians, gradients: torch.Tensor) -> dict[str, torch.Tensor]:
    state = strategy.start(len(gaussians))
    strategy.observe(state, screen_of(gradients), moment(100), width=200, height=100)
    return state


def test_small_ones_are_cloned_and_large_ones_split() -> None:
    gaussians = some_gaussians(4).replace(scales=torch.tensor([0.001, 0.001, 0.5, 0.5])[:, None].expand(4, 3))
    strategy = Adaptive()
    state = observed(strategy, gaussians, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    edit = strategy.propose(state, gaussians, moment(100 * 2), generator=generator())
    assert edit is not None
    assert sorted(edit.source.tolist()) == [0, 0, 1, 2, 2, 3]
    assert sorted(edit.source[edit.changed].tolist()) == [2, 2]
    assert torch.allclose(edit.values.scales, torch.full((2, 3), 0.5 / strategy.split_shrink))
    assert not torch.equal(edit.values.means[0], edit.values.means[1])


def test_the_threshold_is_in_half_pictures() -> None:
    gaussians = some_gaussians(1)
    per_px = 2e-4 / 100  # half of 200 pixels
    strategy = Adaptive(gradient_threshold=2e-4)
    for factor, wanted in ((1.01, 2), (0.99, None)):
        state = observed(strategy, gaussians, torch.tensor([factor * per_px]))
        edit = strategy.propose(state, gaussians, moment(200), generator=generator())
        assert (None if edit is None else len(edit.source)) == wanted


def test_gradients_are_averaged_over_the_pictures_that_show_a_gaussian() -> None:
    strategy = Adaptive()
    state = strategy.start(2)
    for visible in ([True, True], [True, False]):
        screen = screen_of(torch.tensor([1.0, 1.0]) * torch.tensor(visible), visible=torch.tensor(visible))
        strategy.observe(state, screen, moment(5), width=2, height=2)
    mean = state["gradient_sum"] / state["seen"]
    assert torch.allclose(mean, torch.ones(2))


def test_absolute_gradients_are_read_where_asked_for() -> None:
    plain, absolute = (observed(Adaptive(absolute=a), some_gaussians(1), torch.ones(1)) for a in (False, True))
    assert torch.allclose(absolute["gradient_sum"], 2 * plain["gradient_sum"])


def test_at_the_cap_only_the_strongest_are_densified() -> None:
    gaussians = some_gaussians(10)
    strategy = Adaptive()
    state = observed(strategy, gaussians, torch.arange(1.0, 11.0))
    edit = strategy.propose(state, gaussians, moment(200, max_gaussians=13), generator=generator())
    assert edit is not None
    assert len(edit.source) == 13
    counts = torch.bincount(edit.source, minlength=10)
    assert counts.tolist() == [1] * 7 + [2] * 3


def test_strongest_takes_no_more_than_there_is_room_for() -> None:
    value = torch.tensor([1.0, 5.0, 3.0, 5.0])
    everyone = torch.ones(4, dtype=torch.bool)
    assert strongest(value, everyone, 2).tolist() == [False, True, False, True]
    assert strongest(value, everyone, 0).tolist() == [False] * 4
    assert strongest(value, everyone, -3).tolist() == [False] * 4
    assert strongest(value, everyone & (value < 4), 3).tolist() == [True, False, True, False]


def test_faint_ones_are_pruned_but_never_all() -> None:
    gaussians = some_gaussians(5)
    gaussians.opacities[2] = 0.001
    strategy = Adaptive()
    edit = strategy.propose(strategy.start(5), gaussians, moment(200), generator=generator())
    assert edit is not None
    assert edit.source.tolist() == [0, 1, 3, 4]
    faint = gaussians.replace(opacities=torch.full((5,), 0.001))
    assert strategy.propose(strategy.start(5), faint, moment(200), generator=generator()) is None


def test_revised_opacities_cover_what_one_did() -> None:
    gaussians = some_gaussians(6)
    strategy = Adaptive(revise_opacity=True)
    edit = strategy.propose(observed(strategy, gaussians, torch.ones(6)), gaussians, moment(200), generator=generator())
    assert edit is not None
    parents = gaussians.opacities[edit.source[edit.changed]]
    assert torch.allclose(1 - (1 - edit.values.opacities) ** 2, parents, atol=1e-6)


def test_an_opacity_reset_lowers_opacities_only() -> None:
    gaussians = some_gaussians(5)
    strategy = Adaptive(reset_every=1000)
    now = moment(1001)
    assert strategy.due(now)
    edit = strategy.propose(strategy.start(5), gaussians, now, generator=generator())
    assert edit is not None
    assert edit.fields == ("opacities",)
    assert edit.source.tolist() == list(range(5))
    assert float(edit.values.opacities.max()) <= strategy.reset_opacity


@pytest.mark.parametrize("copies", [1, 2, 5, MAX_COPIES])
def test_shared_opacities_multiply_back_to_the_whole(copies: int) -> None:
    opacity = torch.tensor([1e-4, 0.01, 0.3, 0.9, 0.999])
    share, scales = shared(opacity, torch.ones(5, 3), torch.full((5,), copies))
    assert torch.allclose(1 - (1 - share.double()) ** copies, opacity.double(), atol=1e-5)
    assert torch.isfinite(scales).all()
    if copies == 1:
        assert torch.allclose(scales, torch.ones(5, 3), atol=1e-5)


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_shared_gaussians_draw_as_much_as_one(copies: int) -> None:
    # What eq. 9 asks for: the line integral of the composited opacity is that of the one Gaussian.
    opacity = torch.tensor([0.2, 0.6, 0.9])
    share, scales = shared(opacity, torch.ones(3, 3), torch.full((3,), copies))
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    one = opacity.double()[:, None] * torch.exp(-0.5 * x**2)
    each = share.double()[:, None] * torch.exp(-0.5 * (x / scales[:, :1].double()) ** 2)
    together = 1 - (1 - each) ** copies
    assert torch.allclose(torch.trapezoid(together, x), torch.trapezoid(one, x), rtol=1e-4)


def test_dead_ones_move_onto_living_ones() -> None:
    gaussians = some_gaussians(30)
    gaussians.opacities[[3, 4, 5]] = 0.001
    edit = Mcmc(growth=0.0).propose({}, gaussians, moment(200), generator=generator())
    assert edit is not None
    assert len(edit.source) == 30
    assert not set(edit.source.tolist()) & {3, 4, 5}
    still = torch.nonzero(~edit.changed).squeeze(1)
    assert torch.equal(edit.source[still], still)
    assert bool(edit.changed[[3, 4, 5]].all())


def test_growth_stops_at_the_cap() -> None:
    gaussians = some_gaussians(100)
    for cap, wanted in ((1000, 105), (102, 102), (50, None)):
        edit = Mcmc().propose({}, gaussians, moment(200, max_gaussians=cap), generator=generator())
        assert (None if edit is None else len(edit.source)) == wanted


def test_noise_has_the_shape_of_the_gaussian_and_spares_the_opaque() -> None:
    gaussians = some_gaussians(4000)
    gaussians.quats[:] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    gaussians.scales[:] = torch.tensor([0.2, 0.1, 0.05])
    gaussians.opacities[:] = 0.005
    gaussians.opacities[2000:] = 0.5
    strategy = Mcmc(noise=100.0)
    rows, offsets = strategy.drift(gaussians, moment(200, means_rate=0.01), generator=generator())
    assert torch.equal(rows, torch.arange(2000))
    expected = 100.0 * 0.01 * 0.5 * torch.tensor([0.2, 0.1, 0.05]) ** 2
    assert torch.allclose(offsets.std(dim=0), expected, rtol=0.1)
