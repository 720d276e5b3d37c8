"""A fit on a GPU, pretended: nothing of it is left on the CPU by mistake, and the host waits where it says it does."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.pretend import PRETENDED, PretendTensor, pretending, values
from tests.unit.fit.scenes import Photographs, some_cameras, some_gaussians
from tests.unit.fit.test_loop import Measured, moving_capture
from veduta.core import Cameras, Capture, Gaussians, MemoryFullError, RasterOptions, Render, Screen
from veduta.fit import (
    Adaptive,
    BackdropPlan,
    Edited,
    Event,
    ExposurePlan,
    FitPlan,
    Fixed,
    Mcmc,
    Scored,
    Stepped,
    fit,
    train,
)
from veduta.fit.checkpoint import Progress
from veduta.fit.densify import Moment
from veduta.fit.job import Job, prepare
from veduta.fit.memory import estimate
from veduta.fit.parameters import FIELDS
from veduta.fit.step import StepResult, step_
from veduta.fit.views import Targets
from veduta.geometry import Similarity
from veduta.render.reference import Reference

PLAN = FitPlan(
    steps=16,
    densify=Mcmc(every=10, start_share=0.0, noise=0.0),  # of which other numbers are drawn there
    max_gaussians=60,
    min_side_px=8,
    log_every=5,
    eval_every=8 * 7000 // 16,
    depth_weight=0.0,
)
ADAPTIVE = Adaptive(every=10, start_share=0.0, gradient_threshold=1e-6, reset_every=10, revise_opacity=True)
PLANS = {
    "mcmc": PLAN,
    "adaptive": replace(PLAN, densify=ADAPTIVE, exposure=ExposurePlan(enabled=True)),
    "sky": replace(PLAN, densify=Fixed(opacity_reg=0.01), backdrop=BackdropPlan(kind="sky", sky_height_px=8)),
    "random": replace(PLAN, densify=Fixed(scale_reg=0.01), backdrop=BackdropPlan(kind="random")),
    "learned": replace(PLAN, densify=Fixed(), backdrop=BackdropPlan(kind="learned"), antialias=True),
}


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same plain torch on either device."""
    monkeypatch.setattr("veduta.kernels.loading._attempt", lambda: (None, "switched off"))


@pytest.mark.parametrize("name", PLANS)
def test_a_fit_on_a_gpu_tells_what_one_on_the_cpu_tells(
    name: str, capture: Capture, tmp_path: Path, no_kernels: None
) -> None:
    expected: list[Event] = []
    fit(capture, PLANS[name], backend="reference", device="cpu", on_event=expected.append)
    found: list[Event] = []
    with pretending():
        scene = fit(
            capture, PLANS[name], backend="reference", device=PRETENDED, out=tmp_path / "run", on_event=found.append
        )
    assert not any(isinstance(t, PretendTensor) for t in vars(scene.background).values()), "handed over on the CPU"
    numbers = [
        [(e.loss, e.psnr, e.gaussians) for e in events if isinstance(e, Stepped)] for events in (found, expected)
    ]
    assert numbers[0] == [pytest.approx(row, rel=1e-3) for row in numbers[1]]
    scores = [[(e.psnr, e.ssim) for e in events if isinstance(e, Scored)] for events in (found, expected)]
    assert scores[0] == [pytest.approx(row, rel=1e-2) for row in scores[1]]
    assert len(scores[0]) == 2


class Smooth(Reference):
    """Pictures that depend on everything, drawn without asking for any number."""

    name = "smooth"

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Tensor | None = None,
        background: Tensor | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        size = (1, cameras.height, cameras.width)
        means_px = gaussians.means[None, :, :2] * 1.0
        means_px.retain_grad()
        shade = means_px.sum() + gaussians.quats.sum() + gaussians.scales.sum() + gaussians.sh.sum()
        alpha = (shade * gaussians.opacities.mean()).sigmoid().expand(size)
        color = alpha[..., None].expand(*size, 3)
        if background is not None:
            color = color + (1 - alpha[..., None]) * background
        seen = torch.ones_like(gaussians.opacities, dtype=torch.bool)[None]
        screen = Screen(means_px=means_px, absgrad=means_px, radii_px=gaussians.opacities[None], visible=seen)
        return Render(color=color, alpha=alpha, depth=alpha, features=None, screen=screen)


