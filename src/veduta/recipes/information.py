"""What is known about a scene: evidence, gathered once, kept with the run, and gathered anew when it is stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from veduta import information
from veduta.core import Capture, Evidence, InputError, Noise, Posterior, Scene
from veduta.data import FileViews, open_capture
from veduta.geometry.motion import RigidMotion
from veduta.information import Warp
from veduta.information.warp import WarpConsistency
from veduta.io.atomic import write_json
from veduta.io.evidence import load_evidence, save_evidence, scene_fingerprint
from veduta.io.runs import read_json_object
from veduta.recipes.paths import cameras_of
from veduta.recipes.runs import Run, open_run
from veduta.render.devices import choose_device

Kind = Literal["sandwich", "block", "diagonal"]
FOLDER = "information"
"""Of a run: everything that the information maps keep."""
EVIDENCE = "evidence.safetensors"
SOURCE = "evidence.json"
"""Beside the evidence: what it was gathered from, other than the scene, which it knows itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A scene, the capture that it is compared with, and where what is known about it is kept."""

    run: Run
    capture: Capture
    folder: Path | None
    """Where evidence and calibration are kept; None: nowhere."""
    missing: tuple[str, ...] = ()
    """Photographs that are not on the disk; unless there are none, only cameras are made use of."""

    @staticmethod
    def of(run: Run, capture: Capture) -> Subject:
        """A run with its opened capture."""
        return Subject(run=run, capture=capture, folder=None if run.folder is None else run.folder / FOLDER)

    @property
    def scene(self) -> Scene:
        """What was fitted."""
        return self.run.scene

    @property
    def evidence_path(self) -> Path | None:
        """The file of the evidence."""
        return None if self.folder is None else self.folder / EVIDENCE


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Evidence about a subject, and how it was come by."""

    evidence: Evidence
    told: str
    """In a line: whether it was kept or gathered, and from what."""


def open_subject(
    path: Path,
    *,
    capture: Path | None = None,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    backend: str = "auto",
) -> Subject:
    """A run's folder or a scene's file, with the photographs that it was made from.

    ``capture`` is their folder, for a run by default its own. Where photographs are missing, their cameras serve.
    ``folder`` is where evidence is kept, by default ``RUN/information``. The scene is put on the ``device``, where all
    that follows is worked out; ``auto`` is a GPU if it can be used with the ``backend``. InputError for a scene
    without Gaussians, and where there is no capture.
    """
    run = open_run(path).to(choose_device(device, backend=backend))
    if len(run.scene.background) + sum(len(actor.gaussians) for actor in run.scene.actors.values()) == 0:
        raise InputError(
            "the scene has no Gaussians, so there is nothing to know about it",
            where=path,
            expected="at least one",
            got="none",
        )
    home = run.folder / FOLDER if folder is None and run.folder is not None else folder
    try:
        return Subject(run=run, capture=run.open_capture(capture), folder=home)
    except InputError:
        bare = _only_cameras(run, capture)
        missing = () if bare is None else _missing(bare)
        if bare is None or not missing:
            raise
    return Subject(run=run, capture=bare, folder=home, missing=missing)


def has_evidence(run: Run) -> bool:
    """Whether evidence was gathered for a run before, perhaps of an older scene."""
    return run.folder is not None and (run.folder / FOLDER / EVIDENCE).is_file()


def evidence_of(subject: Subject, *, backend: str = "auto", on_view: Callable[[int, int], None] | None = None) -> Known:
    """The kept evidence if it is of this scene and these photographs; else it is gathered, and kept.

    ``on_view`` is called with the photographs done and their total. Raises InputError where the capture shows nothing
    of the scene and, for a scene from a file, where the photographs look like something else.
    """
    source, path = source_fingerprint(subject), subject.evidence_path
    kept, stale = _kept(subject, source)
    if kept is not None:
        return Known(evidence=kept, told=f"evidence: kept, {_from(kept, subject)}")
    evidence = information.gather(
        subject.scene,
        cameras_of(subject.capture.train) if subject.missing else subject.capture.train,
        options=subject.run.raster,
        backend=backend,
        known_background=subject.capture.background is not None,
        on_view=on_view,
    )
    _check_it_belongs(subject, evidence)
    if path is not None:
        save_evidence(evidence, path, scene=subject.scene)
        write_json(path.with_name(SOURCE), {"source": source})
    how = "gathered" if stale is None else f"gathered anew ({stale})"
    return Known(evidence=evidence, told=f"evidence: {how}, {_from(evidence, subject)}")


def posterior_of(subject: Subject, evidence: Evidence, kind: Kind | None = None) -> Posterior:
    """What is still unknown; ``kind`` is by default ``sandwich``, or ``block`` where photographs are missing."""
    if kind == "sandwich" and evidence.score is None:
        raise InputError(
            "the sandwich posterior needs the photographs",
            where=subject.capture.source,
            field="posterior",
            expected="block or diagonal, which need only cameras",
            got=kind,
            hint=f"Put the photographs back ({len(subject.missing)} are missing), or leave --posterior out.",
        )
    return information.posterior(subject.scene, evidence, kind=kind)


