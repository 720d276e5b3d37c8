"""What the optimiser moves: raw parameters, their Adam moments, and how they become Gaussians.

Only this file knows that scales are optimised as logarithms and opacities as logits. Quaternions are kept at any
length: every rasteriser normalises them, and their gradient is orthogonal to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Edit, Gaussians
from veduta.geometry.rotations import quat_normalize

FIELDS = ("means", "quats", "scales", "opacities", "sh")
"""Names of columns here, of Gaussians' fields and of an edit's fields."""
MIN_SCALE = 1e-12
"""Smallest scale that has a logarithm here; lengths of the frame of the fit."""
MIN_OPACITY = 1e-6
"""Opacities are kept this far from 0 and 1, where their logits are finite."""


def raw_from_physical(field: str, physical: Tensor) -> Tensor:
    """What is optimised for one field of Gaussians."""
    if field == "scales":
        return physical.clamp(min=MIN_SCALE).log()
    if field == "opacities":
        return physical.clamp(min=MIN_OPACITY, max=1.0 - MIN_OPACITY).logit()
    return physical.clone()


def physical_from_raw(field: str, raw: Tensor) -> Tensor:
    """The inverse of :func:`raw_from_physical`; shares memory where both are the same."""
    if field == "scales":
        return raw.exp()
    if field == "opacities":
        return raw.sigmoid()
    return raw


@dataclass(eq=False)
class Column:
    """One raw parameter of every Gaussian and its Adam moments; rows are Gaussians."""

    raw: Tensor
    moment1: Tensor
    moment2: Tensor

    @staticmethod
    def of(raw: Tensor) -> Column:
        """Fresh moments for a parameter."""
        raw = raw.contiguous()
        return Column(raw=raw, moment1=torch.zeros_like(raw), moment2=torch.zeros_like(raw))

    def map_(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply ``change`` to the parameter and to its moments, one after the other to keep the peak of memory low."""
        self.raw = change(self.raw)
        self.moment1 = change(self.moment1)
        self.moment2 = change(self.moment2)

    def restart_(self, rows: Tensor, raw: Tensor) -> None:
        """Give rows new values and no memory."""
        self.raw[rows] = raw.to(self.raw.dtype)
        self.moment1[rows] = 0.0
        self.moment2[rows] = 0.0


