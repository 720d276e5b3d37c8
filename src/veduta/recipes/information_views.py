"""Where to photograph next: candidates, their ranking, and a file that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from veduta import information
from veduta.core import Cameras, Evidence, InputError, OutputError, Streams
from veduta.data import read_cameras, write_cameras
from veduta.information import Ranking, candidate_cameras
from veduta.recipes.information import Subject
from veduta.recipes.sensors import main_sensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Cameras to photograph from, the most telling first."""

    names: tuple[str, ...]
    """Where their photographs will be, relative to the file of the plan."""
    cameras: Cameras
    gains: tuple[float, ...]
    """What each is expected to tell once those before it have been taken, in nats."""
    alone: tuple[float, ...]
    """What each is expected to tell by itself, in nats."""
    typical: float
    """What the middle one of all candidates would tell by itself, in nats."""
    candidates: int


def plan_views(
    subject: Subject,
    evidence: Evidence,
    *,
    candidates: int = 64,
    count: int = 8,
    given: Path | None = None,
    seed: int = 0,
    backend: str = "auto",
    on_view: Callable[[int, int], None] | None = None,
) -> Plan:
    """Choose ``count`` of the candidates: ``candidates`` random ones near the capture's cameras, or those of a file.

    ``given`` is a transforms.json of cameras of one size. ``on_view`` is called with the candidates looked at and their
    total. Raises InputError for fewer candidates than ``count``.
    """
    if count < 1:
        raise InputError("a plan without cameras", field="count", expected="at least 1", got=count)
    if given is None:
        if candidates < count:
            raise InputError(
                "fewer candidates than cameras to choose",
                field="candidates",
                expected=f"at least {count}",
                got=candidates,
                hint="Raise --candidates, or lower --count.",
            )
        sensor = main_sensor(subject.capture).cameras
        generator = Streams(seed)("candidates")
        cameras = candidate_cameras(sensor, candidates, generator, up=subject.capture.up, scene=subject.scene)
        names = [f"next/{i:04d}.jpg" for i in range(count)]
    else:
        names, cameras = _given(given)
    ranking = information.next_view(
        subject.scene,
        evidence,
        cameras,
        count=count,
        options=subject.run.raster,
        backend=backend,
        on_view=on_view,
    )
    return _plan(ranking, cameras, names, numbered=given is None)


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """OutputError for an existing file unless ``overwrite``."""
    if path.exists() and not overwrite:
        raise OutputError(
            "the file exists and is left as it is", where=path, hint="Name another file, or replace it with --force."
        )


def write_plan(plan: Plan, path: Path, *, overwrite: bool = False) -> None:
    """Write the plan as a transforms.json, with ``gain_nats`` and ``gain_alone_nats`` of each frame.

    Raises OutputError for an existing file unless ``overwrite``.
    """
    check_target(path, overwrite=overwrite)
    facts = [{"gain_nats": gain, "gain_alone_nats": alone} for gain, alone in zip(plan.gains, plan.alone, strict=True)]
    cameras = [plan.cameras[i] for i in range(len(plan.cameras))]
    write_cameras(path, cameras, names=plan.names, facts=facts)


def _plan(ranking: Ranking, cameras: Cameras, names: list[str], *, numbered: bool) -> Plan:
    rows: list[int] = ranking.indices.tolist()
    return Plan(
        names=tuple(names[i] for i in (range(len(rows)) if numbered else rows)),
        cameras=cameras[rows],
        gains=tuple(ranking.gains.tolist()),
        alone=tuple(ranking.alone[rows].tolist()),
        typical=float(ranking.alone.median()),
        candidates=len(cameras),
    )


def _given(path: Path) -> tuple[list[str], Cameras]:
    names, cameras = read_cameras(path)
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    if len(sizes) > 1:
        raise InputError(
            "candidates of several sizes cannot be compared",
            where=path,
            field="w",
            expected="one image size",
            got=" and ".join(f"{width} x {height}" for width, height in sizes[:3]),
            hint="Split the file by size.",
        )
    return names, Cameras.cat(cameras)
