"""Structure from motion: poses, lenses and points from photographs alone, by pycolmap on the CPU."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Literal

from veduta.core import InputError, OutputError
from veduta.data.checks import MIN_PHOTOS, checked_header, listed
from veduta.data.colmap import IMAGE_FOLDERS, model_folders
from veduta.data.photos import find_photos, photo_folder
from veduta.data.sfm_pycolmap import Mapper, Model, Pair, Workspace, require_pycolmap
from veduta.io.atomic import as_output_error, write_json
from veduta.io.colmap import read_model
from veduta.io.paths import require_text

GOOD_SHARE = 0.95
"""Share of registered photographs with which no further method is tried."""
MANY_PHOTOS = 60
"""Above this, photographs are matched with their neighbours by name first."""
SOME_FRAMES = 20
"""From here on, so are photographs whose names say that they are frames of a video."""
MOST_EXHAUSTIVE = 250
"""Above this, all pairs (31,125 here) are matched only when asked for."""
OVERLAP = 10
"""Neighbours by name that a photograph is matched with, besides those 16, 32, 64 ... 512 places away."""
RIG_OVERLAP = 2
"""The same, between folders of photographs (the cameras of a rig)."""
FRAME_NAME = re.compile(r"(frame|frames|video|vid|mov|clip|out)[-_ ]*\d+", re.IGNORECASE)

Matcher = Literal["auto", "sequential", "exhaustive", "global"]
Progress = Callable[[str, int, int], None]
"""Told (stage, done, total): stages are ``features`` (photographs), ``matching`` (pairs), ``mapping`` (photographs)."""


@dataclass(frozen=True)
class Attempt:
    """One method and what came of it."""

    method: str
    registered: int
    points: int


@dataclass(frozen=True, kw_only=True)
class SfmReport:
    """What became of the photographs."""

    registered: int
    """Photographs with a pose."""
    total: int
    unregistered: tuple[str, ...]
    """Names of the others."""
    points: int
    reprojection_px: float
    """Mean distance between points' projections and where they were seen."""
    method: str
    """The method of the best model: sequential, exhaustive or global."""
    attempts: tuple[Attempt, ...]
    """All methods tried, in order."""
    capture: Path
    """The folder to fit."""
    model: Path
    """The COLMAP model in it."""

    @property
    def share(self) -> float:
        """Share of the photographs that have a pose, 0 to 1."""
        return self.registered / self.total

    def advice(self) -> str | None:
        """One line on what to do about photographs without a pose; None where nearly all have one."""
        if self.share >= GOOD_SHARE:
            return None
        return (
            f"{self.total - self.registered} of {self.total} photographs have no pose ({listed(self.unregistered)}): "
            "add photographs between these and the others, so that neighbours share at least half of what they show; "
            "leave out blurred ones; or try a larger max_image_size"
        )


def reconstruct(
    photos: Path,
    *,
    out: Path | None = None,
    max_image_size: int = 1600,
    camera_model: str = "auto",
    matcher: Matcher = "auto",
    seed: int = 0,
    threads: int | None = None,
    on_progress: Progress | None = None,
) -> SfmReport:
    """Estimate poses for a folder of photographs and write a COLMAP model to ``sparse/0``.

    ``photos`` is a folder of pictures, or one with pictures in ``images``. The model goes to ``out``, or beside
    ``images``, or into the folder of pictures. Features are found at ``max_image_size`` px at most; one lens is shared
    by all photographs of one size, folder, camera and focal length. ``camera_model`` is a COLMAP model; ``auto`` takes
    SIMPLE_RADIAL for few photographs and OPENCV for many. ``matcher="auto"`` goes on from neighbours (for many
    photographs) to all pairs to global mapping until nearly all photographs have a pose; the best model is kept.

    Features and matches are kept in ``sparse/sfm.db``, so that a call after an interruption goes on where it stopped. A
    fixed ``seed`` gives the same model bit for bit only with ``threads=1``; with more threads, whose order is chance,
    only nearly the same one. Raises InputError where a model exists already, a photograph cannot be read, there are
    fewer than 2, or no method finds a model; OutputError where nothing can be written or the disk is about to be full;
    MissingDependencyError without pycolmap.
    """
    pycolmap = require_pycolmap()
    names, images = _checked_photos(photos)
    capture = _capture_folder(images, out)
    _refuse_existing(capture)
    sparse = capture / "sparse"
    with as_output_error(sparse):
        sparse.mkdir(parents=True, exist_ok=True)
        _link_images(capture, images)
    work = Workspace(
        pycolmap=pycolmap,
        folder=sparse,
        images=images,
        names=tuple(names),
        max_image_size=max_image_size,
        camera_model=camera_model,
        seed=seed,
        threads=threads or os.cpu_count() or 1,
        on_progress=on_progress or _ignore,
    )
    work.prepare()
    work.extract()
    best, attempts = _best_of(work, matcher)
    return _kept(best, attempts, work, capture)


def sequential_pairs(names: Sequence[str]) -> list[Pair]:
    """Neighbours by sorted name within a folder, ever rarer farther away; between folders, those at like places."""
    folders: dict[str, list[str]] = {}
    for name in sorted(names):
        folders.setdefault(str(PurePosixPath(name).parent), []).append(name)
    offsets = [*range(1, OVERLAP + 1), *(2**k for k in range(4, 10))]
    pairs = [
        (inner[i], inner[i + offset])
        for inner in folders.values()
        for i in range(len(inner))
        for offset in offsets
        if i + offset < len(inner)
    ]
    for one, other in combinations(folders.values(), 2):
        pairs += [
            (one[i], other[j])
            for i in range(len(one))
            for j in range(max(0, i - RIG_OVERLAP), min(len(other), i + RIG_OVERLAP + 1))
        ]
    return pairs


