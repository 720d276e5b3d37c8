"""The steps of structure from motion in pycolmap's terms, in small pieces that report progress and can be resumed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal

from PIL import Image

from veduta.core import InputError, MissingDependencyError, OutputError
from veduta.io.atomic import as_output_error, write_text

MIN_MODEL = 2
"""Photographs that a model needs; COLMAP's own default of 10 would drop small captures."""
PAIR_ANGLE_DEG = 1.0
"""Between the rays to a point of two photographs that are all there is; COLMAP's 16 would ask for more of a step."""
MIN_POINTS = 30
"""Points that a photograph must show to keep its pose (what COLMAP asks of one that it adds to a model)."""
FEW_PHOTOS = 20
"""Below this, a lens of one parameter is estimated: more would fit noise."""
BLOCK = 5
"""Pairs are matched in blocks of this many photographs by as many, so that features are loaded once per block."""
SPARE_BYTES = 16 * 2**20
"""Of the disk, left free at all times; with less, a failure of COLMAP's is taken for one of the disk."""
PHOTO_BYTES = 4 * 2**20
"""Most that one photograph's features (8192 of 128 + 24 bytes) or its matches with BLOCK others take, journal too."""
DISK_FAILURES = ("disk is full", "disk I/O error", "readonly database")
"""How SQLite's messages name what only the disk is to blame for."""
EXIF_MAKE, EXIF_MODEL, EXIF_DETAILS, EXIF_FOCAL, EXIF_FOCAL_35 = 0x010F, 0x0110, 0x8769, 0x920A, 0xA405

Pair = tuple[str, str]
Mapper = Literal["incremental", "global"]


def require_pycolmap() -> ModuleType:
    """The pycolmap module, loaded now; MissingDependencyError where it is not installed."""
    try:
        import pycolmap
    except ImportError as error:
        raise MissingDependencyError(
            "structure from motion needs pycolmap", got=str(error), hint="pip install 'veduta[sfm]'"
        ) from error
    return pycolmap


@dataclass(frozen=True, eq=False)
class Model:
    """One connected reconstruction."""

    reconstruction: Any
    registered_names: frozenset[str]

    @property
    def registered(self) -> int:
        """Photographs with a pose."""
        return len(self.registered_names)

    @property
    def points(self) -> int:
        """Triangulated points."""
        return int(self.reconstruction.num_points3D())

    @property
    def score(self) -> tuple[int, int]:
        """Orders models by registered photographs, then by points."""
        return self.registered, self.points

    @property
    def reprojection_px(self) -> float:
        """Mean reprojection error."""
        return float(self.reconstruction.compute_mean_reprojection_error())

    def write(self, folder: Path) -> None:
        """The model in COLMAP's binary files."""
        self.reconstruction.write_binary(str(folder))


