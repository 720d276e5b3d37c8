"""How many go on, which, and what gradients the scores get."""

from __future__ import annotations

import torch

from veduta.nets import Split, kept


def test_the_highest_scores_of_each_item_go_on() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 3.0, 2.0, 1.0, 4.0])
    parting = Split(2, 0.5).part(torch.ones(7, 2), scores, torch.tensor([3, 4]))
    assert parting.goes_on.tolist() == [1, 2, 3, 6]
    assert parting.leaves.tolist() == [0, 4, 5]


def test_shares_are_rounded_up() -> None:
    assert [kept(0.8, n) for n in (0, 1, 5, 6, 24_000)] == [0, 1, 4, 5, 19_200]


def test_sigmoid_gate_passes_features_and_gives_scores_a_gradient() -> None:
    features = torch.randn(6, 3, requires_grad=True)
    scores = torch.randn(6, requires_grad=True)
    upstream = torch.randn(6, 3)
    parting = Split(3, 0.5).part(features, scores, torch.tensor([6]))
    assert torch.allclose(parting.features, features)
    (upstream * parting.features).sum().backward()
    p = scores.detach().sigmoid()
    assert torch.allclose(features.grad, upstream * p[:, None])
    assert torch.allclose(scores.grad, (upstream * features.detach()).sum(dim=1) * p * (1 - p), atol=1e-6)


def test_softmax_gate_clears_leaves() -> None:
    features = torch.randn(6, 3)
    parting = Split(3, 0.5, gate="softmax").part(features, torch.arange(6.0), torch.tensor([6]))
    assert torch.allclose(parting.features[3:], features[3:], atol=1e-6)
    assert torch.allclose(parting.features[:3], torch.zeros(3, 3), atol=1e-6)


def test_rendered_gate_leaves_values_alone_and_tells_each_score_what_its_own_rows_lose() -> None:
    features = torch.randn(6, 3, requires_grad=True)
    scores = torch.arange(6.0, requires_grad=True)
    parting = Split(3, 0.5, gate="rendered").part(features, scores, torch.tensor([6]))
    assert torch.equal(parting.features, features)
    assert torch.equal(parting.gates, torch.ones(6))
    upstream = torch.randn(6)
    (upstream * parting.gates).sum().backward()
    p = torch.arange(6.0).sigmoid()
    sign = torch.tensor([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    assert torch.allclose(scores.grad, sign * upstream * p * (1 - p), atol=1e-6)
    assert features.grad is None


def test_gradients_vanish_with_the_number_of_rows_for_the_softmax_gate_only() -> None:
    """Straight-through gradients of one row: p for sigmoid, 1/n for softmax, 1 for rendered."""

    def passed(gate: str, count: int) -> float:
        features = torch.ones(count, 2, requires_grad=True)
        parting = Split(2, 0.5, gate=gate).part(features, torch.zeros(count), torch.tensor([count]))
        parting.features.sum().backward()
        return float(features.grad[0, 0])

    assert [round(passed("sigmoid", n), 6) for n in (10, 1000)] == [0.5, 0.5]
    assert [round(passed("softmax", n), 6) for n in (10, 1000)] == [0.1, 0.001]
    assert [round(passed("rendered", n), 6) for n in (10, 1000)] == [1.0, 1.0]
