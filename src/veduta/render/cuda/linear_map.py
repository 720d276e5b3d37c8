"""The linear map of one view, some thousand Gaussians at a time, and what it carries either way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import BLOCK, Cameras, Gaussians, RasterOptions
from veduta.kernels.launch import ROWS, launch, programs
from veduta.render.cuda.functions import Projected, color_of, project
from veduta.render.cuda.linear_kernels import lines_kernel, root_kernel, terms_kernel
from veduta.render.reference.cutoffs import MIN_QUAT_NORM
from veduta.render.reference.linear_map import LINEAR, PRODUCTS
from veduta.render.reference.projection import FOV_MARGIN
from veduta.render.shared import CLUSTERED, FISHER, FORMS, SCORE, camera_numbers, used_sh_degree

ROWS_AT_ONCE = 2**17
"""Gaussians whose maps are in memory together: 61 MB, less than the caches of large GPUs with what is multiplied."""
LINES = 9


@dataclass(frozen=True, eq=False)
class View:
    """One camera's Gaussians, projected and coloured, as ``rasterize`` has them."""

    gaussians: Gaussians
    camera: Float[Tensor, "21"]
    options: RasterOptions
    projected: Projected
    colors: Float[Tensor, "n 3"]

    @property
    def used(self) -> int:
        """Coefficients per channel that are drawn."""
        return (used_sh_degree(self.gaussians, self.options) + 1) ** 2

    def pull(self, moments: Float[Tensor, "n s"]) -> Float[Tensor, "n 91"]:
        """L^T S L of moments of 34 or 39 numbers, (L^T s)(L^T s)^T of 9."""
        size = moments.shape[1]
        assert size in (FISHER, SCORE, CLUSTERED), f"moments have 34, 39 or 9 columns, got {size}"
        if size != CLUSTERED:
            return self._carried(moments, _pull_terms(size, self.options.antialias))
        gradient = self._carried(moments, _gradient_terms(self.options.antialias))
        rows, columns = torch.triu_indices(BLOCK, BLOCK, device=gradient.device)
        return gradient[:, rows].mul_(gradient[:, columns])

    def push(self, blocks: Float[Tensor, "n 91"]) -> Float[Tensor, "n 39"]:
        """Forms of L P L^T."""
        return self._carried(blocks, _push_terms(self.options.antialias))

    def _carried(self, values: Float[Tensor, "n s"], terms: Terms) -> Float[Tensor, "n r"]:
        """Results by their terms; 0 where nothing is drawn, but for values there that are not finite."""
        values = values.to(self.colors)
        results = values.new_empty(len(values), terms.outputs)
        table, starts = terms.on(values.device)
        for lines, first, count in self._lines():
            launch(
                terms_kernel, programs(count),
                lines, values[first : first + count].T.contiguous(), table, starts, results,
                first, count, lines.shape[1], terms.outputs, BOTH=terms.both, BLOCK=ROWS,
            )  # fmt: skip
        return results

    def roots(self) -> Float[Tensor, "n 4"]:
        """U of each conic Q = U^T U: U00, U01, U11, 0."""
        g, n = self.gaussians, len(self.gaussians)
        roots = g.means.new_empty(n, 4)
        launch(
            root_kernel, programs(n),
            g.means, g.quats, g.scales, self.projected.extents, self.camera, roots, n, self.options.low_pass_px2,
            MIN_QUAT_NORM=MIN_QUAT_NORM, FOV_MARGIN=FOV_MARGIN, BLOCK=ROWS,
        )  # fmt: skip
        return roots

    def _lines(self) -> Iterator[tuple[Float[Tensor, "117 m"], int, int]]:
        """L of some rows, entry by entry; the first of them, and how many they are. One piece of memory for all."""
        g, n = self.gaussians, len(self.gaussians)
        lines = g.means.new_empty(LINES * BLOCK, min(n, ROWS_AT_ONCE))
        for first in range(0, n, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, n - first)
            launch(
                lines_kernel, programs(count),
                g.means, g.quats, g.scales, g.opacities, g.sh, self.projected.extents, self.colors, self.camera,
                lines, first, count, lines.shape[1], self.options.low_pass_px2,
                MIN_QUAT_NORM=MIN_QUAT_NORM, FOV_MARGIN=FOV_MARGIN, ANTIALIAS=self.options.antialias,
                STORED=g.sh.shape[1], USED=self.used, BLOCK=ROWS,
            )  # fmt: skip
            yield lines, first, count


