"""Films: frames to an MP4 that browsers play."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from veduta.core import MissingDependencyError, OutputError
from veduta.io.atomic import atomic_path
from veduta.io.images import to_bytes

_QUALITY = 18
"""x264's constant rate factor; 18 is said to be visually lossless."""
_BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
_ENCODING = (
    *("-c:v", "libx264", "-crf", str(_QUALITY), "-pix_fmt", "yuv420p"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv", *_BT709),
    *("-movflags", "+faststart", "-f", "mp4"),
)


def write_mp4(
    path: str | Path,
    frames: Iterable[Float[Tensor, "h w 3"] | UInt8[Tensor, "h w 3"]],
    *,
    fps: int | float = 30.0,
) -> int:
    """Write frames of one size (sRGB, 0 to 1, or uint8) as H.264, atomically; returns how many there were.

    Frames are taken one at a time. Odd sizes, which the codec does not have, are extended by a copy of the last row or
    column. No frames at all, or frames of different sizes, raise ValueError; a film that cannot be written OutputError.
    """
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise ValueError("expected at least one frame")
    height, width = first.shape[:2]
    count = 0
    with atomic_path(path) as temporary, tempfile.TemporaryFile() as complaints:
        size = f"{width + width % 2}x{height + height % 2}"
        raw = ("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-framerate", str(fps), "-i", "pipe:0")
        command = [_ffmpeg(path), "-v", "error", "-y", *raw, *_ENCODING, str(temporary.absolute())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints) as encoder:
            assert encoder.stdin is not None
            try:
                for count, frame in enumerate(itertools.chain([first], stream), start=1):
                    if frame.shape != first.shape:
                        raise ValueError(f"frame {count}: expected {tuple(first.shape)}, got {tuple(frame.shape)}")
                    encoder.stdin.write(_even(to_bytes(frame)).numpy().data)
                encoder.stdin.close()
            except BrokenPipeError:  # it gave up; its exit code and complaints say more
                with contextlib.suppress(BrokenPipeError):
                    encoder.stdin.close()
            except BaseException:
                encoder.kill()
                raise
        if encoder.returncode != 0:
            raise _failed(path, complaints, encoder.returncode)
    return count


def _ffmpeg(path: str | Path) -> str:
    """The ffmpeg program that comes with imageio-ffmpeg."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "pip install 'imageio[ffmpeg]'"
        raise MissingDependencyError("films need ffmpeg", where=path, got=str(error)[:80], hint=hint) from error


def _even(picture: UInt8[Tensor, "h w 3"]) -> UInt8[Tensor, "h2 w2 3"]:
    """The picture with its last row and column doubled where their number is odd."""
    height, width = picture.shape[:2]
    if height % 2:
        picture = torch.cat([picture, picture[-1:]])
    if width % 2:
        picture = torch.cat([picture, picture[:, -1:]], dim=1)
    return picture.contiguous()


def _failed(path: str | Path, complaints: IO[bytes], code: int) -> OutputError:
    complaints.seek(0)
    lines = complaints.read().decode("utf-8", errors="replace").strip().splitlines()
    got = lines[-1][:200] if lines else f"exit code {code} of ffmpeg"
    hint = "Free some space, or write to another place."
    return OutputError("the film could not be written", where=path, got=got, hint=hint)