@pytest.mark.parametrize("name", PLANS)
def test_a_step_never_waits_for_the_gpu(name: str, capture: Capture) -> None:
    densify = replace(PLANS[name].densify, start_share=1.0) if hasattr(PLANS[name].densify, "start_share") else Fixed()
    with pretending() as waits:
        job, progress = begun(capture, replace(PLANS[name], densify=densify, doublings=(), depth_weight=0.1))
        for _ in range(len(job.targets) + 1):
            step_(job, progress)
        waits.clear()
        results = [step_(job, progress) for _ in range(3)]
    assert waits == Counter()
    assert all(isinstance(result.loss, PretendTensor) for result in results)


def test_an_edit_waits_and_says_so(capture: Capture) -> None:
    with pretending() as waits:
        job, progress = begun(capture, replace(PLAN, densify=Mcmc(every=10, start_share=0.0)))
        for _ in range(9):
            step_(job, progress)
        waits.clear()
        assert step_(job, progress).edit is not None
    assert waits["aten::nonzero"] > 0


def begun(capture: Capture, plan: FitPlan) -> tuple[Job, Progress]:
    """Before the first step, on the pretended GPU."""
    job = prepare(
        capture, plan, initial=None, out=None, resume=False, backend="reference", device=PRETENDED, command="test"
    )
    job = replace(job, backend=Smooth())
    return job, job.begin()


def test_pictures_beyond_the_budget_wait_in_main_memory(capture: Capture) -> None:
    whole = Targets(
        capture.train, similarity=Similarity.identity(), min_side_px=8, budget_bytes=2**30, with_depth=False
    )
    size = whole.get(0, 1).nbytes
    with pretending() as waits:
        some = Targets(
            capture.train,
            similarity=Similarity.identity(),
            min_side_px=8,
            budget_bytes=2 * size,
            with_depth=False,
            device=PRETENDED,
        )
        first = [some.get(i, 1) for i in range(len(some))]
        again = [some.get(i, 1) for i in range(len(some))]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, *[False] * (len(some) - 2)]
    assert waits == Counter()
    for i, target in enumerate(again):
        assert isinstance(target.rgb, PretendTensor)
        assert not isinstance(target.camera.intrinsics, PretendTensor)
        assert torch.equal(values(target.rgb), whole.get(i, 1).rgb)


def test_a_run_goes_on_where_it_stopped(capture: Capture, tmp_path: Path) -> None:
    plan = replace(PLAN, densify=Mcmc(every=10, start_share=0.0), exposure=ExposurePlan(enabled=True), eval_every=0)
    with pretending():
        whole = fit(capture, plan, backend="reference", device=PRETENDED)
        events = train(capture, plan, backend="reference", device=PRETENDED, out=tmp_path / "run")
        for event in events:
            if event.step >= 11:
                break
        events.close()
        found = fit(capture, plan, backend="reference", device=PRETENDED, out=tmp_path / "run", resume=True)
    for field in FIELDS:
        assert torch.equal(getattr(found.background, field), getattr(whole.background, field)), field


def test_a_run_can_go_on_on_another_device(capture: Capture, tmp_path: Path) -> None:
    plan = replace(PLAN, densify=Mcmc(every=10, start_share=0.0), eval_every=0)
    with pretending():
        events = train(capture, plan, backend="reference", device=PRETENDED, out=tmp_path / "run")
        for event in events:
            if event.step >= 11:
                break
        events.close()
    found = fit(capture, plan, backend="reference", device="cpu", out=tmp_path / "run", resume=True)
    assert len(found.background) > 0


