"""Training curves out of a run's log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from veduta.io.runs import finite_number
from veduta.viewer.charts import Chart, Point, Series

LOG_SPAN = 8.0
"""A loss that falls by more than this factor is drawn on a logarithmic axis."""
FACTS: Mapping[str, str] = {"seconds": "stepped", "memory_bytes": "stepped", "step": "stepped", "views": "started"}
"""Which event tells which number of the whole fit."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """What the log says, by step; where a step was taken again after a resume, its last record counts."""

    loss: tuple[Point, ...] = ()
    psnr: tuple[Point, ...] = ()
    """Of the training photographs, as they were drawn."""
    held_out_psnr: tuple[Point, ...] = ()
    gaussians: tuple[Point, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)
    """The largest value of each of :data:`FACTS`."""
    backend: str = ""
    """The rasteriser that the fit started with."""
    unreadable: int = 0
    """Lines that are no JSON object (a kill can tear one)."""


def read_log(path: Path) -> Log:
    """The curves of ``log.jsonl``; an empty Log where there is no such file."""
    if not path.is_file():
        return Log()
    with path.open("rb") as lines:
        return parse_log(lines)


def parse_log(lines: Iterable[bytes]) -> Log:
    """The curves in lines of JSON objects, one per event of a fit, with its fields and its name under ``event``."""
    curves: dict[str, dict[float, float]] = {"loss": {}, "psnr": {}, "held_out_psnr": {}, "gaussians": {}}
    facts: dict[str, float] = {}
    backend, unreadable = "", 0
    for line in lines:
        if not line.strip():
            continue
        record = _record(line)
        if record is None:
            unreadable += 1
            continue
        backend = str(record.get("backend", backend))
        for name in FACTS:
            value = finite_number(record.get(name))
            if value is not None and _is(record, FACTS[name]):
                facts[name] = max(value, facts.get(name, value))
        step = finite_number(record.get("step"))
        if step is None:
            continue
        for name, value in _values(record):
            curves[name][step] = value
    points = {name: tuple(sorted(values.items())) for name, values in curves.items()}
    return Log(**points, facts=facts, backend=backend, unreadable=unreadable)


def _record(line: bytes) -> Mapping[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _values(record: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    held_out = _is(record, "scored")
    for name in ("loss", "psnr", "gaussians"):
        value = finite_number(record.get(name))
        if value is not None:
            yield ("held_out_psnr" if held_out and name == "psnr" else name), value


def _is(record: Mapping[str, object], event: str) -> bool:
    return str(record.get("event", "")).lower() == event


def charts(log: Log) -> tuple[Chart, ...]:
    """Loss, PSNR and the number of Gaussians over steps; the ones the log knows nothing of are left out."""
    losses = [y for _, y in log.loss if y > 0]
    steep = bool(losses) and max(losses) > LOG_SPAN * min(losses)
    psnr = (
        Series(name="training", points=log.psnr, noisy=True),
        Series(name="held out", points=log.held_out_psnr, marked=True),
    )
    found = (
        Chart(title="Loss", series=(Series(name="loss", points=log.loss, noisy=True),), log=steep, digits=4),
        Chart(title="PSNR", series=psnr, unit=" dB"),
        Chart(title="Gaussians", series=(Series(name="Gaussians", points=log.gaussians),), from_zero=True, digits=0),
    )
    return tuple(chart for chart in found if any(series.points for series in chart.series))
