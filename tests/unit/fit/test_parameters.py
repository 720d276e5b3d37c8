"""Raw parameters: inverse of each other, edited bit for bit, gradients by the chain rule."""

from __future__ import annotations

import pytest
import torch

from tests.unit.fit.scenes import some_gaussians
from veduta.core import Edit, Gaussians
from veduta.fit.parameters import FIELDS, Parameters
from veduta.geometry import quat_normalize


def filled(n: int = 12, *, degree: int = 1, owners: int = 1) -> Parameters:
    """Parameters whose moments are all different from zero."""
    parts = [some_gaussians(n, seed=k, degree=degree) for k in range(owners)]
    parameters = Parameters.of(parts)
    generator = torch.Generator().manual_seed(9)
    for column in parameters.columns.values():
        column.moment1.normal_(generator=generator)
        column.moment2.uniform_(0.1, 1.0, generator=generator)
    return parameters


def random_edit(parameters: Parameters, fields: tuple[str, ...], *, seed: int = 1) -> Edit:
    """Some rows dropped, some doubled, some changed."""
    generator = torch.Generator().manual_seed(seed)
    n = len(parameters)
    source = torch.randint(n, (n + 5,), generator=generator)
    changed = torch.rand(n + 5, generator=generator) < 0.4
    values = some_gaussians(int(changed.sum()), seed=77, degree=1)
    return Edit(source=source, changed=changed, values=values, fields=fields, reason="densify")


def test_physical_values_come_back() -> None:
    before = some_gaussians(20, degree=2)
    after = Parameters.of([before]).parts(2)[0]
    for field in FIELDS:
        assert torch.allclose(getattr(after, field), getattr(before, field), atol=1e-6), field


def test_opacities_of_0_and_1_and_scales_of_0_stay_finite() -> None:
    extreme = some_gaussians(2).replace(opacities=torch.tensor([0.0, 1.0]), scales=torch.zeros(2, 3))
    parameters = Parameters.of([extreme])
    assert parameters.all_finite()
    assert torch.allclose(parameters.gaussians().opacities, torch.tensor([0.0, 1.0]), atol=1e-5)


@pytest.mark.parametrize("fields", [(), ("opacities",), ("means", "scales"), FIELDS])
def test_an_edit_copies_bit_for_bit_and_restarts_only_changed_fields(fields: tuple[str, ...]) -> None:
    parameters = filled()
    old = {f: (c.raw.clone(), c.moment1.clone(), c.moment2.clone()) for f, c in parameters.columns.items()}
    edit = random_edit(parameters, fields)
    parameters.apply_edit_(edit)
    assert len(parameters) == len(edit.source)
    for field, column in parameters.columns.items():
        touched = edit.changed if field in fields else torch.zeros_like(edit.changed)
        for now, before in zip((column.raw, column.moment1, column.moment2), old[field], strict=True):
            assert torch.equal(now[~touched], before[edit.source[~touched]]), field
        assert not column.moment1[touched].any()
        assert not column.moment2[touched].any()
    for field in fields:
        wanted, got = getattr(edit.values, field), getattr(parameters.gaussians(), field)[edit.changed]
        assert torch.allclose(got, wanted, atol=1e-5), field


def test_an_edit_keeps_every_owners_rows_together() -> None:
    parameters = filled(6, owners=3)
    marks = parameters.owners().float() * 100 + torch.arange(18)
    parameters.columns["means"].raw[:, 0] = marks
    edit = random_edit(parameters, ("scales",))
    values = edit.values.replace(scales=torch.arange(1, len(edit.values) + 1)[:, None].expand(-1, 3) / 10)
    parameters.apply_edit_(edit.replace(values=values))
    placed = parameters.columns["means"].raw[:, 0]
    assert torch.equal((placed // 100).long(), parameters.owners())
    assert sum(parameters.counts) == len(edit.source)
    # Each new value arrived at a row with the mark of its own source.
    expected = sorted(zip(marks[edit.source[edit.changed]].tolist(), values.scales[:, 0].tolist(), strict=True))
    restarted = parameters.columns["scales"].moment1[:, 0] == 0
    got = zip(placed[restarted].tolist(), parameters.gaussians().scales[restarted, 0].tolist(), strict=True)
    assert sorted(got) == [(pytest.approx(a), pytest.approx(b)) for a, b in expected]


def test_growing_the_colour_appends_zeros_and_keeps_the_rest() -> None:
    parameters = filled(degree=0)
    before = parameters.columns["sh"].raw.clone(), parameters.columns["sh"].moment2.clone()
    parameters.grow_sh_(2)
    sh = parameters.columns["sh"]
    assert sh.raw.shape == (12, 9, 3)
    assert torch.equal(sh.raw[:, :1], before[0])
    assert torch.equal(sh.moment2[:, :1], before[1])
    assert not sh.raw[:, 1:].any()
    assert not sh.moment2[:, 1:].any()
    parameters.grow_sh_(1)
    assert sh.raw.shape == (12, 9, 3)


def test_raw_gradients_are_those_of_autograd() -> None:
    parameters = filled()
    leaves = parameters.leaves()
    weights = {field: torch.randn_like(getattr(leaves, field)) for field in FIELDS}
    sum((getattr(leaves, f) * weights[f]).sum() for f in FIELDS).backward()  # type: ignore[union-attr]
    got = parameters.raw_gradients(leaves, {field: getattr(leaves, field).grad for field in FIELDS})
    log_scales = parameters.columns["scales"].raw.clone().requires_grad_()
    logits = parameters.columns["opacities"].raw.clone().requires_grad_()
    ((log_scales.exp() * weights["scales"]).sum() + (logits.sigmoid() * weights["opacities"]).sum()).backward()
    assert torch.allclose(got["scales"], log_scales.grad)
    assert torch.allclose(got["opacities"], logits.grad)
    assert torch.equal(got["means"], weights["means"])


def test_parts_are_copies_with_unit_quaternions_and_all_harmonics() -> None:
    parameters = filled(degree=0)
    parameters.columns["quats"].raw *= 3.0
    part = parameters.parts(3)[0]
    assert part.sh.shape == (12, 16, 3)
    assert torch.allclose(part.quats, quat_normalize(part.quats), atol=1e-6)
    part.means.zero_()
    assert parameters.columns["means"].raw.any()


def test_finiteness_is_noticed_in_any_place() -> None:
    for field in FIELDS:
        for name in ("raw", "moment1", "moment2"):
            for value in (float("nan"), float("inf")):
                parameters = filled()
                getattr(parameters.columns[field], name).view(-1)[5] = value
                assert not parameters.all_finite()
    assert filled().all_finite()
    assert Parameters.of([Gaussians.empty()]).all_finite()