def plan(names: Sequence[str], matcher: Matcher) -> list[tuple[str, list[Pair], Mapper]]:
    """The methods to try in order: name, pairs to match (those of earlier methods stay), how to map."""
    nearby, everything = sequential_pairs(names), list(combinations(sorted(names), 2))
    frames = sum(FRAME_NAME.fullmatch(PurePosixPath(name).stem) is not None for name in names)
    ordered = len(names) > MANY_PHOTOS or (frames == len(names) >= SOME_FRAMES)
    first = nearby if ordered else everything
    if matcher == "global":
        return [("global", first, "global")]
    if matcher == "sequential":
        return [("sequential", nearby, "incremental"), ("global", [], "global")]
    if matcher == "exhaustive" or not ordered:
        return [("exhaustive", everything, "incremental"), ("global", [], "global")]
    steps: list[tuple[str, list[Pair], Mapper]] = [("sequential", nearby, "incremental")]
    if len(names) <= MOST_EXHAUSTIVE:
        steps.append(("exhaustive", everything, "incremental"))
    return [*steps, ("global", [], "global")]


def _best_of(work: Workspace, matcher: Matcher) -> tuple[tuple[Model, str], list[Attempt]]:
    """The best model with its method, and all that was tried. InputError where nothing came of it."""
    best: tuple[Model, str] | None = None
    attempts: list[Attempt] = []
    for method, pairs, mapper in plan(work.names, matcher):
        work.match(pairs)
        model = work.map(mapper)
        attempts.append(Attempt(method, model.registered if model else 0, model.points if model else 0))
        if model is not None and (best is None or model.score > best[0].score):
            best = model, method
        if best is not None and best[0].registered >= GOOD_SHARE * len(work.names):
            break
    if best is None or best[0].registered < MIN_PHOTOS:
        raise InputError(
            "no poses were found",
            where=work.images,
            expected=f"at least {MIN_PHOTOS} photographs that see the same places",
            got="; ".join(f"{a.method}: {a.registered} of {len(work.names)}" for a in attempts),
            hint="Take photographs with more overlap and texture, walking rather than turning on the spot.",
        )
    return best, attempts


def _kept(best: tuple[Model, str], attempts: Sequence[Attempt], work: Workspace, capture: Path) -> SfmReport:
    """What there is to tell about the best model, once it and this lie in the capture's folder."""
    model, method = best
    report = SfmReport(
        registered=model.registered,
        total=len(work.names),
        unregistered=tuple(sorted(set(work.names) - model.registered_names)),
        points=model.points,
        reprojection_px=model.reprojection_px,
        method=method,
        attempts=tuple(attempts),
        capture=capture,
        model=_install(model, work.folder),
    )
    _write_report(report, work.folder / "sfm.json")
    return report


def _checked_photos(photos: Path) -> tuple[list[str], Path]:
    if not photos.is_dir():
        raise InputError("no such folder", where=photos, expected="a folder of photographs", hint="Check the path.")
    images, names = photo_folder(photos), find_photos(photos)
    if len(names) < MIN_PHOTOS:
        raise InputError(
            "too few photographs",
            where=images,
            expected=f"at least {MIN_PHOTOS} that overlap",
            got=str(len(names)),
            hint="Add photographs of the same place.",
        )
    for name in names:
        checked_header(images / require_text(name, where=images))
    return names, images


def _capture_folder(images: Path, out: Path | None) -> Path:
    if out is not None:
        return out
    return images.absolute().parent if images.name == "images" else images  # absolute: a link's target is elsewhere


def _refuse_existing(capture: Path) -> None:
    existing = model_folders(capture)
    if existing:
        raise InputError(
            "there is a model already",
            where=existing[0],
            expected="no model, since none is overwritten",
            hint=f"Fit it (veduta fit {capture}), give another output folder, or move the model away.",
        )


def _link_images(capture: Path, images: Path) -> None:
    """Let the capture's folder show the photographs, so that it can be opened by itself."""
    natural = images.resolve()
    linked = capture / "images"
    if any((capture / place).resolve() == natural for place in IMAGE_FOLDERS):
        return
    if linked.exists() or linked.is_symlink():
        raise InputError(
            "the output folder has other images",
            where=linked,
            expected=f"no images, or a link to {images}",
            hint="Give another output folder.",
        )
    linked.symlink_to(natural, target_is_directory=True)


def _install(model: Model, sparse: Path) -> Path:
    """Write the model beside its place, then rename it there: ``sparse/0`` is whole or not there."""
    target = sparse / "0"
    with as_output_error(target):
        fresh = Path(tempfile.mkdtemp(prefix=".model-", dir=sparse))
        try:
            _write_whole(model, fresh)
            fresh.chmod(0o755)
            fresh.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                shutil.rmtree(fresh)
            raise
    return target


def _write_whole(model: Model, folder: Path) -> None:
    """Write the model and read it again: COLMAP does not notice a disk that is full."""
    try:
        model.write(folder)
        written = len(read_model(folder).images)
    except (RuntimeError, ValueError, InputError) as error:
        written = 0
        reason = str(error).splitlines()[0]
    else:
        reason = f"{written} photographs"
    if written != model.registered:
        raise OutputError(
            "the model could not be written",
            where=folder.parent,
            expected=f"{model.registered} photographs",
            got=reason,
            hint="Free some space on the disk; features and matches are kept, so that a second call is quick.",
        )


def _write_report(report: SfmReport, path: Path) -> None:
    content = dataclasses.asdict(report) | {"share": report.share, "advice": report.advice()}
    write_json(path, {key: value for key, value in content.items() if key not in ("capture", "model")})


def _ignore(stage: str, done: int, total: int) -> None:
    """Nobody wants to know."""