def view_of(gaussians: Gaussians, camera: Cameras, options: RasterOptions | None) -> View:
    """Projection and colour of one camera, exactly as ``rasterize`` has them; nothing here knows autograd."""
    options = RasterOptions() if options is None else options
    gaussians = gaussians.map(lambda t: t.detach().contiguous())
    numbers = camera_numbers(camera)[0].to(gaussians.means, non_blocking=True)
    projected = project(gaussians, numbers, options)
    colors = color_of(gaussians, projected, numbers, options)
    return View(gaussians=gaussians, camera=numbers, options=options, projected=projected, colors=colors)


@dataclass(frozen=True)
class Terms:
    """What results are sums of; see ``terms_kernel``."""

    codes: tuple[int, ...]
    starts: tuple[int, ...]
    both: bool

    @property
    def outputs(self) -> int:
        """Results per Gaussian."""
        return len(self.starts) - 1

    def on(self, device: torch.device) -> tuple[Int[Tensor, " t"], Int[Tensor, " s"]]:
        """Terms and starts as the kernel reads them."""
        return _table(self, device)

    @staticmethod
    def of(results: list[list[tuple[int, int, int, bool]]], *, both: bool) -> Terms:
        """Each result's terms: a value's place, an entry of L, another, and whether it counts twice."""
        codes = [place | a << 8 | b << 16 | int(twice) << 24 for terms in results for place, a, b, twice in terms]
        starts = [0]
        for terms in results:
            starts.append(starts[-1] + len(terms))
        return Terms(codes=tuple(codes), starts=tuple(starts), both=both)


@cache
def _table(terms: Terms, device: torch.device) -> tuple[Tensor, Tensor]:
    codes, starts = (torch.tensor(values, dtype=torch.int32, device=device) for values in (terms.codes, terms.starts))
    return codes, starts


@cache
def _pull_terms(size: int, antialias: bool) -> Terms:
    """Entry (p, q) of L^T S L: the sum over r and s of S[r, s] L[r, p] L[s, q]."""
    results: list[list[tuple[int, int, int, bool]]] = []
    for p in range(BLOCK):
        for q in range(p, BLOCK):
            pairs = [(r, s) for r in _lines_with(p, antialias) for s in _lines_with(q, antialias)]
            found = [(_place(r, s, size), r * BLOCK + p, s * BLOCK + q, False) for r, s in pairs]
            results.append([(place, a, b, twice) for place, a, b, twice in found if place is not None])
    return Terms.of(results, both=True)


@cache
def _gradient_terms(antialias: bool) -> Terms:
    """Entry p of L^T s."""
    results = [[(r, r * BLOCK + p, 0, False) for r in _lines_with(p, antialias)] for p in range(BLOCK)]
    return Terms.of(results, both=False)


@cache
def _push_terms(antialias: bool) -> Terms:
    """Forms: entries (r, s) of L P L^T are the sums over p and q of P[p, q] L[r, p] L[s, q]; equal monomials add up."""
    results: list[list[tuple[int, int, int, bool]]] = [[] for _ in range(FORMS)]
    for r in range(LINES):
        for s in range(r, LINES):
            place = _place(r, s, FORMS)
            assert place is not None
            twice = r != s and s < LINEAR
            results[place] += [
                (_packed(p, q), r * BLOCK + p, s * BLOCK + q, twice)
                for p in range(BLOCK)
                for q in range(BLOCK)
                if _there(r, p, antialias) and _there(s, q, antialias)
            ]
    return Terms.of(results, both=True)


def _there(line: int, column: int, antialias: bool) -> bool:
    """Whether the entry of L can differ from 0."""
    if line == 0:
        return column == 9 or (antialias and column < 9)
    if line < LINEAR:
        return column < (3 if line < 3 else 9)
    return column < 3 or column == line + 4


def _lines_with(column: int, antialias: bool) -> list[int]:
    return [line for line in range(LINES) if _there(line, column, antialias)]


def _place(r: int, s: int, size: int) -> int | None:
    """Where entry (r, s) of the 9x9 matrix is among moments or forms; None where it is 0."""
    r, s = min(r, s), max(r, s)
    if s < LINEAR:
        return int(PRODUCTS[r, s])
    if r < LINEAR:
        return 15 + 3 * r + s - LINEAR
    r, s = r - LINEAR, s - LINEAR
    if size == FISHER:
        return 33 if r == s else None
    return 33 + 3 * r - r * (r - 1) // 2 + s - r


def _packed(p: int, q: int) -> int:
    p, q = min(p, q), max(p, q)
    return p * BLOCK - p * (p - 1) // 2 + q - p