@dataclass(frozen=True, eq=False)
class Workspace:
    """A database of features and matches in ``folder``, and the settings that it was made with."""

    pycolmap: ModuleType
    folder: Path
    images: Path
    names: tuple[str, ...]
    max_image_size: int
    camera_model: str
    seed: int
    threads: int
    on_progress: Callable[[str, int, int], None]

    @property
    def database(self) -> Path:
        """Where features and matches are kept."""
        return self.folder / "sfm.db"

    def prepare(self) -> None:
        """Make the database with all photographs and their cameras, unless one of the same settings is there."""
        settings = self._settings()
        notes = self.folder / "sfm_settings.json"
        if notes.is_file() and notes.read_text(encoding="utf-8") == settings and self._holds_all():
            return
        with as_output_error(self.database):
            notes.unlink(missing_ok=True)
            for suffix in ("", "-wal", "-shm"):
                self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)
        groups = camera_groups(self.images, self.names)
        self._need_space(0)
        with self._quiet():
            self.pycolmap.Database.open(str(self.database)).close()
            for group in groups:
                options = self.pycolmap.ImageReaderOptions()
                options.camera_model = self._lens_for(group)
                self.pycolmap.import_images(
                    str(self.database), str(self.images), self.pycolmap.CameraMode.SINGLE, group, options
                )
            self._refuse_unread()
        write_text(notes, settings)

    def extract(self) -> None:
        """Find features in the photographs that have none yet."""
        with self._quiet():
            missing = self._without_features()
        done = len(self.names) - len(missing)
        self.on_progress("features", done, len(self.names))
        options = self.pycolmap.FeatureExtractionOptions()
        options.max_image_size = self.max_image_size
        options.num_threads = self.threads
        options.use_gpu = False
        for camera_id, names in missing_chunks(missing, self.threads):
            reader = self.pycolmap.ImageReaderOptions()
            reader.existing_camera_id = camera_id
            self._need_space(len(names))
            with self._quiet():
                self.pycolmap.extract_features(
                    str(self.database),
                    str(self.images),
                    image_names=names,
                    camera_mode=self.pycolmap.CameraMode.SINGLE,
                    reader_options=reader,
                    extraction_options=options,
                    device=self.pycolmap.Device.cpu,
                )
            done += len(names)
            self.on_progress("features", done, len(self.names))

    def match(self, pairs: Sequence[Pair]) -> None:
        """Match and verify pairs; those in the database already cost nothing."""
        if any(len(name.split()) > 1 for name in self.names):
            self._match_at_once(pairs)
            return
        blocks = pair_blocks(self.names, pairs)
        done = 0
        options, verification = self._matching_options()
        with self._scratch(".pairs-") as temporary:
            listing = temporary / "pairs.txt"
            pairing = self.pycolmap.ImportedPairingOptions()
            pairing.match_list_path = str(listing)
            for block in blocks:
                self.on_progress("matching", done, len(pairs))
                self._need_space(BLOCK)
                write_text(listing, "\n".join(f"{one} {other}" for one, other in block) + "\n")
                with self._quiet():
                    self.pycolmap.match_image_pairs(
                        str(self.database), options, pairing, verification, self.pycolmap.Device.cpu
                    )
                done += len(block)
        if pairs:
            self.on_progress("matching", done, len(pairs))

    def _match_at_once(self, pairs: Sequence[Pair]) -> None:
        """COLMAP's own choice of pairs, since its lists of pairs cannot hold names with spaces."""
        if not pairs:
            return
        everything = len(pairs) == len(self.names) * (len(self.names) - 1) // 2
        match = self.pycolmap.match_exhaustive if everything else self.pycolmap.match_sequential
        options, verification = self._matching_options()
        self.on_progress("matching", 0, len(pairs))
        self._need_space(len(self.names))
        with self._quiet():
            match(str(self.database), options, verification_options=verification, device=self.pycolmap.Device.cpu)
        self.on_progress("matching", len(pairs), len(pairs))

    def _matching_options(self) -> tuple[Any, Any]:
        options = self.pycolmap.FeatureMatchingOptions()
        options.num_threads = self.threads
        options.use_gpu = False
        verification = self.pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = self.seed
        return options, verification

    def map(self, mapper: Mapper) -> Model | None:
        """The best model that a mapper makes of the matches; None for none."""
        self._need_space(0)
        with self._scratch(".mapping-") as temporary, self._quiet(failures=False):
            try:
                found = self._incremental(str(temporary)) if mapper == "incremental" else self._global(str(temporary))
            except (RuntimeError, ValueError):  # pycolmap's way of saying that the matches do not suffice
                return None
        models = [self._model(reconstruction) for reconstruction in found.values()]
        return max(models, key=lambda model: model.score, default=None)

    def _incremental(self, folder: str) -> dict[int, Any]:
        options = self.pycolmap.IncrementalPipelineOptions()
        options.min_model_size = MIN_MODEL
        options.num_threads = self.threads
        for part in (options, options.mapper, options.triangulation):
            part.random_seed = self.seed
        if len(self.names) == MIN_MODEL:
            options.triangulation.ignore_two_view_tracks = False
            options.mapper.init_min_tri_angle, options.mapper.init_max_forward_motion = PAIR_ANGLE_DEG, 1.0
        registered = 0

        def count(more: int) -> None:
            nonlocal registered
            registered = min(registered + more, len(self.names))
            self.on_progress("mapping", registered, len(self.names))

        count(0)
        return self.pycolmap.incremental_mapping(
            str(self.database),
            str(self.images),
            folder,
            options,
            initial_image_pair_callback=lambda: count(2),
            next_image_callback=lambda: count(1),
        )

    def _global(self, folder: str) -> dict[int, Any]:
        options = self.pycolmap.GlobalPipelineOptions()
        options.min_model_size = MIN_MODEL
        options.num_threads = self.threads
        options.mapper.global_positioning.use_gpu = False
        options.mapper.bundle_adjustment.ceres.use_gpu = False
        mapper = options.mapper
        for part in (options, mapper, mapper.rotation_averaging, mapper.global_positioning, mapper.retriangulation):
            part.random_seed = self.seed
        self.on_progress("mapping", 0, len(self.names))
        found = self.pycolmap.global_mapping(str(self.database), str(self.images), folder, options)
        self.on_progress("mapping", len(self.names), len(self.names))
        return found

    def _model(self, reconstruction: Any) -> Model:
        """The model without photographs whose pose hangs on a few points; global mapping leaves such in."""
        images = [reconstruction.images[i] for i in reconstruction.reg_image_ids()]
        for image in images:
            if image.num_points3D < MIN_POINTS:
                reconstruction.deregister_frame(image.frame_id)
        registered = (reconstruction.images[i] for i in reconstruction.reg_image_ids())
        return Model(reconstruction, frozenset(image.name for image in registered))

    def _without_features(self) -> list[tuple[int, str]]:
        """(camera id, name) of the photographs that have no features in the database."""
        database = self.pycolmap.Database.open(str(self.database))
        try:
            images = {image.name: image for image in database.read_all_images()}
            chosen = [images[name] for name in self.names]
            return [(i.camera_id, i.name) for i in chosen if not database.exists_descriptors(i.image_id)]
        finally:
            database.close()

    def _refuse_unread(self) -> None:
        """InputError for photographs that pycolmap left out: it reads fewer formats than we do (no WebP)."""
        try:
            self._without_features()
        except KeyError as error:
            raise InputError(
                "pycolmap cannot read the photograph",
                where=self.images / error.args[0],
                expected="JPEG, PNG, TIFF or BMP",
                hint="Convert all photographs like it to PNG, or move them out of the folder.",
            ) from None

    def _holds_all(self) -> bool:
        """Whether the database can be read and knows every photograph."""
        if not self.database.is_file():
            return False
        with self._quiet():
            try:
                self._without_features()
            except (RuntimeError, KeyError):  # damaged, or cut off before all photographs were in
                return False
        return True

    def _settings(self) -> str:
        """All that features depend on, as JSON."""
        facts = {
            "pycolmap": self.pycolmap.__version__,
            "max_image_size": self.max_image_size,
            "camera_model": self.camera_model,
            "seed": self.seed,
            "photographs": [[name, (self.images / name).stat().st_size] for name in self.names],
        }
        return json.dumps(facts, indent=1)

    def _lens_for(self, group: Sequence[str]) -> str:
        if self.camera_model != "auto":
            known = set(self.pycolmap.CameraModelId.__members__) - {"INVALID"}
            if self.camera_model not in known:
                raise InputError(
                    "no such camera model",
                    field="camera_model",
                    expected=", ".join(sorted(known)),
                    got=self.camera_model,
                )
            return self.camera_model
        return "SIMPLE_RADIAL" if len(group) < FEW_PHOTOS else "OPENCV"

    def _need_space(self, photographs: int) -> None:
        """OutputError unless the disk holds what so many photographs add.

        Asked before every step, since COLMAP's threads end the whole process when a write of theirs fails.
        """
        needed = SPARE_BYTES + photographs * PHOTO_BYTES
        if self._free_bytes() < needed:
            raise _disk_full(self.folder, f"{self._free_bytes() // 2**20} MiB", f"{needed // 2**20} MiB of free space")

    def _free_bytes(self) -> int:
        with as_output_error(self.folder):
            return shutil.disk_usage(self.folder).free

    @contextmanager
    def _scratch(self, prefix: str) -> Iterator[Path]:
        """A folder for the time of the block."""
        with as_output_error(self.folder):
            temporary = tempfile.TemporaryDirectory(prefix=prefix, dir=self.folder)
        with temporary as path:
            yield Path(path)

    @contextmanager
    def _quiet(self, *, failures: bool = True) -> Iterator[None]:
        """COLMAP's log is kept to errors, its generator is seeded; its failures become veduta errors.

        Without ``failures`` its log does not tell them either: that a mapper finds no model is an answer.
        The disk's are an OutputError: SQLite's words tell, or that next to nothing is free. All others: InputError.
        """
        logging = self.pycolmap.logging
        before = logging.minloglevel
        logging.minloglevel = int(logging.Level.ERROR if failures else logging.Level.FATAL)
        self.pycolmap.set_random_seed(self.seed)
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0][:200]
            if any(words in reason for words in DISK_FAILURES) or self._free_bytes() < SPARE_BYTES:
                raise _disk_full(self.folder, reason, "to write features and matches") from error
            raise InputError(
                "pycolmap cannot go on", where=self.folder, got=reason, hint="Remove sfm.db there to start afresh."
            ) from error
        finally:
            logging.minloglevel = before


