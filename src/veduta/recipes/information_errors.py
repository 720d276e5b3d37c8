"""Errors that training photographs could not be explained to: learned once, kept with the run."""

from __future__ import annotations

from collections.abc import Callable

import torch

from veduta import information
from veduta.core import InputError
from veduta.information import ErrorModel
from veduta.io.tensors import load_tensors, save_tensors
from veduta.recipes.information import Subject, about, require_photographs

FILE = "errors.safetensors"
_FIELDS = ("values", "background", "mean")


def errors_of(
    subject: Subject, *, backend: str = "auto", on_step: Callable[[int, int], None] | None = None
) -> ErrorModel:
    """The kept errors if they are of this scene and these photographs; else they are learned, and kept.

    ``on_step`` is called with the passes over the photographs done and their total. InputError where photographs are
    missing.
    """
    problem = "errors are learned from photographs, which are missing"
    require_photographs(subject, problem=problem, hint="Put them back, or leave --errors out.")
    path = None if subject.folder is None else subject.folder / FILE
    if path is not None and path.is_file():
        kept = _kept(subject)
        if kept is not None:
            return kept.to(subject.scene.background.means.device)
    model = information.fit_errors(
        subject.scene, subject.capture.train, options=subject.run.raster, backend=backend, on_step=on_step
    )
    if path is not None:
        save_tensors(path, {field: getattr(model, field) for field in _FIELDS}, metadata=about(subject))
    return model


def _kept(subject: Subject) -> ErrorModel | None:
    """What the file holds; None for errors of something else, or a file that cannot be used."""
    assert subject.folder is not None
    try:
        tensors, metadata = load_tensors(subject.folder / FILE)
    except InputError:
        return None
    rows = len(subject.scene.local())
    fits = set(tensors) == set(_FIELDS) and tensors["values"].shape == (rows,)
    if metadata != about(subject) or not fits or not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        return None
    return ErrorModel(**tensors)
