"""A fit from the first step to the last, as a stream of events."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from veduta.core import Capture, DivergedError, MemoryFullError, RasterOptions, Scene
from veduta.fit.checkpoint import Progress, save_checkpoint
from veduta.fit.events import Edited, Event, Saved, Scored, Started, Stepped
from veduta.fit.interrupts import interrupts_held
from veduta.fit.job import Job, prepare
from veduta.fit.memory import held_bytes
from veduta.fit.plan import FitPlan
from veduta.fit.step import StepResult, step_
from veduta.fit.threads import one_torch_thread, use_threads
from veduta.io.scenes import save_scene
from veduta.measure import psnr, ssim
from veduta.measure.images import comparable
from veduta.render import render_scene
from veduta.render.devices import memory_full

PIXEL_SHARE = 0.7
"""Share of a full-size step's time that goes with the number of pixels; for the estimated time of arrival only."""


def train(
    capture: Capture,
    plan: FitPlan | None = None,
    *,
    initial: Scene | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    backend: str = "auto",
    device: str | torch.device = "auto",
    threads: int | None = None,
    command: str = "veduta.fit",
) -> Generator[Event, None, Scene]:
    """Fit a scene to a capture; yields events and returns the scene, in the capture's frame.

    ``initial`` is where to start (the capture's frame); None: from the capture's points. ``out`` is the run's folder,
    which must be new or empty; with ``resume`` the run in it goes on bit for bit from its last checkpoint. ``threads``
    are the rasteriser's and torch's; any number gives the same bits, but with the ``reference`` backend. ``device`` is
    where Gaussians are optimised: ``auto`` (a GPU where one can be used), ``cpu`` or ``cuda``; scenes are handed over
    on the CPU. On a GPU the host waits for it only to tell (``log_every``), to change the set of Gaussians, and as the
    rasteriser says. ``command`` is kept in run.json.

    Ctrl-C, which waits for the step to end, and closing the generator save a checkpoint first; a second Ctrl-C does not
    wait and leaves the last checkpoint as it is. Raises :class:`InputError` for a capture
    or folder that cannot be used, :class:`OutputError` if a result cannot be written, :class:`DivergedError` when
    values are no longer finite, and :class:`MemoryFullError` when a GPU's memory does not suffice; the last checkpoint
    is then still good, and what was done since the last one is saved first if it can be.
    """
    plan = FitPlan() if plan is None else plan
    use_threads(threads)
    out = None if out is None else Path(out)
    with one_torch_thread():
        job = prepare(
            capture, plan, initial=initial, out=out, resume=resume, backend=backend, device=device, command=command
        )
        progress = job.begin() if job.run is None or not resume else job.resumed()
    if job.run is not None:
        job.run.cut_log(after_step=progress.step)  # a killed run told more than its last checkpoint holds
    marks = _Marks(saved=progress.step if progress.step else None, whole=progress.step)
    try:
        yield from _logged(job, _started(job, progress))
        yield from _steps(job, progress, marks)
    except (KeyboardInterrupt, GeneratorExit):
        if job.run is not None and marks.saved != progress.step and not marks.within:
            _saved(job, progress)
        raise
    except torch.OutOfMemoryError as error:
        if job.run is not None and marks.saved != progress.step == marks.whole and progress.parameters.consistent:
            marks.saved = _saved(job, progress).step
        raise _memory_full(job, progress, error, saved_step=marks.saved) from error
    scene = job.scene(progress)
    if job.run is not None:
        save_scene(scene, job.run.scene_path)
        yield from _logged(job, Saved(step=progress.step, path=job.run.scene_path))
    return scene


@dataclass
class _Marks:
    """How far a run has come."""

    saved: int | None
    """The step of its last checkpoint."""
    whole: int
    """The step up to which everything was done that belongs to it."""
    within: bool = False
    """Whether a step is half done: a second Ctrl-C came, or something went wrong. There is nothing to save then."""


def _steps(job: Job, progress: Progress, marks: _Marks) -> Generator[Event, None, None]:
    """All steps that are left, and what happens after some of them."""
    plan, told = job.plan, (progress.step, progress.seconds)
    while progress.step < plan.steps:
        with interrupts_held(), one_torch_thread() if job.backend.name == "cpu" else nullcontext():
            marks.within, began = True, time.perf_counter()
            result = step_(job, progress)
            telling = progress.step % plan.log_every == 0 or progress.step == plan.steps
            if telling:
                result.loss.item()  # on a GPU the time of a step ends when it is done, not when it is asked for
            progress.seconds += time.perf_counter() - began
            marks.within = False
        marks.whole = progress.step
        if telling:
            yield from _logged(job, _stepped(job, progress, result, told))
            told = (progress.step, progress.seconds)
        if result.edit is not None:
            yield from _logged(job, _edited(progress, result))
        if plan.due(plan.eval_every, progress.step):
            yield from _logged(job, _scored(job, progress))
        if job.run is not None and (plan.due(plan.checkpoint_every, progress.step) or progress.step == plan.steps):
            saved = _saved(job, progress)
            marks.saved = progress.step
            yield from _logged(job, saved)


def _started(job: Job, progress: Progress) -> Started:
    return Started(
        step=progress.step,
        steps=job.plan.steps,
        gaussians=len(progress.parameters),
        views=len(job.targets),
        held_out=len(job.capture.test),
        backend=job.backend.name,
        device=job.device.type,
        memory=job.memory,
        scene=_snapshot(job, progress),
    )