FULL = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 7.79 GiB of which 16.00 MiB is free."
)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_full_gpu_keeps_the_work(
    capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumed: bool
) -> None:
    plan = replace(PLAN, eval_every=0, checkpoint_every=0)
    calls = iter(range(100))

    def full(job: Job, progress: Progress) -> StepResult:
        if next(calls) == 7:
            raise torch.OutOfMemoryError(FULL)
        return step_(job, progress)

    with monkeypatch.context() as patched:
        patched.setattr("veduta.fit.loop.step_", full)
        with pytest.raises(MemoryFullError) as raised:
            fit(capture, plan, device="cpu", out=tmp_path / "run")
    error = raised.value
    assert error.line().startswith("step 7 with 5")
    assert "the GPU's memory is full: expected about 0." in error.line()
    assert error.line().endswith("GB, by the estimate, got 2.50 GiB more than is free of 7.79 GiB in all")
    assert error.hint is not None
    assert "image_budget_mb" in error.hint
    assert "Step 7 is saved" in error.hint
    if resumed:
        whole = fit(capture, plan, device="cpu")
        found = fit(capture, plan, device="cpu", out=tmp_path / "run", resume=True)
        assert len(found.background) == len(whole.background)


def test_a_step_broken_off_half_way_is_not_saved(
    capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(job: Job, progress: Progress) -> StepResult:
        progress.step += 1
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("veduta.fit.loop.step_", half)
    with pytest.raises(MemoryFullError) as raised:
        fit(capture, replace(PLAN, eval_every=0), device="cpu", out=tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*checkpoint*.safetensors"))
    assert raised.value.hint is not None
    assert "is saved" not in raised.value.hint


def test_thirty_thousand_steps_of_a_million_gaussians_fit_8_gb() -> None:
    photographs = some_cameras(200, size=32).replace(width=1920, height=1080)
    needed = estimate(
        [photographs], max_gaussians=1_000_000, sh_degree=3, image_budget_bytes=512 * 2**20, device="cuda"
    )
    assert needed.total == needed.gaussians + needed.rasteriser + needed.images + needed.base
    assert 3e9 < needed.total < 8e9 * 0.75
    assert needed.gaussians == pytest.approx(1.15 * 6 * 59 * 4 * 1e6)
    five = estimate([photographs], max_gaussians=5_000_000, sh_degree=3, image_budget_bytes=0, device="cuda")
    assert five.gaussians == pytest.approx(5 * needed.gaussians)


def test_noise_reaches_the_same_gaussians_on_a_gpu() -> None:
    gaussians = some_gaussians(40)
    gaussians = gaussians.replace(opacities=torch.linspace(0.0, 0.2, 40))
    moment = Moment(step=5, steps=10, schedule_scale=1.0, extent=1.0, max_gaussians=50, means_rate=1e-3)
    rows, offsets = Mcmc().drift(gaussians, moment, generator=torch.Generator().manual_seed(0))
    with pretending() as waits:
        there = gaussians.to(PRETENDED)
        all_rows, moves = Mcmc().drift(there, moment, generator=torch.Generator().manual_seed(0))
        assert not waits
    assert values(all_rows).tolist() == list(range(40))
    moved = values(moves).abs().sum(dim=1) > 0
    assert moved.nonzero().squeeze(1).tolist() == rows.tolist()
    assert offsets.shape == (len(rows), 3)


def test_moving_objects_and_known_depths(no_kernels: None) -> None:
    moving = moving_capture()
    seen: Photographs = moving.train  # pyright: ignore[reportAssignmentType]
    capture = replace(moving, train=Measured(seen.views))
    densify = replace(ADAPTIVE, stop_share=1.0)
    plan = replace(PLANS["adaptive"], steps=11, densify=densify, actor_points=20, eval_every=0, depth_weight=0.5)
    losses: list[list[float]] = []
    for device, world in ((torch.device("cpu"), nullcontext()), (PRETENDED, pretending())):
        told: list[Event] = []
        with world:
            scene = fit(capture, plan, backend="reference", device=device, on_event=told.append)
        losses.append([event.loss for event in told if isinstance(event, Stepped)])
        assert any(isinstance(event, Edited) for event in told)
        assert list(scene.actors) == ["car"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
