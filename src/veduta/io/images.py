"""Photographs: files to float32 sRGB in 0 to 1, and back."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from veduta.core import InputError
from veduta.io.atomic import write_bytes
from veduta.io.paths import require_file

MAX_PIXELS = 170_000_000
"""Larger pictures are refused before they are decoded; just under Pillow's own limit against decompression bombs."""
IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Lower-case names' ends of the files that :func:`read_image` can be expected to read."""
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow's others start programs or are no photographs
_EXIF_ORIENTATION = 0x0112
_WHAT = "an image (JPEG, PNG, WebP, TIFF, BMP or PPM)"


@dataclass(frozen=True)
class ImageHeader:
    """What a picture says of itself before it is decoded."""

    width: int
    height: int
    orientation: int
    """EXIF orientation, 1 to 8; 1 is upright. Nothing here applies it: poses and models refer to the stored pixels."""


def read_image(path: str | Path) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"] | None]:
    """The picture's sRGB-encoded colour, 0 to 1, and its alpha (0 to 1, colour not premultiplied) if it has one.

    Grey becomes RGB, palettes are looked up, CMYK is converted. 16-bit grey keeps its 16 bits; 16-bit colour is read at
    8. The EXIF orientation is not applied (see :func:`image_header`). Anything unreadable, truncated, or larger than
    MAX_PIXELS raises InputError.
    """
    path = require_file(path, what=_WHAT)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _refuse_huge(image, path)
            image.load()
            rgb, alpha = _decode(image, path)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise _unreadable(path, error) from error
    return torch.from_numpy(rgb), None if alpha is None else torch.from_numpy(alpha)


def image_header(path: str | Path) -> ImageHeader:
    """Size and EXIF orientation of a picture, without decoding it. Raises InputError like :func:`read_image`."""
    path = require_file(path, what=_WHAT)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _refuse_huge(image, path)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            width, height = image.size
    except InputError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error
    known = isinstance(orientation, int) and 1 <= orientation <= 8
    return ImageHeader(width=width, height=height, orientation=orientation if known else 1)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels, without decoding the picture. Raises InputError."""
    header = image_header(path)
    return header.width, header.height


def write_png(
    path: str | Path, picture: Float[Tensor, "h w 3"] | UInt8[Tensor, "h w 3"] | Float[Tensor, "h w"]
) -> None:
    """Write sRGB colour or grey, 0 to 1 (or uint8), as an 8-bit PNG, atomically. Raises OutputError."""
    write_bytes(path, _encode(picture, format="PNG", compress_level=3))


def write_jpeg(
    path: str | Path, picture: Float[Tensor, "h w 3"] | UInt8[Tensor, "h w 3"], *, quality: int = 92
) -> None:
    """Write sRGB colour, 0 to 1 (or uint8), as a JPEG without chroma subsampling, atomically. Raises OutputError."""
    write_bytes(path, _encode(picture, format="JPEG", quality=quality, subsampling=0))


def to_bytes(picture: Float[Tensor, "*shape"] | UInt8[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """0 to 1 to the nearest of 0 to 255, on the CPU; values beyond are clamped, NaN becomes 0; uint8 stays as it is."""
    picture = picture.detach().cpu().contiguous()
    if picture.dtype == torch.uint8:
        return picture
    return (picture.nan_to_num(0.0, 1.0, 0.0).clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _encode(picture: Tensor, *, format: str, **settings: int) -> bytes:
    """The encoded file, in memory: given a path, Pillow takes no notice of a disk that is full."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(picture).numpy()).save(buffer, format=format, **settings)
    return buffer.getvalue()


def _refuse_huge(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            "the picture is too large",
            where=path,
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
            got=f"{width}x{height}",
            hint="Downscale it.",
        )
    if width == 0 or height == 0:
        raise InputError("the picture has no pixels", where=path, got=f"{width}x{height}")


def _decode(image: Image.Image, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Float32 colour [h, w, 3] and alpha [h, w] of an opened picture of any mode."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = np.asarray(image)
        if image.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            raise InputError(
                "unsupported pixel format",
                where=path,
                expected="8 or 16 bits per channel",
                got=f"Pillow mode {image.mode}",
                hint="Convert the picture to an ordinary PNG or JPEG.",
            )
        grey = grey.astype(np.float32) / np.float32(65535)
        return np.repeat(grey[..., None], 3, axis=-1), None
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float32) / np.float32(255)
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255), None


def _unreadable(path: Path, error: Exception) -> InputError:
    empty = path.stat().st_size == 0
    return InputError(
        "cannot read the picture",
        where=path,
        expected=_WHAT,
        got="an empty file" if empty else str(error).replace(f" {str(path)!r}", "") or type(error).__name__,
        hint="Copy the file again from where it came, or leave it out.",
    )
