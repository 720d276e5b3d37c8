"""Patches, attention, drop path and the block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from veduta.nets import Block, DropPath, PatchAttention, Points, Split, Upsample, norm, patches
from veduta.nets import rows as row_parts


@pytest.mark.parametrize("counts", [[5], [48], [49], [100], [200, 60, 48], [30, 100], [0, 7], [96, 0]])
def test_patches_cover_every_position_once(counts: list[int]) -> None:
    place, used = patches(torch.tensor(counts), 48)
    assert torch.equal(place[used].sort().values, torch.arange(sum(counts)))
    begin = 0
    for count in counts:
        own = ((place >= begin) & (place < begin + count)).any(dim=1)
        assert ((place[own] >= begin) & (place[own] < begin + count)).all(), "items stay apart"
        begin += count


def test_no_patches_of_nothing() -> None:
    place, used = patches(torch.tensor([0]), 48)
    assert place.shape == used.shape == (0, 48)


def test_attention_in_one_patch_is_plain_attention() -> None:
    layer = PatchAttention(16, 2).double()
    features = torch.randn(20, 16, dtype=torch.float64)
    query, key, value = (part.unflatten(1, (2, 8)).transpose(0, 1) for part in layer.qkv(features).chunk(3, dim=1))
    weights = (query @ key.mT / 8**0.5).softmax(dim=-1)
    expected = layer.proj((weights @ value).transpose(0, 1).flatten(1))
    found = layer(features, torch.randperm(20), torch.tensor([20]))
    assert torch.allclose(found, expected, atol=1e-12)


def test_norm_has_mean_zero_and_variance_one() -> None:
    found = norm(3 + 5 * torch.randn(4, 100, dtype=torch.float64))
    assert torch.allclose(found.mean(dim=1), torch.zeros(4, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.var(dim=1, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-5)


def test_drop_path_keeps_the_mean_and_drops_whole_rows() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.3)(torch.ones(10_000, 2))
    assert ((dropped == 0).all(dim=1) | (dropped == 1 / 0.7).all(dim=1)).all()
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(DropPath(0.3).eval()(torch.ones(5, 2)), torch.ones(5, 2))


class Half(nn.Module):
    """A layer that computes in bfloat16, whatever comes in, as linear ones do under autocast."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer.bfloat16()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features.bfloat16())


def test_attention_in_half_precision_of_features_in_full() -> None:
    """What norms and linear layers give under autocast on a GPU."""
    torch.manual_seed(0)
    layer = PatchAttention(16, 2)
    features, order, counts = torch.randn(70, 16, requires_grad=True), torch.randperm(70), torch.tensor([70])
    full = layer(features, order, counts)
    half = PatchAttention(16, 2)
    half.load_state_dict(layer.state_dict())
    half.qkv, half.proj = Half(half.qkv), Half(half.proj)  # pyright: ignore[reportAttributeAccessIssue]
    found = half(features, order, counts)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), full, atol=0.02)
    found.float().square().sum().backward()
    assert features.grad is not None


def test_a_block_is_deterministic_and_differentiable() -> None:
    torch.manual_seed(0)
    block = Block(16, 2, curve=0)
    points = Points.along_curves(torch.rand(70, 3), torch.tensor([40, 30]), 0.1)
    features = torch.randn(70, 16, requires_grad=True)
    first, second = block.eval()(features, points), block.eval()(features, points)
    assert torch.equal(first, second)
    first.square().sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_extents_beyond_the_curves_get_larger_cells() -> None:
    coords = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [100.0, 0.0, 0.0]])
    points = Points.along_curves(coords, torch.tensor([3]), 0.001)
    assert int(points.cells.max()) in (49_999, 50_000)
    with pytest.raises(ValueError, match="not finite"):
        Points.along_curves(coords.clone().fill_(float("inf")), torch.tensor([3]), 1.0)


def test_curves_change_places_with_a_generator() -> None:
    coords, counts = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([60])
    plain = Points.along_curves(coords, counts, 0.1).orders
    shuffled = [
        Points.along_curves(coords, counts, 0.1, generator=torch.Generator().manual_seed(s)).orders for s in (1, 1)
    ]
    assert torch.equal(shuffled[0], shuffled[1])
    assert not torch.equal(shuffled[0], plain)
    assert sorted(map(tuple, shuffled[0].tolist())) == sorted(map(tuple, plain.tolist()))


def test_parts_of_rows_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block, up, split = Block(16, 2, curve=0).eval(), Upsample(16, 8, 2).eval(), Split(8, 0.5).eval()
    coords, counts = torch.rand(60, 3), torch.tensor([60])
    features, points = torch.randn(60, 16), Points.along_curves(coords, counts, 0.1)

    def told() -> tuple[torch.Tensor, ...]:
        mixed = block(features, points)
        moved, born = up(coords, mixed, 0.1)
        return mixed, moved, born, split(born, 2 * counts).goes_on

    whole = told()
    monkeypatch.setattr(row_parts, "ROWS", 7)
    with torch.no_grad():
        for part, all_ in zip(told(), whole, strict=True):
            torch.testing.assert_close(part, all_.detach(), atol=1e-5, rtol=1e-5)
