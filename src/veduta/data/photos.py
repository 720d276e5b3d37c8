"""A plain folder of photographs, whose poses nobody has estimated yet."""

from __future__ import annotations

import os
from pathlib import Path

from veduta.core import Capture, InputError
from veduta.data.checks import MIN_PHOTOS
from veduta.data.reader import ReadOptions
from veduta.io.images import IMAGE_SUFFIXES


class PhotosReader:
    """Recognises photographs without poses, to say what to do next; where poses lie beside them, others come first."""

    name = "photographs without poses"

    def recognises(self, path: Path) -> bool:
        """A folder with pictures in it, or in its ``images``."""
        return bool(find_photos(path))

    def read(self, path: Path, options: ReadOptions) -> Capture:
        """Raises InputError with the command that estimates poses."""
        count = len(find_photos(path))
        if count < MIN_PHOTOS:
            raise InputError(
                "too few photographs",
                where=path,
                expected=f"at least {MIN_PHOTOS} that overlap",
                got=str(count),
                hint="Add photographs of the same place.",
            )
        raise InputError(
            "photographs without poses",
            where=path,
            expected="a COLMAP model in sparse/0, or transforms.json",
            got=f"{count} photographs",
            hint=f"Estimate poses first: veduta sfm {path}",
        )


def photo_folder(path: Path) -> Path:
    """Where the photographs of a capture lie: its ``images`` if there are any, else the folder itself."""
    images = path / "images"
    return images if images.is_dir() and _pictures(images) else path


def find_photos(path: Path) -> list[str]:
    """Sorted names of a capture's photographs, relative to :func:`photo_folder`: its own and those one folder deeper.

    Folders called ``masks``, hidden ones, and those that may not be read (``lost+found``) are left out.
    """
    return _pictures(photo_folder(path)) if path.is_dir() else []


def _pictures(folder: Path) -> list[str]:
    def is_picture(path: Path) -> bool:
        return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()

    def is_entered(path: Path) -> bool:
        return path.is_dir() and path.name != "masks" and not path.name.startswith(".") and os.access(path, os.R_OK)

    names = [path.name for path in folder.iterdir() if is_picture(path)]
    for inner in filter(is_entered, folder.iterdir()):
        names += [f"{inner.name}/{path.name}" for path in inner.iterdir() if is_picture(path)]
    return sorted(names)
