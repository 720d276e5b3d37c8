"""What moves in a capture: ``tracks.json`` of annotated objects, ``times.json`` of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError, Track
from veduta.data.checks import listed, rigid_pose
from veduta.data.splits import read_json
from veduta.io.atomic import write_json

TRACKS_FILE = "tracks.json"
TIMES_FILE = "times.json"


def write_tracks(folder: Path, tracks: Mapping[str, Track]) -> None:
    """Write ``tracks.json``: by name ``category``, ``size_m``, ``times``, ``world_from_object``. Raises OutputError."""
    content = {
        name: {
            "category": track.category,
            "size_m": track.size_m.tolist(),
            "times": track.times.tolist(),
            "world_from_object": track.world_from_object.tolist(),
        }
        for name, track in tracks.items()
    }
    write_json(folder / TRACKS_FILE, content)


def read_tracks(folder: Path) -> dict[str, Track]:
    """The annotated objects of a capture's ``tracks.json``, float64; none without that file.

    InputError unless every object has a ``category``, three positive extents ``size_m`` along its own axes, and as many
    rigid poses ``world_from_object`` (4 rows of 4, in the capture's world) as increasing ``times`` (s).
    """
    path = folder / TRACKS_FILE
    if not path.is_file():
        return {}
    return {name: _track(path, name, entry) for name, entry in read_json(path).items()}


def write_times(folder: Path, times: Mapping[str, float]) -> None:
    """Write ``times.json``: seconds by photograph. Raises OutputError."""
    write_json(folder / TIMES_FILE, dict(times))


def read_times(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """When photographs were taken (s since the capture's start), by ``times.json``: {"NAME": seconds}; else 0.

    The file may name others besides. InputError for one that leaves any of ``names`` out, or that holds anything but
    finite numbers.
    """
    path = folder / TIMES_FILE
    if not path.is_file():
        return dict.fromkeys(names, 0.0)
    content = read_json(path)
    missing = [name for name in names if name not in content]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(names)} photographs have no time",
            where=path,
            field=missing[0],
            expected='{"NAME": seconds} for every photograph of the model',
            got=f"nothing for {listed(missing)}",
            hint="Add them, or remove the file if nothing moves.",
        )
    times = {name: _numbers([value], where=path, field=name)[0] for name, value in content.items()}
    return {name: times[name] for name in names}


def _track(path: Path, name: str, entry: object) -> Track:
    fields = ("category", "size_m", "times", "world_from_object")
    if not isinstance(entry, dict):
        raise InputError(
            "not a track", where=path, field=name, expected=f"an object with {', '.join(fields)}", got=_kind(entry)
        )
    missing = [field for field in fields if field not in entry]
    if missing:
        raise InputError(
            "missing",
            where=path,
            field=f"{name}.{missing[0]}",
            expected=", ".join(fields),
            got=", ".join(map(str, entry))[:80] or "nothing",
        )
    category = entry["category"]
    if not isinstance(category, str):
        raise InputError("not text", where=path, field=f"{name}.category", expected="text", got=_kind(category))
    times = _times(entry["times"], where=path, field=f"{name}.times")
    return Track(
        times=times,
        world_from_object=_poses(entry["world_from_object"], len(times), where=path, field=f"{name}.world_from_object"),
        size_m=_size(entry["size_m"], where=path, field=f"{name}.size_m"),
        category=category,
    )


def _times(value: object, *, where: Path, field: str) -> Float[Tensor, " t"]:
    times = _numbers(value, where=where, field=field)
    if not times:
        raise InputError("no times", where=where, field=field, expected="at least one", got="an empty list")
    for i, (before, after) in enumerate(pairwise(times), start=1):
        if after <= before:
            raise InputError(
                "times do not increase",
                where=where,
                field=f"{field}[{i}]",
                expected=f"more than {before:g}",
                got=f"{after:g}",
                hint="Sort the track by time, and give each time once.",
            )
    return torch.tensor(times, dtype=torch.float64)


def _size(value: object, *, where: Path, field: str) -> Float[Tensor, "3"]:
    size = _numbers(value, where=where, field=field)
    if len(size) != 3 or min(size) <= 0:
        raise InputError(
            "not the size of an object",
            where=where,
            field=field,
            expected="three positive numbers: length, width, height",
            got=str(size)[:60],
        )
    return torch.tensor(size, dtype=torch.float64)


def _poses(value: object, count: int, *, where: Path, field: str) -> Float[Tensor, "t 4 4"]:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(
            "not as many poses as times",
            where=where,
            field=field,
            expected=f"a list of {count}",
            got=f"a list of {len(value)}" if isinstance(value, list) else _kind(value),
        )
    poses: list[Tensor] = []
    for i, rows in enumerate(value):
        place = f"{field}[{i}]"
        if not isinstance(rows, list) or [len(row) if isinstance(row, list) else 0 for row in rows] != [4] * 4:
            raise InputError("not a pose", where=where, field=place, expected="4 rows of 4 numbers", got=str(rows)[:60])
        numbers = [_numbers(row, where=where, field=f"{place}[{k}]") for k, row in enumerate(rows)]
        matrix = torch.tensor(numbers, dtype=torch.float64)
        hint = "Correct this pose, or remove it and its time."
        poses.append(rigid_pose(matrix, where=where, field=place, hint=hint))
    return torch.stack(poses)


def _numbers(value: object, *, where: Path, field: str) -> list[float]:
    """A list of finite numbers."""
    if not isinstance(value, list):
        raise InputError("not a list", where=where, field=field, expected="a list of numbers", got=_kind(value))
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) < float("inf"):
            raise InputError(
                "not a finite number", where=where, field=field, expected="finite numbers", got=repr(item)[:40]
            )
    return [float(item) for item in value]


def _kind(value: object) -> str:
    """A value of a JSON file, as its reader would call it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else repr(value)[:40]
