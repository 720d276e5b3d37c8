"""Rotations and rigid transforms: group laws, round trips, behaviour near the identity and near half turns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from veduta.geometry.rotations import (
    is_rigid,
    matrix_from_quat,
    quat_conjugate,
    quat_from_matrix,
    quat_multiply,
    quat_normalize,
    quat_slerp,
    rigid,
    rigid_inverse,
    se3_exp,
    se3_log,
    so3_exp,
    so3_log,
)

EYE3 = torch.eye(3, dtype=torch.float64)
EYE4 = torch.eye(4, dtype=torch.float64)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _rotvecs() -> Tensor:
    """Random, zero, tiny on both sides of the series' border, and close to half a turn."""
    axes = torch.nn.functional.normalize(_random(8, 3), dim=-1)
    angles = torch.tensor([0.0, 1e-9, 0.9e-3, 1.1e-3, 0.5, 2.0, 3.1, torch.pi - 1e-6], dtype=torch.float64)
    return axes * angles[:, None]


def test_quaternion_product_is_matrix_product() -> None:
    a, b = quat_normalize(_random(20, 4, seed=1)), quat_normalize(_random(20, 4, seed=2))
    assert torch.allclose(matrix_from_quat(quat_multiply(a, b)), matrix_from_quat(a) @ matrix_from_quat(b))
    assert torch.allclose(matrix_from_quat(quat_conjugate(a)), matrix_from_quat(a).mT)


def test_quaternion_product_broadcasts() -> None:
    one, many = quat_normalize(_random(4, seed=1)), quat_normalize(_random(3, 2, 4, seed=2))
    assert torch.allclose(quat_multiply(one, many)[1, 1], quat_multiply(one, many[1, 1]))


def test_matrix_and_quaternion_round_trip_at_every_angle() -> None:
    matrices = so3_exp(_rotvecs())
    assert torch.allclose(matrix_from_quat(quat_from_matrix(matrices)), matrices, atol=1e-12)
    half_turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64))
    assert torch.allclose(matrix_from_quat(quat_from_matrix(half_turns)), half_turns)


def test_quarter_turn_about_z() -> None:
    quat = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5], dtype=torch.float64)
    expected = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert torch.allclose(matrix_from_quat(quat), expected)
    assert torch.allclose(so3_exp(torch.tensor([0.0, 0, torch.pi / 2], dtype=torch.float64)), expected)


def test_exponential_and_logarithm_are_inverse() -> None:
    rotvecs = _rotvecs()
    assert torch.allclose(so3_log(so3_exp(rotvecs)), rotvecs, atol=1e-9)
    tangents = torch.cat([_random(8, 3, seed=3), rotvecs], dim=-1)
    assert torch.allclose(se3_log(se3_exp(tangents)), tangents, atol=1e-8)


def test_exponential_agrees_with_the_matrix_exponential() -> None:
    tangents = torch.cat([_random(8, 3, seed=4), _rotvecs()], dim=-1)
    generator = torch.zeros(8, 4, 4, dtype=torch.float64)
    generator[:, :3, 3] = tangents[:, :3]
    x, y, z = tangents[:, 3:].unbind(-1)
    generator[:, 0, 1], generator[:, 0, 2], generator[:, 1, 2] = -z, y, -x
    generator[:, :3, :3] -= generator[:, :3, :3].mT.clone()
    assert torch.allclose(se3_exp(tangents), torch.linalg.matrix_exp(generator), atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e-5, 1.0])
def test_gradients_are_right_also_at_the_identity(scale: float) -> None:
    tangent = (_random(6, seed=5) * scale).requires_grad_()
    assert torch.autograd.gradcheck(se3_exp, (tangent,))
    assert torch.autograd.gradcheck(lambda t: se3_log(se3_exp(t)), (tangent,))


def test_rigid_group_laws() -> None:
    a, b = se3_exp(_random(10, 6, seed=6)), se3_exp(_random(10, 6, seed=7))
    assert torch.allclose(rigid_inverse(a) @ a, EYE4.expand(10, 4, 4), atol=1e-12)
    assert torch.allclose(rigid_inverse(a @ b), rigid_inverse(b) @ rigid_inverse(a))
    assert torch.equal(rigid(a[:, :3, :3], a[:, :3, 3]), a)


def test_is_rigid_says_no() -> None:
    good = se3_exp(_random(3, 6, seed=8))
    assert is_rigid(good)
    assert not is_rigid(good * torch.tensor([1.1, 1.1, 1.1, 1.0], dtype=torch.float64))
    assert not is_rigid(torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])))
    assert not is_rigid(good * float("nan"))
    assert not is_rigid(torch.full((4, 4), 0.5))


def test_slerp_ends_middle_and_constant_speed() -> None:
    axis = torch.nn.functional.normalize(_random(3, seed=9), dim=-1)
    for angle in (1e-8, 1e-4, 1.0, 3.0):
        a = quat_normalize(_random(4, seed=10))
        b = quat_multiply(quat_from_matrix(so3_exp(axis * angle)), a)
        for fraction in (0.0, 0.25, 0.5, 1.0):
            expected = quat_multiply(quat_from_matrix(so3_exp(axis * angle * fraction)), a)
            for end in (b, -b):
                got = quat_slerp(a, end, torch.tensor(fraction, dtype=torch.float64))
                assert torch.allclose(matrix_from_quat(got), matrix_from_quat(expected), atol=1e-10)


def test_slerp_between_equal_poses_has_finite_gradients() -> None:
    a = quat_normalize(_random(5, 4, seed=11)).requires_grad_()
    quat_slerp(a, a.detach(), torch.full((5,), 0.3, dtype=torch.float64)).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_float32_is_kept() -> None:
    assert so3_exp(_random(3).float()).dtype == torch.float32
    assert quat_from_matrix(EYE3.float()).dtype == torch.float32
