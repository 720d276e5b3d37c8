"""The whole fit on a tiny capture: it learns, repeats, resumes bit for bit, and never leaves broken files."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.fit.scenes import SIZE, Photographs, capture_of, photographs_of, some_cameras, some_gaussians
from veduta import kernels
from veduta.core import (
    Cameras,
    Capture,
    DivergedError,
    Gaussians,
    InputError,
    OutputError,
    PointCloud,
    Scene,
    Track,
    Views,
)
from veduta.fit import (
    Adaptive,
    BackdropPlan,
    Edited,
    Event,
    ExposurePlan,
    FitPlan,
    Fixed,
    LearningRates,
    Mcmc,
    Saved,
    Scored,
    Started,
    Stepped,
    config_from_plan,
    fit,
    initial_scene,
    train,
)
from veduta.fit.frame import Frame, stored_frame
from veduta.fit.parameters import FIELDS
from veduta.geometry import RigidMotion, Similarity, rgb_from_dc, transform_cameras, transform_cloud, transform_scene
from veduta.io.runs import RunFolder
from veduta.io.scenes import load_scene
from veduta.io.tensors import load_tensors, save_tensors
from veduta.measure import psnr
from veduta.render import render_scene

PLAN = FitPlan(
    steps=24,
    min_side_px=8,
    max_gaussians=70,
    log_every=5,
    checkpoint_every=0,
    # 24 steps of 7,000: these happen every 3 and every 8 steps.
    densify=Adaptive(start_share=0.1, stop_share=0.9, every=875, reset_every=2333, gradient_threshold=1e-5),
    backdrop=BackdropPlan(kind="learned"),
    exposure=ExposurePlan(enabled=True),
)
MCMC = replace(PLAN, densify=Mcmc(start_share=0.1, stop_share=0.9, every=875, min_opacity=0.05))


def equal(a: Scene, b: Scene) -> bool:
    """Whether two scenes are the same, bit for bit."""
    parts = zip(
        [a.background, *(x.gaussians for x in a.actors.values())],
        [b.background, *(x.gaussians for x in b.actors.values())],
        strict=True,
    )
    same = all(torch.equal(getattr(x, f), getattr(y, f)) for x, y in parts for f in FIELDS)
    if a.sky is None or b.sky is None:
        return same and a.sky is b.sky
    return same and torch.equal(a.sky.texture, b.sky.texture)


def quality(scene: Scene, source: Photographs) -> float:
    """Mean PSNR of renders, in dB."""
    with torch.no_grad():
        pairs = [(render_scene(scene, v.cameras).color.clamp(0, 1), v.rgb) for v in source.views]
    return float(torch.stack([psnr(a, b).mean() for a, b in pairs]).mean())


def test_it_learns_what_it_was_not_shown(capture: Capture) -> None:
    plan = FitPlan(steps=300, min_side_px=16, log_every=1000, densify=Fixed())
    before = quality(initial_scene(capture, plan), capture.test)  # type: ignore[arg-type]
    after = quality(fit(capture, plan), capture.test)  # type: ignore[arg-type]
    assert after > 25.0
    assert after > before + 5.0


@pytest.mark.parametrize("plan", [PLAN, MCMC], ids=["adaptive", "mcmc"])
def test_two_runs_with_one_seed_are_bit_identical_and_other_seeds_differ(capture: Capture, plan: FitPlan) -> None:
    first, second, other = fit(capture, plan), fit(capture, plan), fit(capture, replace(plan, seed=1))
    assert equal(first, second)
    assert not equal(first, other)


@pytest.mark.parametrize("plan", [PLAN, MCMC], ids=["adaptive", "mcmc"])
def test_a_run_stopped_anywhere_resumes_bit_for_bit(capture: Capture, plan: FitPlan, tmp_path: Path) -> None:
    whole = fit(capture, plan, out=tmp_path / "whole")
    for stop in (1, 2, 3, 4, 8, 9, 10, 23):
        out = tmp_path / f"stopped-{stop}"
        stop_after(capture, replace(plan, log_every=1), out, stop)
        resumed = fit(capture, plan, out=out, resume=True)
        assert equal(whole, resumed), stop
        last = RunFolder(out).latest_checkpoint()
        reference = RunFolder(tmp_path / "whole").latest_checkpoint()
        assert last is not None
        assert reference is not None
        mine, theirs = load_tensors(last)[0], load_tensors(reference)[0]
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine), stop


def with_held_out_of(capture: Capture, other: Capture) -> Capture:
    """The same training photographs, with the held-out ones of another capture, and the up that follows from them."""
    views = [*capture.train.views, *other.test.views]  # type: ignore[attr-defined]
    cameras = {"camera": Cameras.cat([view.cameras for view in views])}
    return replace(capture, test=other.test, cameras=cameras, up=torch.tensor([0.6, 0.0, 0.8]))


def test_held_out_photographs_may_come_and_go_while_a_run_is_stopped(
    capture: Capture, truth: Gaussians, tmp_path: Path
) -> None:
    """They have a say in the frame of the fit, which must be the same to the end."""
    plan = replace(PLAN, backdrop=BackdropPlan(kind="sky", sky_height_px=4))
    whole = fit(capture, plan, out=tmp_path / "whole")
    stop_after(capture, replace(plan, log_every=1), tmp_path / "run", 9)
    far = Similarity(3.0, torch.eye(3, dtype=torch.float64), torch.tensor([9.0, 0.0, 0.0], dtype=torch.float64))
    other = capture_of(Photographs(()), photographs_of(truth, transform_cameras(some_cameras(2), far)), points=None)
    resumed = fit(with_held_out_of(capture, other), plan, out=tmp_path / "run", resume=True)
    assert equal(whole, resumed)
    assert whole.sky is not None
    assert resumed.sky is not None
    assert torch.equal(whole.sky.up, resumed.sky.up)
    latest = RunFolder(tmp_path / "run").latest_checkpoint()
    assert latest is not None
    kept, first = stored_frame(latest), Frame.of(capture, plan)
    assert kept is not None
    assert (kept.similarity.scale, kept.extent, kept.clearance, kept.cap) == (
        first.similarity.scale,
        first.extent,
        first.clearance,
        first.cap,
    )


def test_a_checkpoint_that_does_not_tell_its_frame_is_resumed_in_the_captures(capture: Capture, tmp_path: Path) -> None:
    """As those written before there was a frame in them."""
    stop_after(capture, replace(PLAN, log_every=1), tmp_path / "run", 9)
    path = RunFolder(tmp_path / "run").latest_checkpoint()
    assert path is not None
    tensors, metadata = load_tensors(path)
    new = {name for name in tensors if name.startswith("frame.")} | {"backdrop.up"}
    assert new < tensors.keys()
    save_tensors(path, {name: value for name, value in tensors.items() if name not in new}, metadata=metadata)
    assert equal(fit(capture, PLAN), fit(capture, PLAN, out=tmp_path / "run", resume=True))


def test_held_out_photographs_that_are_masked_altogether_are_not_scored(capture: Capture, tmp_path: Path) -> None:
    plan = replace(PLAN, eval_every=7000)  # at the end
    first, second = (capture.test[i] for i in range(2))
    nothing = second.replace(weight=torch.zeros_like(second.weight))

    def scored(*held_out: Views) -> list[Scored]:
        events: list[Event] = []
        fit(replace(capture, test=Photographs(held_out)), plan, on_event=events.append)
        return [event for event in events if isinstance(event, Scored)]

    (alone,), (masked,) = scored(first), scored(first, nothing)
    assert masked == alone
    assert alone.views == 1
    assert scored(nothing) == []


def stop_after(capture: Capture, plan: FitPlan, out: Path, steps: int) -> None:
    """Run some steps and close the generator, as leaving a loop over it does."""
    events = train(capture, plan, out=out)
    for event in events:
        if isinstance(event, Stepped) and event.step == steps:
            break
    events.close()


def test_resuming_several_times_and_after_the_end_changes_nothing(capture: Capture, tmp_path: Path) -> None:
    whole = fit(capture, PLAN)
    out = tmp_path / "run"
    stop_after(capture, replace(PLAN, log_every=1), out, 5)
    for stop in (6, 13):
        events = train(capture, replace(PLAN, log_every=1), out=out, resume=True)
        next(e for e in events if isinstance(e, Stepped) and e.step == stop)
        events.close()
    assert equal(whole, fit(capture, PLAN, out=out, resume=True))
    assert equal(whole, fit(capture, PLAN, out=out, resume=True))


def test_the_log_of_a_killed_and_resumed_run_tells_every_step_once(capture: Capture, tmp_path: Path) -> None:
    plan = replace(PLAN, log_every=1, checkpoint_every=2333)  # a checkpoint every 8 steps
    fit(capture, plan, out=tmp_path / "whole")
    events = train(capture, plan, out=tmp_path / "running")
    next(e for e in events if isinstance(e, Stepped) and e.step == 13)
    shutil.copytree(tmp_path / "running", tmp_path / "killed")  # what kill -9 leaves
    events.close()
    fit(capture, plan, out=tmp_path / "killed", resume=True)
    whole, killed = (
        [(entry["event"], entry["step"]) for entry in RunFolder(tmp_path / name).log()] for name in ("whole", "killed")
    )
    assert ("stepped", 13) in killed
    assert [entry for entry in killed if entry != ("started", 8)] == whole


def test_a_run_killed_before_its_first_checkpoint_starts_again(capture: Capture, tmp_path: Path) -> None:
    events = train(capture, PLAN, out=tmp_path / "run")
    next(events)
    assert not RunFolder(tmp_path / "run").checkpoints()
    del events
    for _, path in RunFolder(tmp_path / "run").checkpoints():
        path.unlink()  # what kill -9 would not have written
    assert equal(fit(capture, PLAN), fit(capture, PLAN, out=tmp_path / "run", resume=True))


def test_ctrl_c_saves_between_steps_and_is_raised(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "run"
    source = Interrupting(capture.train.views, after=14)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        # No picture is kept, so that every step asks the source for one.
        fit(replace(capture, train=source), replace(PLAN, image_budget_mb=0), out=out)
    assert [step for step, _ in RunFolder(out).checkpoints()] == [14 - len(source)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert equal(fit(capture, PLAN), fit(capture, PLAN, out=out, resume=True))


def test_a_second_ctrl_c_does_not_wait_and_leaves_the_last_checkpoint(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "run"
    source = Interrupting(capture.train.views, after=14, times=2)  # type: ignore[attr-defined]
    plan = replace(PLAN, image_budget_mb=0, checkpoint_every=875)  # every 3 steps
    with pytest.raises(KeyboardInterrupt):
        fit(replace(capture, train=source), plan, out=out)
    half_done = 14 - len(source)
    assert [step for step, _ in RunFolder(out).checkpoints()] == [(half_done - 1) // 3 * 3]
    assert equal(fit(capture, plan), fit(capture, plan, out=out, resume=True))


class Interrupting(Photographs):
    """Sends Ctrl-C to this process when a photograph is taken for the n-th time, in the middle of a step."""

    def __init__(self, views: tuple[Views, ...], *, after: int, times: int = 1) -> None:
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "countdown", itertools.count(after, -1))
        object.__setattr__(self, "times", times)

    def __getitem__(self, i: int, /) -> Views:
        if next(self.countdown) == 1:  # type: ignore[attr-defined]
            for _ in range(self.times):  # type: ignore[attr-defined]
                os.kill(os.getpid(), signal.SIGINT)
        return self.views[i]

    def fingerprint(self) -> str:
        from veduta.fit.views import fingerprint

        return fingerprint(Photographs(self.views))


def test_divergence_is_an_error_and_leaves_the_last_checkpoint(capture: Capture, tmp_path: Path) -> None:
    plan = replace(PLAN, densify=Fixed(), rates=LearningRates(sh0=1e38), checkpoint_every=1000, log_every=1000)
    with pytest.raises(DivergedError, match="diverged"):
        fit(capture, plan, out=tmp_path / "run")
    saved = RunFolder(tmp_path / "run").latest_checkpoint()
    if saved is not None:
        assert all(bool(torch.isfinite(t).all()) for t in load_tensors(saved)[0].values() if t.is_floating_point())
    assert not (tmp_path / "run" / "scene.safetensors").exists()


def test_a_loss_that_is_no_number_is_noticed_at_the_next_event(capture: Capture) -> None:
    broken = [view.replace(rgb=view.rgb * float("nan")) for view in capture.train.views]  # type: ignore[attr-defined]
    events = train(replace(capture, train=Photographs(tuple(broken))), replace(PLAN, log_every=2))
    assert isinstance(next(events), Started)
    with pytest.raises(DivergedError, match="step 2"):
        next(events)


def test_threads_do_not_change_the_result(capture: Capture) -> None:
    before = torch.get_num_threads(), kernels.threads()
    try:
        assert equal(fit(capture, PLAN, threads=1), fit(capture, PLAN, threads=2))
    finally:
        torch.set_num_threads(before[0])
        kernels.set_threads(before[1])


def test_threads_do_not_change_a_scene_that_is_large_enough_for_torch_to_divide(capture: Capture) -> None:
    # From about 32,000 elements on torch gives rows to several threads, and the last bits depend on where it cuts.
    gaussians = some_gaussians(60_003, degree=3)
    initial = Scene(background=gaussians.replace(scales=0.02 * gaussians.scales))
    plan = FitPlan(steps=3, max_gaussians=70_000, densify=Mcmc(start_share=0.0, growth=0.1))
    before = torch.get_num_threads(), kernels.threads()
    try:
        one, two = (fit(capture, plan, initial=initial, threads=threads) for threads in (1, 2))
    finally:
        torch.set_num_threads(before[0])
        kernels.set_threads(before[1])
    assert len(one.background) > 60_000
    assert equal(one, two)


def test_the_caller_keeps_the_threads_that_it_had(capture: Capture) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        fit(capture, replace(PLAN, steps=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_events_tell_the_story(capture: Capture, tmp_path: Path) -> None:
    told: list[object] = []
    plan = replace(PLAN, eval_every=3500, checkpoint_every=3500, max_gaussians=60)
    scene = fit(capture, plan, out=tmp_path / "run", on_event=told.append)
    started, *rest = told
    assert isinstance(started, Started)
    assert (started.step, started.steps, started.gaussians) == (0, 24, 50)
    assert (started.views, started.held_out) == (6, 2)
    assert started.memory.total > 60 * 59 * 4
    stepped = [e for e in rest if isinstance(e, Stepped)]
    assert [e.step for e in stepped] == [5, 10, 15, 20, 24]
    assert stepped[-1].eta_seconds == 0.0
    assert stepped[0].width == SIZE // 2
    assert stepped[-1].width == SIZE
    assert stepped[-1].sh_degree == 3
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(stepped))
    edited = [e for e in rest if isinstance(e, Edited)]
    assert {e.reason for e in edited} == {"densify", "opacity reset"}
    assert max(e.after for e in edited) <= 60
    assert [e.step for e in rest if isinstance(e, Scored)] == [12, 24]
    saved = [e for e in rest if isinstance(e, Saved)]
    assert [e.step for e in saved] == [12, 24, 24]
    assert saved[-1].path == tmp_path / "run" / "scene.safetensors"
    assert all(e.path.exists() for e in saved[1:])
    assert equal(load_scene(saved[-1].path), scene)
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in entries] == [type(e).__name__.lower() for e in told]
    assert RunFolder(tmp_path / "run").record().config == config_from_plan(plan)


def test_a_snapshot_is_a_copy_in_the_captures_frame(capture: Capture) -> None:
    events = train(capture, replace(PLAN, log_every=1))
    started = next(events)
    assert isinstance(started, Started)
    snapshot = started.scene()
    before = snapshot.background.means.clone()
    assert torch.allclose(before, capture.points.xyz, atol=1e-5)  # type: ignore[union-attr]
    for _ in zip(range(3), events, strict=False):
        pass
    assert torch.equal(snapshot.background.means, before)
    events.close()


def test_the_frame_of_the_capture_does_not_matter(capture: Capture) -> None:
    # Scaled and shifted by powers of two, so that the frame of the fit is nearly the same to the last bit.
    sim = Similarity(64.0, torch.eye(3, dtype=torch.float64), torch.tensor([512.0, -256.0, 128.0], dtype=torch.float64))

    def moved(source: Photographs) -> Photographs:
        return Photographs(tuple(v.replace(cameras=transform_cameras(v.cameras, sim)) for v in source.views))

    assert capture.points is not None
    elsewhere = capture_of(
        moved(capture.train),  # type: ignore[arg-type]
        moved(capture.test),  # type: ignore[arg-type]
        points=transform_cloud(capture.points, sim),
    )
    plan = FitPlan(steps=10, min_side_px=16, densify=Fixed())
    here = transform_scene(fit(capture, plan), sim).background
    there = fit(elsewhere, plan).background
    assert torch.allclose(there.means, here.means, atol=64 * 2e-3)
    assert torch.allclose(there.scales, here.scales, rtol=2e-2)
    assert torch.allclose(there.sh, here.sh, atol=2e-2)


def test_a_fit_goes_on_from_a_given_scene(capture: Capture, truth: Gaussians) -> None:
    plan = FitPlan(steps=2, min_side_px=16, densify=Fixed(), doublings=())
    scene = fit(capture, plan, initial=Scene(background=truth))
    assert quality(scene, capture.test) > 30.0  # type: ignore[arg-type]
    untouched = fit(capture, replace(plan, steps=0), initial=Scene(background=truth)).background
    assert torch.allclose(untouched.means, truth.means, atol=1e-5)
    assert torch.allclose(untouched.sh[:, :1], truth.sh, atol=1e-6)


def test_a_capture_without_points_starts_from_random_ones(capture: Capture) -> None:
    plan = FitPlan(steps=0, min_side_px=16, max_gaussians=300)
    scene = fit(replace(capture, points=None), plan)
    assert 0 < len(scene.background) <= 300
    assert torch.isfinite(scene.background.means).all()
    assert quality(fit(replace(capture, points=None), replace(plan, steps=60)), capture.train) > quality(  # type: ignore[arg-type]
        scene,
        capture.train,  # type: ignore[arg-type]
    )


def test_the_captures_own_background_is_drawn_and_kept(truth: Gaussians) -> None:
    cameras = some_cameras()
    white = torch.ones(3)
    photographs = photographs_of(truth, cameras)
    capture = capture_of(photographs, Photographs(()), points=PointCloud(truth.means, truth.means), background=white)
    scene = fit(capture, FitPlan(steps=1, min_side_px=16))
    assert scene.sky is not None
    assert torch.equal(scene.sky.texture, torch.ones(1, 1, 3))
    black = fit(capture, FitPlan(steps=1, min_side_px=16, backdrop=BackdropPlan(kind="black")))
    assert black.sky is None


@pytest.mark.parametrize("kind", ["white", "random", "learned", "sky"])
def test_every_backdrop_can_be_fitted(capture: Capture, kind: str) -> None:
    backdrop = BackdropPlan(kind=kind, sky_height_px=4)  # type: ignore[arg-type]
    scene = fit(capture, replace(PLAN, backdrop=backdrop, steps=5))
    if kind == "random":
        assert scene.sky is None
        return
    assert scene.sky is not None
    assert scene.sky.texture.shape == ((4, 8, 3) if kind == "sky" else (1, 1, 3))
    if kind in ("learned", "sky"):  # the photographs' background is black
        assert float(scene.sky.texture.mean()) < 0.5


def test_an_exposure_takes_up_a_change_of_colour(truth: Gaussians) -> None:
    cameras = some_cameras()
    photographs = photographs_of(truth, cameras)
    tinted = [
        v.replace(rgb=v.rgb * (torch.tensor([0.5, 1.0, 1.0]) if i % 2 else 1.0))
        for i, v in enumerate(photographs.views)
    ]
    capture = capture_of(Photographs(tuple(tinted)), photographs, points=PointCloud(truth.means, truth.means))
    plan = FitPlan(steps=150, min_side_px=16, densify=Fixed(), rates=LearningRates(sh_rest=0.0), sh_degree=0)
    start = Scene(background=truth)
    with_it = fit(
        capture, replace(plan, exposure=ExposurePlan(enabled=True, rate=1e-2, identity_weight=0.0)), initial=start
    )
    without = fit(capture, plan, initial=start)
    even = Photographs(photographs.views[::2])
    assert quality(with_it, even) > quality(without, even)


def test_masked_pixels_are_not_learned(truth: Gaussians) -> None:
    cameras = some_cameras()
    clean = photographs_of(truth, cameras)
    spoiled = []
    for view in clean.views:
        rgb, weight = view.rgb.clone(), torch.ones_like(view.weight)
        rgb[:, 8:24, 8:24] = torch.tensor([1.0, 0.0, 1.0])
        weight[:, 8:24, 8:24] = 0.0
        spoiled.append(view.replace(rgb=rgb, weight=weight))
    points = PointCloud(truth.means, torch.full_like(truth.means, 0.5))
    plan = FitPlan(steps=60, min_side_px=16, densify=Fixed())
    masked = fit(capture_of(Photographs(tuple(spoiled)), clean, points=points), plan, initial=Scene(background=truth))
    assert quality(masked, clean) > 25.0


class Measured(Photographs):
    """Photographs with a depth that says: everything is one unit away."""

    def sparse_depth(self, i: int, /) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        px = torch.tensor([[x + 0.5, y + 0.5] for x in range(SIZE) for y in range(SIZE)])
        return px, torch.full((SIZE * SIZE,), 1.0), torch.ones(SIZE * SIZE)


def test_known_depths_pull(truth: Gaussians) -> None:
    cameras = some_cameras(4)
    source = Measured(photographs_of(truth, cameras).views)
    capture = capture_of(source, Photographs(()), points=None)
    plan = FitPlan(steps=30, min_side_px=16, densify=Fixed(), rates=LearningRates(means=0.01, means_final=0.01))

    def mean_depth(scene: Scene) -> float:
        drawn = render_scene(scene, cameras)
        return float(drawn.depth[drawn.alpha > 0.5].mean())

    start = Scene(background=truth)
    free, pulled = fit(capture, plan, initial=start), fit(capture, replace(plan, depth_weight=10.0), initial=start)
    assert mean_depth(pulled) < mean_depth(free) - 0.1


def moving_capture() -> Capture:
    """A blob that drives along x past blobs that stand, seen at four times by standing cameras."""
    car = some_gaussians(20, seed=5, spread=0.15)
    ground = some_gaussians(20, seed=6)
    ground.means[:, 2] -= 0.6
    times = torch.arange(4, dtype=torch.float64)
    poses = torch.eye(4).repeat(4, 1, 1)
    poses[:, 0, 3] = torch.tensor([-0.6, -0.2, 0.2, 0.6])
    track = Track(times=times, world_from_object=poses, size_m=torch.tensor([0.5, 0.5, 0.5]), category="car")
    motion = RigidMotion.from_track(track)
    cameras = some_cameras(4)
    views = []
    for t, c in itertools.product(range(4), range(4)):
        camera = cameras[c].replace(time=times[t : t + 1])
        everything = Gaussians.cat([ground, motion.place(car, float(t))])
        views.append(photographs_of(everything, camera).views[0])
    points = PointCloud(ground.means, rgb_from_dc(ground.sh[:, 0]).clamp(0, 1))
    return capture_of(Photographs(tuple(views)), Photographs(()), points=points, tracks={"car": track})


def test_a_moving_object_is_learned_in_its_own_frame(tmp_path: Path) -> None:
    capture = moving_capture()
    densify = Adaptive(every=875, reset_every=0)  # every 15 of 120 steps
    plan = FitPlan(steps=120, min_side_px=16, actor_points=60, max_gaussians=120, log_every=1, densify=densify)
    out = tmp_path / "run"
    whole = fit(capture, plan, out=tmp_path / "whole")
    assert list(whole.actors) == ["car"]
    actor = whole.actors["car"]
    assert float(actor.gaussians.means.abs().max()) < 1.0
    assert quality(whole, capture.train) > 22.0  # type: ignore[arg-type]
    assert quality(fit(capture, replace(plan, actors=False)), capture.train) < quality(whole, capture.train)  # type: ignore[arg-type]
    stop_after(capture, plan, out, 37)
    assert equal(whole, fit(capture, plan, out=out, resume=True))
    with pytest.raises(InputError, match="other moving objects"):
        fit(replace(capture, tracks={}), plan, out=out, resume=True)


def test_a_taken_folder_is_refused_and_left_alone(capture: Capture, tmp_path: Path) -> None:
    fit(capture, replace(PLAN, steps=2), out=tmp_path / "run")
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    with pytest.raises(OutputError, match="there is a run already"):
        fit(capture, replace(PLAN, steps=2), out=tmp_path / "run")
    assert {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()} == before


def test_resuming_refuses_another_plan_capture_or_schema(capture: Capture, truth: Gaussians, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stop_after(capture, replace(PLAN, log_every=1), out, 5)
    with pytest.raises(InputError, match="must keep its settings") as caught:
        fit(capture, replace(PLAN, steps=25), out=out, resume=True)
    assert caught.value.field == "steps"
    other = replace(capture, train=photographs_of(truth, some_cameras(3)))
    with pytest.raises(InputError, match="other photographs"):
        fit(other, PLAN, out=out, resume=True)
    with pytest.raises(InputError, match="not a run"):
        fit(capture, PLAN, out=tmp_path / "nothing", resume=True)
    with pytest.raises(TypeError, match="give out"):
        fit(capture, PLAN, resume=True)
    path = RunFolder(out).latest_checkpoint()
    assert path is not None
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, metadata=metadata | {"schema": "99"})
    with pytest.raises(InputError, match="another version") as caught:
        fit(capture, PLAN, out=out, resume=True)
    assert (caught.value.expected, caught.value.got) == ("1", "99")


@pytest.mark.parametrize(
    "damage", ["raw.means", "moment2.sh", "order", "stream.views", "backdrop.texture", "exposure.moves", "frame.extent"]
)
def test_an_incomplete_checkpoint_is_an_error(capture: Capture, tmp_path: Path, damage: str) -> None:
    stop_after(capture, replace(PLAN, log_every=1), tmp_path / "run", 2)
    path = RunFolder(tmp_path / "run").latest_checkpoint()
    assert path is not None
    tensors, metadata = load_tensors(path)
    del tensors[damage]
    save_tensors(path, tensors, metadata=metadata)
    with pytest.raises(InputError, match="corrupt checkpoint"):
        fit(capture, PLAN, out=tmp_path / "run", resume=True)


def test_a_checkpoint_of_other_shapes_is_an_error(capture: Capture, tmp_path: Path) -> None:
    stop_after(capture, replace(PLAN, log_every=1), tmp_path / "run", 2)
    path = RunFolder(tmp_path / "run").latest_checkpoint()
    assert path is not None
    tensors, metadata = load_tensors(path)
    for name, bad in (("raw.means", tensors["raw.means"][:-1]), ("backdrop.texture", torch.zeros(2, 2, 3))):
        save_tensors(path, tensors | {name: bad}, metadata=metadata)
        with pytest.raises(InputError, match="corrupt checkpoint"):
            fit(capture, PLAN, out=tmp_path / "run", resume=True)


def test_a_capture_without_photographs_leaves_no_folder(capture: Capture, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training photographs"):
        fit(replace(capture, train=Photographs(())), PLAN, out=tmp_path / "run")
    with pytest.raises(InputError, match="no photographs"):
        fit(replace(capture, cameras={}), PLAN, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_view_that_shows_nothing_is_no_problem(capture: Capture, truth: Gaussians) -> None:
    behind = transform_cameras(
        some_cameras(1),
        Similarity(1.0, torch.eye(3, dtype=torch.float64), torch.tensor([50.0, 0, 0], dtype=torch.float64)),
    )
    nothing = photographs_of(truth, behind)
    scene = fit(capture_of(nothing, nothing, points=PointCloud(truth.means, truth.means)), replace(PLAN, steps=3))
    assert torch.isfinite(scene.background.means).all()
