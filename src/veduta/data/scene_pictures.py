"""Pictures of scenes brought to the size of a model: reduced by LANCZOS until they cover it, then cut in the middle."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from veduta.core import InputError

_FORMATS = ("JPEG", "PNG")


def covering_size(width: int, height: int, *, to_width: int, to_height: int) -> tuple[int, int]:
    """The smallest size of the same shape that covers the wanted one: 640 x 360 to 256 x 256 gives 455 x 256."""
    factor = max(to_width / width, to_height / height)
    return round(width * factor), round(height * factor)


def covered(picture: Image.Image, *, width: int, height: int) -> Float[Tensor, "h w 3"]:
    """The middle of the picture at the wanted size, 0 to 1; reduced by LANCZOS (in 8 bits), never enlarged."""
    wide, high = covering_size(picture.width, picture.height, to_width=width, to_height=height)
    small = picture if (wide, high) == picture.size else picture.resize((wide, high), Image.Resampling.LANCZOS)
    left, top = (wide - width) // 2, (high - height) // 2
    pixels = np.asarray(small.crop((left, top, left + width, top + height)), dtype=np.float32)
    return torch.from_numpy(pixels / np.float32(255))


def covered_intrinsics(
    normalised: Float[Tensor, "4"], raw: tuple[int, int], *, width: int, height: int
) -> Float[Tensor, "3 3"]:
    """Pixel intrinsics of :func:`covered` from (fx, fy, cx, cy) as shares of a picture of size ``raw``.

    As the protocol has it: focal lengths grow by the reduced size, and the principal point keeps its share of the
    picture, also where the cut is half a pixel off the middle.
    """
    wide, high = covering_size(*raw, to_width=width, to_height=height)
    fx, fy, cx, cy = normalised.double().tolist()
    return torch.tensor([[fx * wide, 0.0, cx * width], [0.0, fy * high, cy * height], [0.0, 0.0, 1.0]])


def decoded(data: bytes, *, size: tuple[int, int], where: str, field: str) -> Image.Image:
    """An RGB picture of exactly this (width, height) from the bytes of a JPEG or PNG file; InputError otherwise.

    The size is taken from the header before anything is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.size != size:
                raise InputError(
                    "a picture of another size",
                    where=where,
                    field=field,
                    expected=f"{size[0]} x {size[1]}",
                    got=f"{image.size[0]} x {image.size[1]}",
                )
            return image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise InputError(
            "cannot read the picture", where=where, field=field, expected="JPEG or PNG", got=str(error)[:120]
        ) from error
