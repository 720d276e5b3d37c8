"""OpenEXR pictures: named channels of 32-bit floats, for compositing programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from veduta.core import MissingDependencyError, OutputError
from veduta.io.atomic import atomic_path


def require_exr() -> None:
    """MissingDependencyError without the package that writes OpenEXR files."""
    try:
        import OpenEXR  # noqa: F401 # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError as error:
        raise MissingDependencyError(
            "EXR files need the package OpenEXR", got="not installed", hint="pip install 'veduta[exr]'"
        ) from error


def write_exr(path: str | Path, channels: Mapping[str, Float[Tensor, "h w"] | Float[Tensor, "h w 3"]]) -> None:
    """Write channels by name as one scanline file of float32, losslessly compressed, atomically.

    ``RGB`` ("h w 3") becomes the channels R, G and B. Raises OutputError, MissingDependencyError.
    """
    require_exr()
    import OpenEXR  # pyright: ignore[reportMissingImports]

    pixels = {name: values.detach().cpu().contiguous().numpy().astype(np.float32) for name, values in channels.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with atomic_path(path) as temporary:
        try:
            OpenEXR.File(header, pixels).write(str(temporary))
        except RuntimeError as error:  # its only kind of error, for full disks, too
            hint = "Free some space, or write to another place."
            raise OutputError(
                "the picture could not be written", where=path, got=str(error)[:120], hint=hint
            ) from error
