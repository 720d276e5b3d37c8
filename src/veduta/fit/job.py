"""What stays the same during a run: the photographs, the frame, the plan, where results go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from veduta.core import Actor, Capture, Gaussians, InputError, Motion, RasterOptions, Scene, Streams, ViewSource
from veduta.fit.backdrop import Backdrop
from veduta.fit.checkpoint import Progress, load_checkpoint
from veduta.fit.clearing import in_the_way
from veduta.fit.config import config_from_plan, differences
from veduta.fit.densify import Moment, started
from veduta.fit.exposure import Exposures
from veduta.fit.frame import Frame, stored_frame
from veduta.fit.initial import scene_from_points
from veduta.fit.memory import MemoryEstimate, estimate
from veduta.fit.parameters import Parameters
from veduta.fit.plan import FitPlan
from veduta.fit.threads import one_torch_thread
from veduta.fit.views import Targets, ViewOrder, fingerprint, kept_bytes
from veduta.geometry import (
    Similarity,
    transform_cameras,
    transform_cloud,
    transform_scene,
    transform_track,
)
from veduta.io.runs import RunFolder
from veduta.render import Backend
from veduta.render.backends import resolve
from veduta.render.devices import choose_device


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A run's constants."""

    capture: Capture
    plan: FitPlan
    frame: Frame
    targets: Targets
    start: Scene
    """In the frame of the fit."""
    backend: Backend
    device: torch.device
    """Where the Gaussians are optimised; everything else of a job is on the CPU."""
    run: RunFolder | None

    @property
    def motions(self) -> list[Motion]:
        """Of the actors, in order, in the frame of the fit."""
        return [actor.motion for actor in self.start.actors.values()]

    @property
    def memory(self) -> MemoryEstimate:
        """What the run will need at most."""
        return estimate(
            self.targets.cameras,
            max_gaussians=max(self.frame.cap, len(self.start.local())),
            sh_degree=self.plan.sh_degree,
            image_budget_bytes=self.plan.image_budget_mb * 2**20,
            kept_bytes=sum(kept_bytes(source) for source in self._read),
            device=self.device.type,
        )

    @property
    def _read(self) -> tuple[ViewSource, ...]:
        """The sources whose photographs a run reads."""
        return (self.capture.train, self.capture.test) if self.plan.eval_every else (self.capture.train,)

    def options(self, *, keep_screen: bool) -> RasterOptions:
        """How a training picture is drawn."""
        return RasterOptions(antialias=self.plan.antialias, keep_screen=keep_screen)

    def moment(self, step: int) -> Moment:
        """What a densification strategy is told after ``step`` steps."""
        return Moment(
            step=step,
            steps=self.plan.steps,
            schedule_scale=self.plan.schedule_scale,
            extent=self.frame.extent,
            max_gaussians=self.frame.cap,
            means_rate=self.means_rate(step - 1),
        )

    def means_rate(self, step: int) -> float:
        """The centres' learning rate, in lengths of the frame of the fit."""
        return self.plan.means_rate_at(step) * self.frame.extent

    def scene(self, progress: Progress) -> Scene:
        """A copy of what was learned so far, in the capture's frame, on the CPU."""
        with one_torch_thread():
            background, *others = (part.to("cpu") for part in progress.parameters.parts(self.plan.sh_degree))
            background = background[~in_the_way(background.means, self.frame.positions, radius=self.frame.clearance)]
            actors = {
                name: Actor(gaussians=gaussians, motion=actor.motion, category=actor.category)
                for (name, actor), gaussians in zip(self.start.actors.items(), others, strict=True)
            }
            sky = progress.backdrop.sky()
            fitted = Scene(background=background, actors=actors, sky=None if sky is None else sky.to("cpu"))
            return transform_scene(fitted, self.frame.similarity.inverse())

    def begin(self) -> Progress:
        """Before the first step."""
        plan, actors = self.plan, self.start.actors.values()
        parts = [self.start.background, *(actor.gaussians for actor in actors)]
        parameters = Parameters.of([with_sh_at_most(part, plan.sh_degree) for part in parts]).to(self.device)
        return Progress(
            parameters=parameters,
            statistics=started(plan.densify, len(parameters), self.device),
            backdrop=Backdrop.of(
                plan.backdrop,
                up=self.capture.up.float(),
                given=self.capture.background,
                sky=self.start.sky,
                device=self.device,
            ),
            exposures=Exposures.identity(len(self.targets), device=self.device) if plan.exposure.enabled else None,
            streams=Streams(plan.seed),
            order=ViewOrder(len(self.targets)),
        )

    def resumed(self) -> Progress:
        """From the last checkpoint of the run's folder, or before the first step where there is none."""
        assert self.run is not None
        latest = self.run.latest_checkpoint()
        return self.begin() if latest is None else load_checkpoint(latest, self.begin())


