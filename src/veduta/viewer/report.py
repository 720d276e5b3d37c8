"""The report: one HTML file per run that needs nothing else, neither files nor network."""

from __future__ import annotations

import json
import math
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path

import torch

from veduta import __version__
from veduta.core import InputError
from veduta.io.atomic import write_text
from veduta.recipes.evaluate import Evaluation, ViewScore
from veduta.viewer.content import Content, flatten
from veduta.viewer.curves import Log, charts, read_log
from veduta.viewer.gather import RunStats, chosen, headlines, picture_of, score_of, summary
from veduta.viewer.page import page

MAX_JSON_BYTES = 64 * 2**20
"""Larger run.json and eval.json are refused unread."""


def write_report(
    run: Path,
    *,
    evaluation: Evaluation | None = None,
    stats: RunStats | None = None,
    depth_unit: str = "",
) -> Path:
    """Write ``RUN/report.html`` and return its path.

    ``run`` is a run's folder; whatever of ``run.json``, ``log.jsonl``, ``eval.json`` and ``eval/`` is there is shown.
    ``evaluation`` and ``stats`` go before what those files say; ``depth_unit`` is written behind depth errors ("m").
    InputError for a folder that does not exist, a file that is no JSON, or pictures that are missing or unreadable;
    OutputError where the report cannot be written.
    """
    if not run.is_dir():
        raise InputError("no such run", where=run, expected="the folder of a run", hint="Check the spelling.")
    evaluation = read_evaluation(run) if evaluation is None else evaluation
    log = read_log(run / "log.jsonl")
    target = run / "report.html"
    write_text(target, page(_content(run, evaluation, stats or stats_of(log), log, depth_unit)))
    return target


def read_evaluation(run: Path) -> Evaluation | None:
    """What ``RUN/eval.json`` holds; None where there is no such file; InputError where it is of another form."""
    path = run / "eval.json"
    record = _read_json(path)
    if record is None:
        return None
    views = record.get("views")
    if not isinstance(views, list) or not all(isinstance(view, dict) for view in views):
        raise InputError("not an evaluation", where=path, field="views", expected="a list of objects", hint=_AGAIN)
    return Evaluation(views=tuple(_view(view, path) for view in views), protocol=_string(record, "protocol"))


_AGAIN = "Evaluate the run again: veduta eval RUN."


def _view(view: Mapping[str, object], path: Path) -> ViewScore:
    def number(field: str) -> float:
        value = view.get(field)
        return float(value) if isinstance(value, int | float) else float("nan")

    def text(field: str) -> str | None:
        value = view.get(field)
        return value if isinstance(value, str) else None

    name = text("name")
    if name is None:
        raise InputError("a view without a name", where=path, field="views.name", expected="a text", hint=_AGAIN)
    depth_error = number("depth_error")
    return ViewScore(
        name=name,
        psnr=number("psnr"),
        ssim=number("ssim"),
        depth_error=None if math.isnan(depth_error) else depth_error,
        width=0,
        height=0,
        photo=text("photo"),
        render=text("render"),
        depth=text("depth"),
    )


def stats_of(log: Log) -> RunStats:
    """What a log tells about the whole fit."""
    facts = {name: int(value) for name, value in log.facts.items()}
    return RunStats(
        gaussians=int(log.gaussians[-1][1]) if log.gaussians else None,
        steps=facts.get("step"),
        seconds=log.facts.get("seconds"),
        peak_bytes=facts.get("memory_bytes"),
        photos=facts.get("views"),
        hardware=f"the {log.backend} backend" if log.backend else "",
    )


def _content(run: Path, evaluation: Evaluation | None, stats: RunStats, log: Log, depth_unit: str) -> Content:
    record = _read_json(run / "run.json") or {}
    config = record.get("config")
    views = () if evaluation is None else evaluation.views
    capture = _string(record, "capture")
    torn = f"{log.unreadable} unreadable lines of the log were left out." if log.unreadable else ""
    return Content(
        title=Path(capture).name or run.resolve().name,
        created=_string(record, "created"),
        summary=summary(stats, len(views)),
        headlines=headlines(evaluation, stats, depth_unit=depth_unit),
        pictures=tuple(picture_of(run, view) for view in chosen(views)),
        scores=tuple(score_of(view) for view in views),
        charts=charts(log),
        depth_unit=depth_unit,
        protocol="" if evaluation is None else evaluation.protocol,
        notes=tuple(note for note in (torn,) if note),
        settings=flatten(config) if isinstance(config, dict) else {},
        command=_command(record),
        versions=(
            ("veduta", _string(record, "veduta_version") or __version__),
            ("torch", torch.__version__),
            ("Python", platform.python_version()),
            ("system", f"{platform.system()} {platform.machine()}"),
        ),
    )


def _command(record: Mapping[str, object]) -> str:
    command = record.get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else _string(record, "command")


def _string(record: Mapping[str, object], field: str) -> str:
    value = record.get(field)
    return value if isinstance(value, str) else ""


def _read_json(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError("too large", where=path, expected=f"at most {MAX_JSON_BYTES} bytes", got=path.stat().st_size)
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=path, hint="Restore the file, or delete it.") from error
    if not isinstance(record, dict):
        raise InputError("not a JSON object", where=path, got=type(record).__name__)
    return record