def _disk_full(folder: Path, got: str, expected: str) -> OutputError:
    return OutputError(
        "the disk is full, or cannot be written",
        where=folder,
        expected=expected,
        got=got,
        hint="Free some space, or give an output folder on another disk; a second call goes on from here.",
    )


def camera_groups(images: Path, names: Sequence[str]) -> list[list[str]]:
    """Photographs that one lens took: of one folder, size, camera and focal length, as their headers say."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        with Image.open(images / name) as image:
            exif = image.getexif()
            details = exif.get_ifd(EXIF_DETAILS)
            facts = [exif.get(EXIF_MAKE), exif.get(EXIF_MODEL), details.get(EXIF_FOCAL), details.get(EXIF_FOCAL_35)]
            key = (str(PurePosixPath(name).parent), image.size, *map(str, facts))
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def missing_chunks(missing: Sequence[tuple[int, str]], size: int) -> Iterator[tuple[int, list[str]]]:
    """(camera id, at most ``size`` names) until all are given."""
    for camera_id in dict.fromkeys(camera for camera, _ in missing):
        names = [name for camera, name in missing if camera == camera_id]
        for start in range(0, len(names), size):
            yield camera_id, names[start : start + size]


def pair_blocks(names: Sequence[str], pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Pairs gathered by which tens of photographs they join."""
    place = {name: i // BLOCK for i, name in enumerate(sorted(names))}
    blocks: dict[tuple[int, int], list[Pair]] = {}
    for one, other in pairs:
        blocks.setdefault((place[one], place[other]), []).append((one, other))
    return [blocks[key] for key in sorted(blocks)]
