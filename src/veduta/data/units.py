"""Whether a capture's unit of length is a metre, as its files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from veduta.core import InputError
from veduta.data.splits import read_json
from veduta.io.atomic import write_json

UNITS_FILE = "units.json"
METRIC = "metric"
"""Our own key of ``transforms.json``, and of ``units.json`` beside a COLMAP model, whose format has no place for it."""


def write_units(folder: Path, *, metric: bool) -> None:
    """Write ``units.json``. Raises OutputError."""
    write_json(folder / UNITS_FILE, {METRIC: metric})


def read_units(folder: Path) -> bool:
    """Whether ``units.json`` says that lengths are in metres; False without that file. Raises InputError."""
    path = folder / UNITS_FILE
    return path.is_file() and is_metric(read_json(path), where=path)


def is_metric(content: Mapping[str, object], *, where: Path) -> bool:
    """Whether ``metric`` is true; False where it is not there. InputError for anything but true and false."""
    value = content.get(METRIC, False)
    if not isinstance(value, bool):
        raise InputError(
            "neither true nor false",
            where=where,
            field=METRIC,
            expected="true where a unit of length is a metre, else false",
            got=repr(value)[:40],
        )
    return value
