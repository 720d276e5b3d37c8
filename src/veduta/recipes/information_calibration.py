"""The factor that makes predicted standard deviations as large as errors are: found once, kept with the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from veduta.core import InputError
from veduta.io.atomic import write_json
from veduta.io.evidence import scene_fingerprint
from veduta.io.runs import read_json_object
from veduta.recipes.information import Subject, source_fingerprint

FILE = "calibration.json"


@dataclass(frozen=True, kw_only=True)
class KeptCalibration:
    """What calibration.json says."""

    scale: float
    """Factor of the standard deviation."""
    posterior: str
    """The kind that it was found for."""
    views: int
    """Held-out photographs that it was found on."""
    warp: bool = False
    """Whether the standard deviations had been raised where renders disagree."""


def keep_calibration(subject: Subject, found: KeptCalibration) -> Path | None:
    """Write it beside the evidence; None where nothing is kept. Raises OutputError."""
    path = _path(subject)
    if path is not None:
        write_json(path, {**asdict(found), **_about(subject)})
    return path


def kept_calibration(subject: Subject, posterior: str, *, warp: bool = False) -> KeptCalibration | None:
    """What was found for this scene, these photographs and this kind of posterior; None where nothing of that was."""
    path = _path(subject)
    if path is None or not path.is_file():
        return None
    values = read_json_object(path)
    found = KeptCalibration(
        scale=_scale(values.get("scale"), path),
        posterior=str(values.get("posterior")),
        views=int(values.get("views") or 0),
        warp=values.get("warp") is True,
    )
    same = all(values.get(name) == value for name, value in _about(subject).items())
    return found if same and (found.posterior, found.warp) == (posterior, warp) else None


def _path(subject: Subject) -> Path | None:
    return None if subject.folder is None else subject.folder / FILE


def _about(subject: Subject) -> dict[str, str]:
    """What the factor holds for."""
    return {"scene": scene_fingerprint(subject.scene), "source": source_fingerprint(subject)}


def _scale(value: object, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(
            "corrupt",
            where=path,
            field="scale",
            expected="a number above 0",
            got=value,
            hint="Find it again: veduta calibrate RUN",
        )
    return float(value)
