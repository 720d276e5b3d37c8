"""Spherical harmonics: orthonormality, the 3DGS convention, and the law of rotation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from veduta.geometry.rotations import so3_exp
from veduta.geometry.sh import dc_from_rgb, eval_sh, rgb_from_dc, rotate_sh, sh_basis


def _directions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=-1)


def test_basis_follows_the_3dgs_convention() -> None:
    d = _directions(50)
    x, y, z = d.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    expected = torch.stack(
        [
            torch.full_like(x, 0.28209479),
            -0.48860251 * y, 0.48860251 * z, -0.48860251 * x,
            1.09254843 * x * y, -1.09254843 * y * z, 0.31539157 * (2 * zz - xx - yy), -1.09254843 * x * z,
            0.54627421 * (xx - yy),
            -0.59004359 * y * (3 * xx - yy), 2.89061144 * x * y * z, -0.45704579 * y * (4 * zz - xx - yy),
            0.37317633 * z * (2 * zz - 3 * xx - 3 * yy), -0.45704579 * x * (4 * zz - xx - yy),
            1.44530572 * z * (xx - yy), -0.59004359 * x * (xx - 3 * yy),
        ],
        dim=-1,
    )  # fmt: skip
    assert (sh_basis(d, 3) - expected).abs().max() < 2e-8


def test_lower_degrees_are_a_prefix() -> None:
    d = _directions(7)
    for degree in range(3):
        assert torch.equal(sh_basis(d, degree), sh_basis(d, 3)[:, : (degree + 1) ** 2])


def test_basis_is_orthonormal_on_the_sphere() -> None:
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(8))
    phi = torch.arange(16, dtype=torch.float64) * (2 * torch.pi / 16)
    z = nodes[:, None].expand(8, 16)
    r = (1 - z * z).sqrt()
    d = torch.stack([r * phi.cos(), r * phi.sin(), z], dim=-1)
    b = sh_basis(d, 3)
    gram = torch.einsum("zpi,zpj,z->ij", b, b, weights) * (2 * torch.pi / 16)
    assert (gram - torch.eye(16, dtype=torch.float64)).abs().max() < 1e-12


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("rotvec", [(0.0, 0.0, 0.0), (1e-7, 0.0, 0.0), (0.3, -1.2, 2.0), (0.0, torch.pi, 0.0)])
def test_rotation_law(degree: int, rotvec: tuple[float, float, float]) -> None:
    d = _directions(64, seed=1)
    sh = torch.randn(64, (degree + 1) ** 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    turn = so3_exp(torch.tensor(rotvec, dtype=torch.float64))
    assert (eval_sh(rotate_sh(sh, turn), d @ turn.T) - eval_sh(sh, d)).abs().max() < 1e-9
    low = rotate_sh(sh.float(), turn.float())
    assert low.dtype == torch.float32
    assert (eval_sh(low, (d @ turn.T).float()) - eval_sh(sh, d)).abs().max() < 1e-5


def test_rotations_compose_and_keep_energy() -> None:
    sh = torch.randn(5, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    a, b = so3_exp(torch.tensor([[0.5, 1.0, -2.0], [-1.5, 0.2, 0.7]], dtype=torch.float64))
    assert (rotate_sh(rotate_sh(sh, b), a) - rotate_sh(sh, a @ b)).abs().max() < 1e-12
    assert (rotate_sh(sh, a).square().sum() - sh.square().sum()).abs() < 1e-10


def test_rotation_is_differentiable_in_both() -> None:
    sh = torch.randn(2, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4), requires_grad=True)
    rotvec = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, r: rotate_sh(s, so3_exp(r)), (sh, rotvec))


def test_colour_round_trip_and_clamp() -> None:
    rgb = torch.rand(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    dc = dc_from_rgb(rgb)
    assert torch.allclose(rgb_from_dc(dc), rgb)
    assert torch.allclose(eval_sh(dc[:, None], _directions(9)), rgb)
    assert torch.equal(eval_sh(dc_from_rgb(rgb - 2)[:, None], _directions(9)), torch.zeros(9, 3, dtype=torch.float64))
