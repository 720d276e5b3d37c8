"""A fit into a run's folder that remembers how its capture was opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from veduta.core import Capture, Gaussians, InputError, Scene
from veduta.fit import Event, FitPlan, Started, fit, plan_from_config
from veduta.io.runs import RunFolder
from veduta.recipes.captures import CaptureOptions
from veduta.render import resolve
from veduta.render.devices import choose_device


def fit_capture(
    capture: Capture,
    plan: FitPlan,
    *,
    out: Path,
    options: CaptureOptions,
    resume: bool = False,
    backend: str = "auto",
    device: str | torch.device = "auto",
    threads: int | None = None,
    command: str = "veduta.recipes.fit_capture",
    on_event: Callable[[Event], None] | None = None,
) -> Scene:
    """Fit ``capture``, which was opened with ``options``, into the folder ``out``; see :func:`veduta.fit.fit`.

    Ctrl-C saves a checkpoint and passes through as KeyboardInterrupt. Raises OutputError for a folder that holds
    something already, unless ``resume``, and InputError or UnsupportedError for a backend or device that cannot be
    used.
    """
    if threads is not None and threads < 1:
        raise InputError("too few threads", field="threads", expected="at least 1", got=threads)
    chosen = choose_device(device, backend=backend)
    resolve(backend, Gaussians.empty().to(chosen))  # raises before there is a folder

    def show(event: Event) -> None:
        if isinstance(event, Started):  # the folder is the run's from here on
            options.save(out)
        if on_event is not None:
            on_event(event)

    return fit(
        capture,
        plan,
        out=out,
        resume=resume,
        backend=backend,
        device=chosen,
        threads=threads,
        command=command,
        on_event=show,
    )


def stored_settings(out: Path) -> tuple[FitPlan, CaptureOptions]:
    """What the run in ``out`` was started with. Raises InputError where there is no run."""
    folder = RunFolder.open(out)
    record = folder.record()
    return plan_from_config(record.config, where=str(folder.record_path)), CaptureOptions.load(out)
