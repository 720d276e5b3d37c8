"""Moments and covariances of one picture, pair by pair of a pixel and a Gaussian: the definition.

Legend as in :class:`veduta.core.ScreenMoments`: alpha, T (front), v = d colour / d alpha = T (c - B), B the colour
behind at unit transmittance, m the monomials of e = U d, J = [v (alpha m)^T | alpha T I] L.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, ScreenCovariance, ScreenMoments
from veduta.render.reference.compositing import TILE, Batch, Grid, bin_tiles, look, offsets, untiled
from veduta.render.reference.cutoffs import Cutoffs
from veduta.render.reference.linear_map import EXPONENTS, LINEAR, drawn_rows, spread, whitening
from veduta.render.reference.projection import Splats, project
from veduta.render.shared import CLUSTERED, FISHER, SCORE


@dataclass(frozen=True, eq=False)
class Picture:
    """One camera's drawable splats, and its picture."""

    splats: Splats
    rows: Int[Tensor, " m"]
    grid: Grid
    cutoffs: Cutoffs
    behind: Float[Tensor, "t 256 3"]
    color: Float[Tensor, "t 256 3"]
    clear: Float[Tensor, "t 256"]

    def in_tiles(self, image: Float[Tensor, "h w *f"]) -> Float[Tensor, "t 256 *f"]:
        """An image cut into tiles; zeros outside it."""
        return _in_tiles(image, self.grid)

    def in_rows(self, tiles: Float[Tensor, "t 256 *f"]) -> Float[Tensor, "h w *f"]:
        """Tiles put together again."""
        return untiled(tiles, self.grid)[0]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Everything that one batch of tiles needs, per tile, pixel and splat."""

    batch: Batch
    weights: Float[Tensor, "b 256 k"]
    """alpha T; 0 where nothing is drawn."""
    alpha_v: Float[Tensor, "b 256 k 3"]
    """alpha v; 0 where nothing is drawn or alpha is clamped."""
    e1: Float[Tensor, "b 256 k"]
    e2: Float[Tensor, "b 256 k"]

    def monomial(self, index: int) -> Float[Tensor, "b 256 k"]:
        """e1^i e2^j of the index-th exponents."""
        i, j = EXPONENTS[index]
        return self.e1**i * self.e2**j

    def add_to(self, total: Float[Tensor, " m"], amounts: Float[Tensor, "b 256 k"]) -> None:
        """Sum over pixels, added to each splat's total."""
        total.index_add_(0, self.batch.splats.flatten(), amounts.sum(dim=1).flatten())


def draw(
    gaussians: Gaussians,
    camera: Cameras,
    *,
    behind: Float[Tensor, "h w 3"] | None,
    options: RasterOptions,
    cutoffs: Cutoffs,
) -> Picture:
    """The picture of one camera, with all that its pixels' derivatives need."""
    pinholes, rows = drawn_rows(gaussians, camera, options=options, cutoffs=cutoffs)
    splats = project(gaussians, pinholes, torch.zeros_like(rows), rows, options=options, cutoffs=cutoffs)
    grid = Grid(images=1, width=camera.width, height=camera.height)
    black = gaussians.means.new_zeros(camera.height, camera.width, 3)
    back = _in_tiles(black if behind is None else behind.to(black), grid)
    color, clear = back.clone(), torch.ones_like(back[..., 0])
    for batch in bin_tiles(splats, torch.zeros_like(rows), grid):
        sight = look(splats, batch, grid, cutoffs, None)
        drawn = sight.weights @ splats.color[batch.splats]
        color[batch.tiles] = drawn + sight.left * back[batch.tiles]
        clear[batch.tiles] = sight.left[..., 0]
    return Picture(splats=splats, rows=rows, grid=grid, cutoffs=cutoffs, behind=back, color=color, clear=clear)


def pairs_of(picture: Picture) -> Iterator[Pairs]:
    """Batch by batch of tiles."""
    splats, grid = picture.splats, picture.grid
    root = whitening(splats.conic)
    for batch in bin_tiles(splats, torch.zeros_like(picture.rows), grid):
        sight = look(splats, batch, grid, picture.cutoffs, None)
        own = splats.color[batch.splats][:, None]
        so_far = (sight.weights[..., None] * own).cumsum(dim=2)
        behind = (picture.color[batch.tiles][:, :, None] - so_far) / (sight.front * (1 - sight.alpha))[..., None]
        free = (sight.weights > 0) & (sight.raw < picture.cutoffs.max_alpha)
        alpha_v = torch.where(free[..., None], sight.weights[..., None] * (own - behind), 0)
        dx, dy = offsets(splats, batch, grid)
        u00, u01, u11 = root[batch.splats][:, None, None].unbind(-1)
        e1, e2 = u00 * dx + u01 * dy, (u11 * dy).expand(-1, -1, TILE, -1)
        yield Pairs(
            batch=batch,
            weights=sight.weights,
            alpha_v=alpha_v,
            e1=e1.flatten(1, 2),
            e2=e2.flatten(1, 2),
        )


