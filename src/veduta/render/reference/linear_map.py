"""From a Gaussian's 13 parameters to what it does on the screen: the linear map L, and what it carries either way.

Legend (``docs/how-it-works``): Q -> the conic, U -> its upper triangular root, U^T U = Q, d -> pixel minus centre,
e = U d, m = (1, e1, e2, e1^2, e1 e2, e2^2). A change theta of the parameters changes log alpha by m . (L theta)[0:6]
and the colour by (L theta)[6:9].
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import BLOCK, Cameras, Gaussians, RasterOptions
from veduta.geometry.packed import pack, unpack
from veduta.geometry.rotations import quat_multiply
from veduta.render.reference.cutoffs import Cutoffs
from veduta.render.reference.projection import Pinholes, Splats, drawable, project
from veduta.render.shared import CLUSTERED, FISHER

EXPONENTS = tuple((total - j, j) for total in range(5) for j in range(total + 1))
"""Exponents (of e1, of e2) of the 15 monomials up to degree 4."""
LINEAR = 6
"""The first monomials: those of log alpha itself, up to degree 2."""
PRODUCTS = torch.tensor(
    [[EXPONENTS.index((a + c, b + d)) for c, d in EXPONENTS[:LINEAR]] for a, b in EXPONENTS[:LINEAR]]
)
"""Which of the 15 is the product of two of the first 6."""


def drawn_rows(
    gaussians: Gaussians, camera: Cameras, *, options: RasterOptions, cutoffs: Cutoffs
) -> tuple[Pinholes, Int[Tensor, " m"]]:
    """The one camera as a pinhole, and the rows that it draws."""
    pinholes = Pinholes.of(camera.to(gaussians.means.device), gaussians.means.dtype)
    return pinholes, drawable(gaussians, pinholes, options=options, cutoffs=cutoffs)[0].nonzero()[:, 0]


def whitening(conic: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
    """The upper triangular root U of each conic Q = U^T U: (U00, U01, U11)."""
    xx, xy, yy = conic.unbind(-1)
    corner = xx.sqrt()
    side = xy / corner
    return torch.stack([corner, side, (yy - side * side).clamp(min=0).sqrt()], dim=-1)


def linear_map(
    gaussians: Gaussians, pinholes: Pinholes, rows: Int[Tensor, " m"], *, options: RasterOptions, cutoffs: Cutoffs
) -> Float[Tensor, "m 9 13"]:
    """L of the drawn rows, by differentiating the projection that draws them (spec: exact, first order)."""
    with torch.enable_grad():
        change = torch.zeros(len(rows), BLOCK, dtype=gaussians.means.dtype, device=gaussians.means.device)
        change.requires_grad_()
        moved = _moved(gaussians[rows].detach(), change)
        every = torch.arange(len(rows), device=rows.device)
        splats = project(moved, pinholes, torch.zeros_like(every), every, options=options, cutoffs=cutoffs)
        outputs = _screen_coordinates(splats)
        lines = [torch.autograd.grad(o.sum(), change, retain_graph=True)[0] for o in outputs]
    return torch.stack(lines, dim=1)


def _moved(gaussians: Gaussians, change: Float[Tensor, "m 13"]) -> Gaussians:
    half_turn = torch.cat([torch.ones_like(change[:, :1]), 0.5 * change[:, 6:9]], dim=-1)
    opacity = gaussians.opacities
    return Gaussians(
        means=gaussians.means + change[:, 0:3],
        quats=quat_multiply(gaussians.quats, half_turn),
        scales=gaussians.scales * torch.exp(change[:, 3:6]),
        opacities=opacity + opacity * (1 - opacity) * change[:, 9],
        sh=torch.cat([gaussians.sh[:, :1] + change[:, None, 10:13], gaussians.sh[:, 1:]], dim=1),
    )


def _screen_coordinates(splats: Splats) -> list[Float[Tensor, " m"]]:
    """Nine values whose derivatives are the rows of L; U is held fixed, M = -U^-T dQ U^-1."""
    u00, u01, u11 = whitening(splats.conic.detach()).unbind(-1)
    x, y = splats.means_px.unbind(-1)
    xx, xy, yy = splats.conic.unbind(-1)
    inverse00, inverse11, inverse01 = 1 / u00, 1 / u11, -u01 / (u00 * u11)
    m00 = -inverse00 * inverse00 * xx
    m01 = -inverse00 * (inverse01 * xx + inverse11 * xy)
    m11 = -(inverse01 * inverse01 * xx + 2 * inverse01 * inverse11 * xy + inverse11 * inverse11 * yy)
    log_opacity = splats.opacity.log()
    return [log_opacity, u00 * x + u01 * y, u11 * y, 0.5 * m00, m01, 0.5 * m11, *splats.color.unbind(-1)]


def pull(lines: Float[Tensor, "m 9 13"], moments: Float[Tensor, "m s"]) -> Float[Tensor, "m 91"]:
    """Packed L^T S L for moments of 34 or 39 numbers, (L^T s)(L^T s)^T for the 9 of a view."""
    if moments.shape[1] == CLUSTERED:
        gradient = torch.einsum("msp,ms->mp", lines, moments)
        return pack(gradient[:, :, None] * gradient[:, None, :])
    return pack(lines.mT @ full_moments(moments) @ lines)


def full_moments(moments: Float[Tensor, "m s"]) -> Float[Tensor, "m 9 9"]:
    """The 9x9 matrix S behind 34 or 39 numbers."""
    cross = moments[:, 15:33].unflatten(1, (LINEAR, 3))
    if moments.shape[1] == FISHER:
        corner = torch.eye(3, dtype=moments.dtype, device=moments.device) * moments[:, 33, None, None]
    else:
        corner = unpack(moments[:, 33:39])
    top = torch.cat([moments[:, PRODUCTS.to(moments.device)], cross], dim=2)
    return torch.cat([top, torch.cat([cross.mT, corner], dim=2)], dim=1)


def push(lines: Float[Tensor, "m 9 13"], blocks: Float[Tensor, "m 91"]) -> Float[Tensor, "m 39"]:
    """Forms of F = L P L^T: the coefficients of m^T F m by monomial, the cross terms, the colour's own."""
    form = lines @ unpack(blocks) @ lines.mT
    quartic = form.new_zeros(len(form), len(EXPONENTS))
    quartic.index_add_(1, PRODUCTS.flatten().to(form.device), form[:, :LINEAR, :LINEAR].flatten(1))
    return torch.cat([quartic, form[:, :LINEAR, LINEAR:].flatten(1), pack(form[:, LINEAR:, LINEAR:])], dim=1)


def spread(rows: Int[Tensor, " m"], values: Float[Tensor, "m s"], count: int) -> Float[Tensor, "n s"]:
    """Values of the drawn rows among zeros for all others."""
    return values.new_zeros(count, values.shape[1]).index_copy_(0, rows, values)
