"""What makes predicted standard deviations as large as errors are: found once on held-out views, kept with the run."""

from __future__ import annotations

from pathlib import Path

from veduta.core import InputError
from veduta.information import Calibration, calibration_from
from veduta.io.atomic import write_json
from veduta.io.information import Reliability
from veduta.io.runs import read_json_object
from veduta.recipes.information import Subject, about, require_photographs

FILE = "calibration.json"
_ABOUT = "about"


def keep_calibration(subject: Subject, found: Calibration) -> Path | None:
    """Write it beside the evidence; None where nothing is kept. Raises OutputError."""
    path = _path(subject)
    if path is not None:
        write_json(path, {_ABOUT: about(subject), **found.as_dict()})
    return path


def kept_calibration(subject: Subject, kind: str, *, warp: bool = False, errors: bool = False) -> Calibration | None:
    """What was found for this scene, these photographs and this way of predicting; None where nothing of that was.

    Raises InputError for a file of another form.
    """
    path = _path(subject)
    if path is None or not path.is_file():
        return None
    values = read_json_object(path)
    if values.get(_ABOUT) != about(subject):
        return None
    found = calibration_from(values, where=str(path))
    return found if (found.kind, found.with_warp, found.with_errors) == (kind, warp, errors) else None


def reliability_of(found: Calibration) -> Reliability:
    """What the report shows of a calibration."""
    return Reliability(
        views=found.before.views,
        levels=found.before.levels,
        before=found.before.covered,
        after=None if found.after is None else found.after.covered,
        scale=found.scale,
    )


def require_held_out(subject: Subject) -> None:
    """InputError unless there are photographs that the scene was not made from."""
    problem = "calibration compares renders with photographs, which are missing"
    require_photographs(subject, problem=problem, hint="Put them back.")
    if len(subject.capture.test) == 0:
        raise InputError(
            "no photographs are held out, so there is nothing to calibrate on",
            where=subject.capture.source,
            expected="at least one view",
            got="none",
            hint="Hold out some photographs (--test-every 8), or list them under 'test' in splits.json, and fit again.",
        )


def _path(subject: Subject) -> Path | None:
    return None if subject.folder is None else subject.folder / FILE