def prepare(
    capture: Capture,
    plan: FitPlan,
    *,
    initial: Scene | None,
    out: Path | None,
    resume: bool,
    backend: str,
    device: str | torch.device,
    command: str,
) -> Job:
    """Read and check everything, and make or find the run's folder. Raises InputError or OutputError."""
    if resume and out is None:
        raise TypeError("resume needs the folder of the run: give out")
    chosen = choose_device(device, backend=backend)
    frame = (stored_frame_of(out) if out is not None and resume else None) or Frame.of(capture, plan)
    targets = Targets(
        capture.train,
        similarity=frame.similarity,
        min_side_px=plan.min_side_px,
        budget_bytes=plan.image_budget_mb * 2**20,
        with_depth=plan.depth_weight > 0.0,
        device=chosen,
    )
    start = (
        scene_to_start(capture, plan, frame.similarity)
        if initial is None
        else transform_scene(initial.to("cpu"), frame.similarity)
    )
    return Job(
        capture=capture,
        plan=plan,
        frame=frame,
        targets=targets,
        start=start,
        backend=resolve(backend, start.background[:0].to(chosen)),
        device=chosen,
        # Last, so that a capture that cannot be used leaves no folder behind.
        run=None if out is None else run_folder(capture, plan, out=out, resume=resume, command=command),
    )


def stored_frame_of(out: Path) -> Frame | None:
    """The frame of the run in ``out``; None before its first checkpoint. Raises InputError where there is no run."""
    latest = RunFolder.open(out).latest_checkpoint()
    return None if latest is None else stored_frame(latest)


def scene_to_start(capture: Capture, plan: FitPlan, similarity: Similarity) -> Scene:
    """The Gaussians before the first step, from the capture's points, in the frame of the fit."""
    return scene_from_points(
        None if capture.points is None else transform_cloud(capture.points, similarity),
        [transform_cameras(cameras, similarity) for cameras in capture.cameras.values()],
        {name: transform_track(t, similarity) for name, t in capture.tracks.items()} if plan.actors else {},
        plan=plan,
        generator=Streams(plan.seed)("initial"),
    )


def run_folder(capture: Capture, plan: FitPlan, *, out: Path, resume: bool, command: str) -> RunFolder:
    """A new folder, or with ``resume`` the folder of a run of the same plan on the same photographs."""
    seen = fingerprint(capture.train)
    if not resume:
        opened = capture.source if capture.file is None else capture.file
        return RunFolder.create(
            out, config_from_plan(plan), capture=opened, fingerprint=seen, command=command, seed=plan.seed
        )
    run = RunFolder.open(out)
    record = run.record()
    if record.fingerprint != seen:
        raise InputError(
            "the run was made on other photographs",
            where=run.record_path,
            field="fingerprint",
            expected=record.fingerprint,
            got=seen,
            hint="Resume with the capture that the run was started with.",
        )
    check_same_plan(plan, record.config, run.record_path)
    return run


def check_same_plan(plan: FitPlan, config: Mapping[str, object], where: Path) -> None:
    """InputError unless a stored configuration gives the same result as ``plan``."""
    changed = differences(plan, config)
    if changed:
        raise InputError(
            "a resumed run must keep its settings",
            where=where,
            field=changed[0],
            hint="Leave the settings as they were, or fit again into a new folder.",
        )


def with_sh_at_most(gaussians: Gaussians, degree: int) -> Gaussians:
    """The same Gaussians without harmonics above ``degree``."""
    return gaussians.replace(sh=gaussians.sh[:, : (degree + 1) ** 2])