def _stepped(job: Job, progress: Progress, result: StepResult, told: tuple[int, float]) -> Stepped:
    """``told`` are the steps and seconds at the event before."""
    loss = float(result.loss)
    if not math.isfinite(loss):
        raise _diverged(progress, got=f"a loss of {loss}")
    target = result.target
    speed = (progress.seconds - told[1]) / max(1, progress.step - told[0])
    return Stepped(
        step=progress.step,
        steps=job.plan.steps,
        loss=loss,
        psnr=float(psnr(result.color.clamp(0.0, 1.0), target.rgb, target.weight)),
        gaussians=len(progress.parameters),
        sh_degree=job.plan.sh_degree_at(progress.step - 1),
        width=target.camera.width,
        height=target.camera.height,
        seconds=progress.seconds,
        eta_seconds=eta_seconds(job.plan, done=progress.step, seconds_per_step=speed),
        memory_bytes=held_bytes(job.device),
        scene=_snapshot(job, progress),
    )


def eta_seconds(plan: FitPlan, *, done: int, seconds_per_step: float) -> float:
    """Time for the rest if the last step's speed goes with the size of the pictures."""

    def cost(downscale: int) -> float:
        return 1.0 - PIXEL_SHARE + PIXEL_SHARE / downscale**2

    # The picture size changes only where a doubling is due: sum over the stretches of one size.
    edges = sorted({done, plan.steps, *(min(plan.steps, max(done, int(s * plan.steps) + 1)) for s in plan.doublings)})
    rest = sum((b - a) * cost(plan.downscale_at(a)) for a, b in itertools.pairwise(edges))
    return seconds_per_step * rest / cost(plan.downscale_at(max(0, done - 1)))


def _edited(progress: Progress, result: StepResult) -> Edited:
    assert result.edit is not None
    return Edited(
        step=progress.step,
        reason=result.edit.reason,
        before=result.before,
        after=len(progress.parameters),
        changed=int(result.edit.changed.sum()),
    )


def _scored(job: Job, progress: Progress) -> Scored | None:
    """Mean PSNR and SSIM over the held-out photographs; None where there are none, or all are masked altogether."""
    scene, source = job.scene(progress).to(job.device), job.capture.test
    options = RasterOptions(antialias=job.plan.antialias)
    peaks: list[float] = []
    likenesses: list[float] = []
    for i in range(len(source)):
        views = source[i]
        with torch.no_grad():
            drawn = render_scene(scene, views.cameras, options=options, backend=job.backend).color.clamp(0.0, 1.0)
            rgb, weight = views.rgb.to(job.device), views.weight.to(job.device)
            by_psnr, by_ssim = comparable(weight)
            peaks += psnr(drawn, rgb, weight)[by_psnr].tolist()
            likenesses += ssim(drawn, rgb, weight)[by_ssim].tolist()
    if not (peaks and likenesses):
        return None
    mean, likeness = sum(peaks) / len(peaks), sum(likenesses) / len(likenesses)
    return Scored(step=progress.step, psnr=mean, ssim=likeness, views=len(peaks))


def _saved(job: Job, progress: Progress) -> Saved:
    """Write a checkpoint and drop older ones; DivergedError instead of a file with values that are not finite."""
    assert job.run is not None
    if not progress.parameters.all_finite():
        raise _diverged(progress, got="Gaussians that are not finite")
    path = job.run.checkpoint_path(progress.step)
    save_checkpoint(path, progress, job.frame)
    job.run.drop_old_checkpoints()
    return Saved(step=progress.step, path=path)


def _diverged(progress: Progress, *, got: str) -> DivergedError:
    return DivergedError(
        "the fit diverged",
        where=f"step {progress.step}",
        expected="finite numbers",
        got=got,
        hint="Try lower learning rates; the last checkpoint, if there is one, is still good.",
    )


def _memory_full(
    job: Job, progress: Progress, error: torch.OutOfMemoryError, *, saved_step: int | None
) -> MemoryFullError:
    less = "Lower max_gaussians or image_budget_mb, or take smaller photographs."
    if job.run is not None and saved_step is not None:
        less += f" Step {saved_step:,} is saved and can be resumed, with a smaller image_budget_mb or on the CPU."
    return memory_full(
        error,
        where=f"step {progress.step:,} with {len(progress.parameters):,} Gaussians",
        needed_bytes=job.memory.total,
        hint=less,
    )


def _snapshot(job: Job, progress: Progress) -> Callable[[], Scene]:
    return lambda: job.scene(progress)


def _logged(job: Job, event: Event | None) -> Generator[Event, None, None]:
    """Append an event to the run's log, then yield it."""
    if event is None:
        return
    if job.run is not None:
        job.run.append_log(log_entry(event))
    yield event


def log_entry(event: Event) -> Mapping[str, Any]:
    """An event as plain values for log.jsonl: its kind, its numbers and its texts."""
    entry: dict[str, Any] = {"event": type(event).__name__.lower()}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Path):
            entry[field.name] = value.name
        elif isinstance(value, int | float | str) or value is None:
            entry[field.name] = value
    if isinstance(event, Started):
        entry["memory_bytes"] = event.memory.total
    return entry
