"""A folder on disk becomes a Capture: readers, photographs under a budget of memory, structure from motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from veduta.core import Capture, InputError
from veduta.data.border_masks import border_mask
from veduta.data.capture_examples import CaptureExample, capture_object, capture_scene, choose_inputs
from veduta.data.chunks import SCENE_KINDS, SceneChunks, evaluation_index_in, warmed_gap
from veduta.data.colmap import ColmapReader
from veduta.data.mesh_files import load_mesh
from veduta.data.mesh_objects import MeshObjects
from veduta.data.object_archives import ObjectArchives
from veduta.data.object_views import align_to_first
from veduta.data.photos import PhotosReader
from veduta.data.reader import Reader, ReadOptions
from veduta.data.scanned_objects import ScannedObjects
from veduta.data.sfm import Progress, SfmReport, reconstruct
from veduta.data.shots import fingerprint
from veduta.data.source import FileViews
from veduta.data.squares import square
from veduta.data.synthetic import synthetic_capture, write_capture
from veduta.data.synthetic_objects import SyntheticObjects
from veduta.data.transforms import TransformsReader, read_cameras
from veduta.data.transforms_writer import write_cameras

__all__ = [
    "READERS",
    "SCENE_KINDS",
    "CaptureExample",
    "FileViews",
    "MeshObjects",
    "ObjectArchives",
    "ReadOptions",
    "Reader",
    "ScannedObjects",
    "SceneChunks",
    "SfmReport",
    "SyntheticObjects",
    "align_to_first",
    "border_mask",
    "capture_object",
    "capture_scene",
    "choose_inputs",
    "evaluation_index_in",
    "fingerprint",
    "load_mesh",
    "open_capture",
    "read_cameras",
    "reconstruct",
    "square",
    "synthetic_capture",
    "warmed_gap",
    "write_cameras",
    "write_capture",
]

READERS: Mapping[str, Reader] = {
    "colmap": ColmapReader(),
    "transforms": TransformsReader(),
    "photos": PhotosReader(),
}
"""Formats, in the order in which they are asked; the first that recognises a path reads it."""
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
FOREIGN_SUFFIXES = frozenset({".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef"})
"""Photographs as telephones and cameras write them, which are not read here."""


def open_capture(
    path: str | Path,
    *,
    test_every: int = 8,
    max_size: int | None = None,
    image_budget_mb: int = 1024,
    masks: str | Path | None = None,
    only_cameras: bool = False,
    sfm: bool = False,
    on_progress: Progress | None = None,
    on_poses: Callable[[SfmReport], None] | None = None,
) -> Capture:
    """Open a COLMAP folder, a ``transforms.json`` or, with ``sfm``, a plain folder of photographs.

    Of a folder that holds several of these, the first is read in this order; a file that is named is read itself.
    ``test_every``, ``max_size``, ``image_budget_mb``, ``masks`` and ``only_cameras`` are explained in
    :class:`ReadOptions`. ``sfm`` lets poses be estimated where there are none (see :func:`reconstruct`, which
    ``on_progress`` goes to); ``on_poses`` is then told what became of the photographs. Photographs are checked by their
    headers now and decoded when asked for. Whatever is wrong with the capture raises InputError.
    """
    path = Path(path)
    options = ReadOptions(
        test_every=test_every,
        max_size=max_size,
        image_budget_mb=image_budget_mb,
        masks=None if masks is None else Path(masks),
        only_cameras=only_cameras,
    )
    reader = _reader_for(path)
    if sfm and isinstance(reader, PhotosReader):
        report = reconstruct(path, on_progress=on_progress)
        if on_poses is not None:
            on_poses(report)
        path = report.capture
        reader = _reader_for(path)
    capture = reader.read(path, options)
    return replace(capture, file=path) if path.is_file() else capture


def _reader_for(path: Path) -> Reader:
    if not path.exists():
        raise InputError(
            "no such capture",
            where=path,
            expected="a folder, or a transforms.json",
            hint="Check the spelling of the path.",
        )
    for reader in READERS.values():
        if reader.recognises(path):
            return reader
    raise InputError(
        "not a capture",
        where=path,
        expected=", ".join(["sparse/0 (COLMAP)", "transforms.json", "or photographs"]),
        got=_contents(path),
        hint=_hint(path),
    )


def _hint(path: Path) -> str:
    """What to do about a path that holds no photographs that can be read."""
    suffixes = {entry.suffix.lower() for entry in ([path] if path.is_file() else path.iterdir())}
    if suffixes & VIDEO_SUFFIXES:
        return "Take photographs out of the video: ffmpeg -i VIDEO -vf fps=2 -qscale:v 2 FOLDER/frame_%04d.jpg"
    if suffixes & FOREIGN_SUFFIXES:
        return "Convert the photographs to JPEG or PNG."
    return "Give the folder that holds the photographs."


def _contents(path: Path) -> str:
    if not path.is_dir():
        return "a file"
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    return "an empty folder" if not names else ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