def warp_of(subject: Subject, *, backend: str = "auto") -> Warp:
    """How much renders of the nearest training views disagree: see :class:`veduta.information.WarpConsistency`."""
    cameras = cameras_of(subject.capture.train)
    return WarpConsistency(subject.scene, cameras, options=subject.run.raster, backend=backend)


def noise_line(noise: Noise, kind: str) -> str:
    """The noise and the posterior in a line for people."""
    source = "assumed, as there are no photographs to measure it on" if noise.assumed else "measured on the residuals"
    return f"{kind} posterior; noise sigma {noise.sigma:.4f}, kappa {noise.kappa:.1f}, tau {noise.tau:.3f} ({source})"


def source_fingerprint(subject: Subject) -> str:
    """A hash of what evidence depends on besides the Gaussians: photographs or cameras, motions, sky, and drawing."""
    digest = hashlib.sha256()
    train = subject.capture.train
    if isinstance(train, FileViews) and not subject.missing:
        digest.update(train.fingerprint().encode())
    else:
        for camera in cameras_of(train):
            digest.update(json.dumps([camera.width, camera.height]).encode())
            digest.update(_bytes_of(camera.world_from_camera, camera.intrinsics, camera.time))
    for actor in subject.scene.actors.values():
        if isinstance(actor.motion, RigidMotion):
            digest.update(_bytes_of(actor.motion.times, actor.motion.world_from_object))
            digest.update(json.dumps(actor.motion.tolerance_s).encode())
    if subject.scene.sky is not None:
        digest.update(_bytes_of(subject.scene.sky.texture, subject.scene.sky.up))
    facts = [subject.run.raster.antialias, bool(subject.missing), subject.capture.background is not None]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def about(subject: Subject) -> dict[str, str]:
    """What is kept beside anything that was worked out: the scene and the photographs that it holds for."""
    return {"scene": scene_fingerprint(subject.scene), "source": source_fingerprint(subject)}


def require_photographs(subject: Subject, *, problem: str, hint: str) -> None:
    """InputError where any photograph is missing."""
    if subject.missing:
        raise InputError(
            problem,
            where=subject.capture.source,
            expected="every photograph on disk",
            got=f"{len(subject.missing)} missing, {subject.missing[0]} first",
            hint=hint,
        )


def _kept(subject: Subject, source: str) -> tuple[Evidence | None, str | None]:
    """The evidence in the folder, or why what lies there cannot be used; neither where nothing is there."""
    path = subject.evidence_path
    if path is None or not path.exists():
        return None, None
    try:
        evidence = load_evidence(path, scene=subject.scene)
        if read_json_object(path.with_name(SOURCE)).get("source") != source:
            return None, "the kept one is of other photographs, or drawn otherwise"
    except InputError as error:
        return None, f"the kept one cannot be used: {error.problem}"
    return evidence, None


def _bytes_of(*tensors: Tensor) -> bytes:
    """Types, shapes and values."""
    heads = (json.dumps([str(tensor.dtype), list(tensor.shape)]).encode() for tensor in tensors)
    values = (tensor.detach().cpu().contiguous().numpy().tobytes() for tensor in tensors)
    return b"".join((*heads, *values))


def _only_cameras(run: Run, path: Path | None) -> Capture | None:
    """The capture, photographs or not; None where its cameras cannot be read either."""
    source = run.source if path is None else path
    if source is None or not source.exists():
        return None
    try:
        return open_capture(source, test_every=run.options.test_every, max_size=run.options.max_size, only_cameras=True)
    except InputError:
        return None


def _missing(capture: Capture) -> tuple[str, ...]:
    sources = (capture.train, capture.test)
    return tuple(name for source in sources if isinstance(source, FileViews) for name in source.missing)


def _check_it_belongs(subject: Subject, evidence: Evidence) -> None:
    """InputError unless the capture's cameras see the scene, and its photographs show it."""
    where = subject.run.folder or subject.capture.source
    if not bool(evidence.fisher.any()):
        raise InputError(
            "none of the capture's cameras sees any of the scene",
            where=where,
            expected="a scene in the capture's own frame",
            hint="Some trainers move and scale the world: export in the capture's frame, or name the other capture.",
        )
    if subject.run.folder is not None or evidence.residuals is None:
        return
    noise = information.measured_noise(evidence)
    if noise.sigma >= noise.tau:
        raise InputError(
            "the scene does not look like the photographs",
            where=where,
            expected=f"renders nearer to the photographs than one grey is (standard deviation {noise.tau:.3f})",
            got=f"{noise.sigma:.3f}",
            hint="Some trainers move and scale the world: export in the capture's frame, or name the other capture.",
        )


def _from(evidence: Evidence, subject: Subject) -> str:
    what = "cameras without photographs" if evidence.score is None else "photographs"
    lost = f" ({len(subject.missing)} photographs are missing, {subject.missing[0]} first)" if subject.missing else ""
    return f"{evidence.views} {what}{lost}"