@dataclass(eq=False)
class Parameters:
    """All Gaussians of a scene, of all owners, in rows sorted by owner (0 the background, 1.. the actors)."""

    columns: dict[str, Column]
    counts: tuple[int, ...]
    """Rows per owner; a still scene has one owner."""

    @staticmethod
    def of(parts: list[Gaussians]) -> Parameters:
        """Raw parameters of each owner's Gaussians, with fresh moments."""
        whole = Gaussians.cat(parts)
        columns = {field: Column.of(raw_from_physical(field, getattr(whole, field))) for field in FIELDS}
        return Parameters(columns=columns, counts=tuple(len(part) for part in parts))

    def to(self, device: torch.device) -> Parameters:
        """The same on a device; as it is where it is there already."""
        for column in self.columns.values():
            column.map_(lambda t: t.to(device))
        return self

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def device(self) -> torch.device:
        """Where all of it is."""
        return self.columns["means"].raw.device

    @property
    def sh_coefficients(self) -> int:
        """Coefficients per colour channel that are optimised now."""
        return self.columns["sh"].raw.shape[1]

    def rows_of_owners(self) -> Iterator[slice]:
        """Each owner's rows, in order."""
        first = 0
        for count in self.counts:
            yield slice(first, first + count)
            first += count

    def owners(self) -> Int[Tensor, " n"]:
        """The owner of each row."""
        owners = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        return owners.to(self.device)

    def leaves(self) -> Gaussians:
        """Physical values, each a fresh leaf that asks for its gradient; means, quats and sh share memory with raw."""
        with torch.no_grad():
            values = {field: physical_from_raw(field, column.raw) for field, column in self.columns.items()}
        return Gaussians(**{field: value.detach().requires_grad_() for field, value in values.items()})

    def gaussians(self) -> Gaussians:
        """Physical values, detached; quaternions are not normalised."""
        return Gaussians(**{field: physical_from_raw(field, column.raw) for field, column in self.columns.items()})

    def parts(self, sh_degree: int) -> list[Gaussians]:
        """Each owner's Gaussians as the world should see them: unit quaternions, SH padded, memory of their own."""
        whole = self.gaussians()
        missing = (sh_degree + 1) ** 2 - self.sh_coefficients
        whole = whole.replace(
            means=whole.means.clone(),
            quats=quat_normalize(whole.quats),
            sh=torch.nn.functional.pad(whole.sh, (0, 0, 0, max(0, missing))).clone(),
        )
        return [whole[rows] for rows in self.rows_of_owners()]

    def raw_gradients(self, leaves: Gaussians, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gradients of the raw parameters from those of the physical values ``leaves``; overwrites the latter's."""
        with torch.no_grad():
            gradients["scales"].mul_(leaves.scales)
            gradients["opacities"].mul_(leaves.opacities).mul_(1.0 - leaves.opacities)
        return dict(gradients)

    def grow_sh_(self, degree: int) -> None:
        """Append zero coefficients, and zero moments, up to ``degree``."""
        missing = (degree + 1) ** 2 - self.sh_coefficients
        if missing > 0:
            self.columns["sh"].map_(lambda t: torch.nn.functional.pad(t, (0, 0, 0, missing)).contiguous())

    def apply_edit_(self, edit: Edit) -> None:
        """Copy rows bit for bit, parameters and moments alike; changed rows take new values and lose their memory.

        Rows are put in the order of their owners, in the edit's order within each.
        """
        edit = sorted_by_owner(edit, self.owners()) if len(self.counts) > 1 else edit
        if len(self.counts) > 1:
            copied = torch.bincount(self.owners()[edit.source], minlength=len(self.counts))
            self.counts = tuple(copied.tolist())
        else:
            self.counts = (len(edit.source),)
        rows = torch.nonzero(edit.changed).squeeze(1)
        for field, column in self.columns.items():
            column.map_(lambda t: t[edit.source])
            if field in edit.fields:
                column.restart_(rows, raw_from_physical(field, getattr(edit.values, field)))

    @property
    def consistent(self) -> bool:
        """Whether all columns and moments have the same rows, as they have unless a change was broken off."""
        rows = {len(t) for c in self.columns.values() for t in (c.raw, c.moment1, c.moment2)}
        return rows == {len(self)} and all(c.raw.shape == c.moment2.shape for c in self.columns.values())

    def all_finite(self) -> bool:
        """Whether every parameter and moment is a number."""
        # A sum is finite iff (but for overflow, which is as bad) all of its terms are: one pass, no mask in memory.
        return all(bool(torch.isfinite(t.sum())) for c in self.columns.values() for t in (c.raw, c.moment1, c.moment2))


def sorted_by_owner(edit: Edit, owners: Int[Tensor, " n"]) -> Edit:
    """The same edit with its new rows in the order of their owners (stable)."""
    order = torch.argsort(owners[edit.source], stable=True)
    place_of_value = torch.cumsum(edit.changed, dim=0) - 1
    changed = edit.changed[order]
    return edit.replace(source=edit.source[order], changed=changed, values=edit.values[place_of_value[order][changed]])


def columns_from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Column]:
    """The inverse of :func:`tensors_from_columns`."""
    return {
        field: Column(
            raw=tensors[f"raw.{field}"],
            moment1=tensors[f"moment1.{field}"],
            moment2=tensors[f"moment2.{field}"],
        )
        for field in FIELDS
    }


def tensors_from_columns(columns: Mapping[str, Column]) -> dict[str, Float[Tensor, "..."]]:
    """All parameters and moments by dotted names."""
    named: dict[str, Tensor] = {}
    for field, column in columns.items():
        named |= {
            f"raw.{field}": column.raw,
            f"moment1.{field}": column.moment1,
            f"moment2.{field}": column.moment2,
        }
    return named
