"""Exposures, the optimiser's rates, depth loss, interrupts, the estimated time."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from tests.unit.fit.scenes import some_gaussians
from veduta.core import Render
from veduta.fit import FitPlan
from veduta.fit.exposure import Exposures, distance_from_identity, exposed
from veduta.fit.interrupts import interrupts_held
from veduta.fit.loop import eta_seconds
from veduta.fit.loss import SparseDepth, depth_loss
from veduta.fit.optimizer import step_
from veduta.fit.parameters import FIELDS, Parameters
from veduta.fit.plan import AdamPlan, LearningRates


def test_the_first_adam_step_is_the_rate_of_each_parameter() -> None:
    parameters = Parameters.of([some_gaussians(8, degree=1)])
    before = {field: column.raw.clone() for field, column in parameters.columns.items()}
    rates = LearningRates()
    gradients = {field: torch.full_like(c.raw, 0.3) for field, c in parameters.columns.items()}
    step_(parameters, gradients, rates=rates, means_rate=0.02, adam=AdamPlan(), step=1)
    moved = {field: before[field] - parameters.columns[field].raw for field in FIELDS}
    assert torch.allclose(moved["means"], torch.tensor(0.02), atol=1e-6)
    assert torch.allclose(moved["quats"], torch.tensor(rates.quats), atol=1e-6)
    assert torch.allclose(moved["scales"], torch.tensor(rates.scales), atol=1e-6)
    assert torch.allclose(moved["opacities"], torch.tensor(rates.opacities), atol=1e-6)
    assert torch.allclose(moved["sh"][:, 0], torch.tensor(rates.sh0), atol=1e-6)
    assert torch.allclose(moved["sh"][:, 1:], torch.tensor(rates.sh_rest), atol=1e-6)


def test_an_exposure_moves_alone_and_the_identity_changes_nothing() -> None:
    exposures = Exposures.identity(3)
    picture = torch.rand(4, 5, 3)
    assert torch.allclose(exposed(picture, exposures.leaf(1)), picture)
    assert float(distance_from_identity(exposures.matrices[1])) == 0.0
    exposures.step_(1, torch.ones(3, 4), rate=0.01, adam=AdamPlan())
    assert torch.equal(exposures.matrices[0], torch.eye(3, 4))
    assert torch.allclose(exposures.matrices[1], torch.eye(3, 4) - 0.01)
    assert exposures.moves.tolist() == [0, 1, 0]
    assert float(distance_from_identity(exposures.matrices[1])) == pytest.approx(1e-4, rel=1e-3)


def test_the_depth_loss_compares_inverse_depths_where_there_is_something() -> None:
    depth = torch.full((1, 4, 4), 2.0)
    alpha = torch.ones(1, 4, 4)
    alpha[0, 0, 0] = 0.1
    render = Render(color=torch.zeros(1, 4, 4, 3), alpha=alpha, depth=depth)
    uv = torch.tensor([[0.1, 0.1], [0.6, 0.6], [0.99, 1.0]])
    known = SparseDepth(uv=uv, depth=torch.tensor([1.0, 4.0, 2.0]), weight=torch.tensor([1.0, 1.0, 3.0]))
    assert float(depth_loss(render, known)) == pytest.approx((1.0 * 0.25 + 3.0 * 0.0) / 4.0)
    unseen = SparseDepth(uv=uv[:1], depth=torch.ones(1), weight=torch.ones(1))
    assert float(depth_loss(render, unseen)) == 0.0


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    reached: list[str] = []

    def work() -> None:
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait() -> None:
    reached: list[str] = []

    def work() -> None:
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_and_other_threads_are_left_alone() -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGINT, mine)
    try:
        with interrupts_held():
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with interrupts_held():
                pass
        except BaseException as error:  # noqa: BLE001 (handed to the main thread)
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed


def test_the_estimated_time_knows_that_larger_pictures_take_longer() -> None:
    plan = FitPlan(steps=1000, doublings=(0.5,))
    early = eta_seconds(plan, done=100, seconds_per_step=1.0)
    assert early > 900.0
    assert eta_seconds(plan, done=600, seconds_per_step=1.0) == pytest.approx(400.0)
    assert eta_seconds(plan, done=1000, seconds_per_step=1.0) == 0.0
    assert eta_seconds(FitPlan(steps=1000, doublings=()), done=100, seconds_per_step=1.0) == pytest.approx(900.0)
