"""Depth that somebody measured, beside a capture's photographs."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from veduta.core import InputError, Views, ViewSource
from veduta.io.paths import inside

FOLDER = "depth"
_HEADER_BYTES = 4096
"""More than the header of any array that is meant here."""


class WithDepth:
    """A source whose views know their depth where ``CAPTURE/depth/STEM.npz`` tells it.

    Such a file holds ``depth`` (z, in the capture's unit) and ``valid``, both of the picture's size as it is used;
    files of another size, of a lens or of a resolution that is not, are passed over.
    """

    def __init__(self, source: ViewSource, capture: Path) -> None:
        self._source = source
        self._capture = capture

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int, /) -> Views:
        """The i-th view. Raises InputError for a file of depths that cannot be read."""
        views = self._source[i]
        if views.depth is not None or len(views) != 1:
            return views
        name = str(PurePosixPath(FOLDER, views.names[0]).with_suffix(".npz"))
        path = inside(self._capture, name, where=self._capture, field="depth")
        known = read_depth(path, views.cameras.width, views.cameras.height) if path.is_file() else None
        return views if known is None else views.replace(depth=known[0][None], depth_valid=known[1][None])


def read_depth(path: Path, width: int, height: int) -> tuple[Float[Tensor, "h w"], Bool[Tensor, "h w"]] | None:
    """Depth and where it is valid; None for a picture of another size. Raises InputError for a damaged file."""
    try:
        with zipfile.ZipFile(path) as archive:
            largest = max((entry.file_size for entry in archive.infolist()), default=0)
        if largest > 8 * width * height + _HEADER_BYTES:
            return None
        with np.load(path, allow_pickle=False) as arrays:
            depth, valid = torch.from_numpy(arrays["depth"]).float(), torch.from_numpy(arrays["valid"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            "cannot read depths", where=path, expected="an .npz with depth and valid", got=str(error)[:80]
        ) from error
    if depth.shape != (height, width) or valid.shape != depth.shape or valid.dtype != torch.bool:
        return None
    return torch.where(valid, depth, 0.0), valid & torch.isfinite(depth) & (depth > 0)
