"""The frame of a fit, and what else all photographs have a say in: settled when a run begins, and kept to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Capture, InputError
from veduta.fit.clearing import clearance
from veduta.fit.plan import FitPlan
from veduta.geometry import Similarity, capture_similarity, scene_extent, transform_cameras, transform_cloud
from veduta.io.tensors import load_tensors

PREFIX = "frame."
"""Of the names of its tensors in a checkpoint."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """What the cameras settle, held-out ones too, which may come and go while a run is stopped."""

    similarity: Similarity
    """From the capture's frame to the frame of the fit."""
    extent: float
    """Radius of the camera rig in the frame of the fit."""
    positions: Float[Tensor, "c 3"]
    """Of all cameras, in the frame of the fit."""
    clearance: float
    """Radius around each of them that a finished scene leaves empty."""
    cap: int
    """Never more Gaussians than this."""

    @staticmethod
    def of(capture: Capture, plan: FitPlan) -> Frame:
        """That of a run that begins. Raises InputError for a capture without photographs."""
        cameras = list(capture.cameras.values())
        positions = torch.cat([c.positions_world for c in cameras]) if cameras else torch.zeros(0, 3)
        if len(positions) == 0:
            raise InputError("the capture has no photographs", where=capture.source, expected="at least one", got=0)
        similarity = capture_similarity(positions, None if capture.points is None else capture.points.xyz)
        moved = torch.cat([transform_cameras(c, similarity).positions_world for c in cameras])
        points = None if capture.points is None else transform_cloud(capture.points, similarity)
        return Frame(
            similarity=similarity,
            extent=scene_extent(moved),
            positions=moved,
            clearance=clearance(moved, points, radius_share=plan.clear_radius),
            cap=plan.cap(cameras),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a checkpoint."""
        values = {
            "scale": torch.tensor(self.similarity.scale, dtype=torch.float64),
            "rotation": self.similarity.rotation,
            "translation": self.similarity.translation,
            "extent": torch.tensor(self.extent, dtype=torch.float64),
            "positions": self.positions,
            "clearance": torch.tensor(self.clearance, dtype=torch.float64),
            "cap": torch.tensor(self.cap),
        }
        return {PREFIX + name: value for name, value in values.items()}


def stored_frame(path: Path) -> Frame | None:
    """The frame that a checkpoint is in; None where it does not tell, as before there was a need to.

    Raises InputError for a file that cannot be read.
    """
    return _from_tensors(load_tensors(path, prefix=PREFIX)[0], path)


def _from_tensors(tensors: Mapping[str, Tensor], path: Path) -> Frame | None:
    values = {name.removeprefix(PREFIX): value for name, value in tensors.items()}
    if not values:
        return None
    try:
        return Frame(
            similarity=Similarity(
                float(values["scale"]), values["rotation"].reshape(3, 3), values["translation"].reshape(3)
            ),
            extent=float(values["extent"]),
            positions=values["positions"].reshape(-1, 3),
            clearance=float(values["clearance"]),
            cap=int(values["cap"]),
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError("corrupt checkpoint", where=path, expected="all of a run's frame", got=error) from error