def moments(
    picture: Picture,
    *,
    photograph: Float[Tensor, "h w 3"] | None,
    weight: Float[Tensor, "h w"] | None,
    clustered: bool,
    count: int,
) -> ScreenMoments:
    """See :class:`veduta.core.ScreenMoments`; ``count`` rows in all."""
    inside = picture.in_tiles(torch.ones_like(picture.in_rows(picture.clear)))
    trust = inside if weight is None else picture.in_tiles(weight.to(inside))
    residual = None if photograph is None else picture.color - picture.in_tiles(photograph.to(picture.color))
    fisher = picture.clear.new_zeros(FISHER, len(picture.rows))
    score = picture.clear.new_zeros(CLUSTERED if clustered else SCORE, len(picture.rows))
    for pairs in pairs_of(picture):
        w = trust[pairs.batch.tiles][..., None]
        _add_fisher(pairs, w, fisher)
        if residual is not None:
            r = residual[pairs.batch.tiles][:, :, None]
            (_add_view_score if clustered else _add_score)(pairs, w, r, score)
    return ScreenMoments(
        color=picture.in_rows(picture.color),
        clear=picture.in_rows(picture.clear),
        fisher=spread(picture.rows, fisher.T, count),
        score=None if residual is None else spread(picture.rows, score.T, count),
    )


def _add_fisher(pairs: Pairs, w: Float[Tensor, "b 256 1"], total: Float[Tensor, "34 m"]) -> None:
    energy = w * pairs.alpha_v.square().sum(-1)
    for k in range(len(EXPONENTS)):
        pairs.add_to(total[k], energy * pairs.monomial(k))
    for k in range(LINEAR):
        for c in range(3):
            pairs.add_to(total[15 + 3 * k + c], w * pairs.weights * pairs.alpha_v[..., c] * pairs.monomial(k))
    pairs.add_to(total[33], w * pairs.weights.square())


def _add_score(
    pairs: Pairs, w: Float[Tensor, "b 256 1"], r: Float[Tensor, "b 256 1 3"], total: Float[Tensor, "39 m"]
) -> None:
    along = w * (pairs.alpha_v * r).sum(-1)
    straight = (w * pairs.weights)[..., None] * r
    for k in range(len(EXPONENTS)):
        pairs.add_to(total[k], along.square() * pairs.monomial(k))
    for k in range(LINEAR):
        for c in range(3):
            pairs.add_to(total[15 + 3 * k + c], along * straight[..., c] * pairs.monomial(k))
    for place, (i, j) in enumerate([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]):
        pairs.add_to(total[33 + place], straight[..., i] * straight[..., j])


def _add_view_score(
    pairs: Pairs, w: Float[Tensor, "b 256 1"], r: Float[Tensor, "b 256 1 3"], total: Float[Tensor, "9 m"]
) -> None:
    along = w * (pairs.alpha_v * r).sum(-1)
    for k in range(LINEAR):
        pairs.add_to(total[k], along * pairs.monomial(k))
    for c in range(3):
        pairs.add_to(total[6 + c], w * pairs.weights * r[..., c])


def covariance(picture: Picture, forms: Float[Tensor, "n 39"]) -> ScreenCovariance:
    """See :class:`veduta.core.ScreenCovariance`."""
    own = forms[picture.rows]
    total = picture.clear.new_zeros(*picture.clear.shape, 6)
    for pairs in pairs_of(picture):
        f = own[pairs.batch.splats][:, None]
        quartic = sum(f[..., k] * pairs.monomial(k) for k in range(len(EXPONENTS)))
        cross = [sum(f[..., 15 + 3 * k + c] * pairs.monomial(k) for k in range(LINEAR)) for c in range(3)]
        u, w = pairs.alpha_v.unbind(-1), pairs.weights
        layers = [
            quartic * u[i] * u[j] + w * (u[i] * cross[j] + u[j] * cross[i]) + w * w * f[..., 33 + place]
            for place, (i, j) in enumerate([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)])
        ]
        total[pairs.batch.tiles] = torch.stack([layer.sum(dim=2) for layer in layers], dim=-1)
    return ScreenCovariance(
        color=picture.in_rows(picture.color),
        clear=picture.in_rows(picture.clear),
        covariance=picture.in_rows(total),
    )


def _in_tiles(image: Float[Tensor, "h w *f"], grid: Grid) -> Float[Tensor, "t 256 *f"]:
    rest = image.shape[2:]
    whole = image.new_zeros(grid.rows * TILE, grid.columns * TILE, *rest)
    whole[: grid.height, : grid.width] = image
    cut = whole.reshape(grid.rows, TILE, grid.columns, TILE, *rest).transpose(1, 2)
    return cut.reshape(grid.tiles, TILE * TILE, *rest)
