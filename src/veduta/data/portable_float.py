"""Grey PFM pictures: a header of three lines, then rows of float32 from the bottom up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError
from veduta.io.paths import require_file

_HEADER_BYTES = 256


def read_pfm(path: Path, *, width: int, height: int) -> Float[Tensor, "h w"]:
    """The values of a PFM file of one channel and of this size, first row on top; InputError for anything else."""
    require_file(path, what="a PFM picture")
    with path.open("rb") as file:
        lines = file.read(_HEADER_BYTES).split(b"\n", 3)
        start = sum(len(line) + 1 for line in lines[:3])
        try:
            size = tuple(int(word) for word in lines[1].split())
            order = "<f4" if float(lines[2]) < 0 else ">f4"
        except (IndexError, ValueError):
            size, order = (), ""
        if lines[0].strip() != b"Pf" or size != (width, height):
            raise InputError(
                "not the picture that was expected",
                where=path,
                expected=f"PFM with one channel, {width} x {height}",
                got=f"{lines[0][:8]!r} {' x '.join(map(str, size))}",
            )
        file.seek(start)
        data = file.read(4 * width * height)
    if len(data) != 4 * width * height:
        raise InputError("the file is cut off", where=path, expected=f"{4 * width * height} bytes", got=len(data))
    values = np.frombuffer(data, dtype=order).reshape(height, width)[::-1]
    return torch.from_numpy(values.astype(np.float32))
