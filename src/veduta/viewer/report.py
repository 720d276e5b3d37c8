"""The report: one HTML file per run that needs nothing else, neither files nor network."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import torch

from veduta import __version__
from veduta.core import InputError
from veduta.io.atomic import write_text
from veduta.io.runs import RunFolder, RunRecord, read_json_object
from veduta.recipes.evaluate import Evaluation, ViewScore
from veduta.viewer.content import Content, flatten
from veduta.viewer.curves import Log, charts, read_log
from veduta.viewer.gather import RunStats, chosen, headlines, picture_of, score_of, summary
from veduta.viewer.information import knowledge_of
from veduta.viewer.page import page


def write_report(
    run: Path,
    *,
    evaluation: Evaluation | None = None,
    stats: RunStats | None = None,
    depth_unit: str = "",
) -> Path:
    """Write ``RUN/report.html`` and return its path.

    ``run`` is a run's folder; whatever of ``run.json``, ``log.jsonl``, ``eval.json`` with ``eval/``, and
    ``information.json`` with the maps that it names is there is shown.
    ``evaluation`` and ``stats`` go before what those files say; ``depth_unit`` is written behind depth errors ("m").
    InputError for a folder that does not exist, a run.json of another version, a file that is no JSON, or pictures that
    are missing or unreadable;
    OutputError where the report cannot be written.
    """
    if not run.is_dir():
        raise InputError("no such run", where=run, expected="the folder of a run", hint="Check the spelling.")
    evaluation = read_evaluation(run) if evaluation is None else evaluation
    folder = RunFolder(run)
    record = folder.record() if folder.record_path.is_file() else None
    log = read_log(folder.log_path)
    write_text(folder.report_path, page(_content(run, record, evaluation, stats or stats_of(log), log, depth_unit)))
    return folder.report_path


def read_evaluation(run: Path) -> Evaluation | None:
    """What ``RUN/eval.json`` holds; None where there is no such file; InputError where it is of another form."""
    path = RunFolder(run).evaluation_path
    if not path.is_file():
        return None
    record = read_json_object(path)
    views = record.get("views")
    if not isinstance(views, list) or not all(isinstance(view, dict) for view in views):
        raise InputError("not an evaluation", where=path, field="views", expected="a list of objects", hint=_AGAIN)
    return Evaluation(views=tuple(_view(view, path) for view in views), protocol=_string(record, "protocol"))


_AGAIN = "Evaluate the run again: veduta eval RUN."


def _view(view: Mapping[str, object], path: Path) -> ViewScore:
    def number(field: str) -> float | None:
        value = view.get(field)
        return float(value) if isinstance(value, int | float) else None

    def text(field: str) -> str | None:
        value = view.get(field)
        return value if isinstance(value, str) else None

    name = text("name")
    if name is None:
        raise InputError("a view without a name", where=path, field="views.name", expected="a text", hint=_AGAIN)
    return ViewScore(
        name=name,
        psnr=number("psnr"),
        ssim=number("ssim"),
        depth_error=number("depth_error"),
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


def _content(
    run: Path,
    record: RunRecord | None,
    evaluation: Evaluation | None,
    stats: RunStats,
    log: Log,
    depth_unit: str,
) -> Content:
    views = () if evaluation is None else evaluation.views
    torn = f"{log.unreadable} unreadable lines of the log were left out." if log.unreadable else ""
    return Content(
        title=(_capture_name(record.capture) if record else "") or run.resolve().name,
        created=_day(record.created) if record else "",
        summary=summary(stats, sum(view.psnr is not None for view in views)),
        headlines=headlines(evaluation, stats, depth_unit=depth_unit),
        pictures=tuple(picture_of(run, view) for view in chosen(views)),
        scores=tuple(score_of(view) for view in views),
        charts=charts(log),
        depth_unit=depth_unit,
        protocol="" if evaluation is None else evaluation.protocol,
        knowledge=knowledge_of(run),
        notes=tuple(note for note in (torn,) if note),
        settings=flatten(record.config) if record else {},
        command=record.command if record else "",
        versions=(
            ("veduta", record.veduta_version if record else __version__),
            ("torch", torch.__version__),
            ("Python", platform.python_version()),
            ("system", f"{platform.system()} {platform.machine()}"),
        ),
    )


def _capture_name(path: str) -> str:
    """What people call it: its folder's name, also where a transforms.json in it was named."""
    capture = Path(path)
    return capture.parent.name if capture.suffix.lower() == ".json" else capture.name


def _day(created: str) -> str:
    """``2026-11-22T10:34:00+00:00`` -> ``22 November 2026, 10:34 UTC``; any other text as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}"


def _string(record: Mapping[str, object], field: str) -> str:
    value = record.get(field)
    return value if isinstance(value, str) else ""
