"""Every verb does what it says, on a capture small enough for a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.cli.conftest import Veduta
from tests.cli.tiny import UP, tiny_cameras, tiny_scene
from veduta import __version__, data
from veduta.cli import demo, doctor, sfm
from veduta.cli import fit as fit_verb
from veduta.cli.fit_progress import FitProgress
from veduta.core import Scene
from veduta.data import FileViews, SfmReport, open_capture, write_cameras
from veduta.fit import Event, FitPlan, Mcmc, Stepped, plan_from_config
from veduta.fit.job import prepare
from veduta.geometry.similarity import transform_cameras
from veduta.io.images import image_size, read_image
from veduta.io.ply import read_ply, write_ply
from veduta.io.scenes import load_scene
from veduta.io.splat import read_splat
from veduta.recipes.export import AXES, turn_up
from veduta.recipes.presets import PRESETS
from veduta.render import backends, render_scene
from veduta.viewer.live import LiveViewer


def config_of(run: Path) -> dict[str, Any]:
    """What run.json keeps of the plan."""
    return json.loads((run / "run.json").read_text())["config"]


def same_scene(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same Gaussians, bit for bit."""
    one, other = load_scene(a / "scene.safetensors").background, load_scene(b / "scene.safetensors").background
    names = ("means", "quats", "scales", "opacities", "sh")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_the_version(veduta: Veduta) -> None:
    assert veduta("--version").out == f"veduta {__version__}\n"


def test_python_m_veduta_is_veduta() -> None:
    command = [sys.executable, "-m", "veduta", "--version"]
    assert subprocess.check_output(command, text=True) == f"veduta {__version__}\n"


def test_help_names_every_verb_and_ends_well(veduta: Veduta) -> None:
    for args in ((), ("--help",), ("-h",)):
        outcome = veduta(*args)
        assert outcome.code == 0
        for verb in ("sfm", "fit", "render", "eval", "export", "view", "report", "demo", "doctor"):
            assert f"• {verb}" in outcome.out


@pytest.mark.parametrize("verb", ["sfm", "fit", "render", "eval", "export", "view", "report", "demo", "doctor"])
def test_every_verb_teaches_by_example(verb: str, veduta: Veduta) -> None:
    outcome = veduta(verb, "--help")
    assert outcome.code == 0
    assert f"\n    veduta {verb}" in outcome.out


def test_fit_leaves_everything_in_the_run(run: Path) -> None:
    for name in ("run.json", "log.jsonl", "capture.json", "scene.safetensors", "eval.json", "report.html"):
        assert (run / name).is_file(), name
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_0000020.safetensors"]
    assert len(list((run / "eval").glob("*.png"))) == 4  # two held-out views: photograph and render


def test_fit_tells_progress_scores_and_protocol(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    outcome = veduta("fit", capture, "-o", tmp_path / "run", "--steps", "40", "--threads", "1")
    assert outcome.code == 0
    for said in (
        "7 photographs (2 held out)",
        "step 40 of 40",
        "ETA",
        "loss",
        "Gaussians",
        "memory",
        "PSNR, dB",
        "SSIM",
    ):
        assert said in outcome.out
    assert "one in 8 by sorted name" in outcome.out


@pytest.mark.parametrize("eval_every", [0, 10])
def test_the_estimate_of_memory_counts_the_photographs_that_are_kept(capture: Path, eval_every: int) -> None:
    opened, plan = open_capture(capture), FitPlan(steps=10, eval_every=eval_every)
    job = prepare(opened, plan, initial=None, out=None, resume=False, backend="auto", device="cpu", command="")
    assert isinstance(opened.train, FileViews)
    assert isinstance(opened.test, FileViews)
    kept = opened.train.needed_bytes + (opened.test.needed_bytes if eval_every else 0)
    assert job.memory.images == 7 * 40 * 32 * 12 + kept


def test_plan_preset_and_overrides_reach_run_json(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    options = ("--preset", "quality", "--steps", "2", "--plan.sh-degree", "1", "--threads", "1", "--no-evaluate")
    strategy = ("plan.densify:mcmc", "--plan.densify.min-opacity", "0.02")
    assert veduta("fit", capture, "-o", tmp_path / "run", *options, *strategy).code == 0
    plan = plan_from_config(config_of(tmp_path / "run"))
    assert (plan.steps, plan.sh_degree) == (2, 1)
    assert plan.max_gaussians == PRESETS["quality"].max_gaussians != FitPlan().max_gaussians
    assert isinstance(plan.densify, Mcmc)
    assert plan.densify.min_opacity == 0.02


@pytest.mark.parametrize("spelled", [("--preset", "fast"), ("--preset=fast",)])
def test_a_preset_shows_in_the_help(spelled: tuple[str, ...], veduta: Veduta) -> None:
    shown = veduta("fit", *spelled, "--help").out
    assert f"(default: {PRESETS['fast'].steps})" in shown
    assert f"(default: {PRESETS['default'].steps})" not in shown


def test_ctrl_c_saves_and_resume_goes_on_bit_for_bit(
    veduta: Veduta, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--steps", "12", "--plan.log-every", "1", "--test-every", "4", "--threads", "1")
    assert veduta("fit", capture, "-o", tmp_path / "whole", *options).code == 0

    class Impatient(FitProgress):
        def show(self, event: Event) -> None:
            super().show(event)
            if isinstance(event, Stepped) and event.step == 5:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fit_verb, "FitProgress", Impatient)
        outcome = veduta("fit", capture, "-o", tmp_path / "run", *options)
    assert outcome.code == 130
    again = f"veduta fit {capture} -o {tmp_path / 'run'} --resume"
    assert outcome.out.splitlines()[-1] == f"stopped after step 5 and saved; go on with: {again}"
    assert (tmp_path / "run" / "checkpoints" / "step_0000005.safetensors").is_file()
    assert veduta(*again.split()[1:], "--threads", "1").code == 0
    assert same_scene(tmp_path / "whole", tmp_path / "run")


def test_ctrl_c_before_the_first_step_says_that_nothing_is_there(
    veduta: Veduta, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(FitProgress):
        def show(self, event: Event) -> None:
            raise KeyboardInterrupt

    def at_once(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    options = ("--steps", "4", "--backend", "reference", "--device", "cpu")
    with monkeypatch.context() as patched:
        patched.setattr(fit_verb, "fit_capture", at_once)
        outcome = veduta("fit", capture, "-o", tmp_path / "none", *options)
    assert outcome.code == 130
    assert outcome.out.splitlines()[-1] == "stopped before the first step; nothing was written"
    with monkeypatch.context() as patched:
        patched.setattr(fit_verb, "FitProgress", Hasty)
        outcome = veduta("fit", capture, "-o", tmp_path / "run", *options)
    again = f"veduta fit {capture} -o {tmp_path / 'run'} --backend=reference --device=cpu --resume"
    assert outcome.out.splitlines()[-1].endswith(f"go on with: {again}")
    assert veduta(*again.split()[1:]).code == 0


def test_a_folder_with_several_kinds_of_poses_says_which_is_read(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    assert "is read" not in veduta("fit", capture, "-o", tmp_path / "one", "--steps", "2", "--no-evaluate").out
    write_cameras(capture / "transforms.json", [tiny_cameras()[0]], names=["images/000.png"])
    outcome = veduta("fit", capture, "-o", tmp_path / "both", "--steps", "2", "--no-evaluate")
    assert outcome.code == 0
    assert f"{capture} holds COLMAP and transforms.json: COLMAP is read" in outcome.out


def test_resume_without_a_run_is_refused(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    outcome = veduta("fit", capture, "-o", tmp_path / "run", "--resume")
    assert outcome.code == 2
    assert "not a run" in outcome.err


def test_resume_with_other_settings_is_refused(veduta: Veduta, capture: Path, run: Path) -> None:
    outcome = veduta("fit", capture, "-o", run, "--resume", "--plan.sh-degree", "1")
    assert outcome.code == 2
    assert "a resumed run must keep its settings" in outcome.err


def test_max_size_is_remembered_by_eval(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert veduta("fit", capture, "-o", run, "--steps", "2", "--max-size", "20", "--threads", "1").code == 0
    outcome = veduta("eval", run)
    assert outcome.code == 0
    assert "at 20x16 pixels" in outcome.out


def test_eval_writes_what_it_prints(veduta: Veduta, run: Path) -> None:
    (run / "eval.json").unlink()
    outcome = veduta("eval", run)
    record = json.loads((run / "eval.json").read_text())
    assert outcome.code == 0
    assert [view["name"] for view in record["views"]] == ["000.png", "008.png"]
    assert f"{record['mean']['psnr']:.2f}" in outcome.out
    assert record["protocol"] in outcome.out
    assert all((run / view["render"]).is_file() for view in record["views"])


def test_eval_of_training_views_leaves_the_held_out_scores(veduta: Veduta, run: Path) -> None:
    before = (run / "eval.json").read_bytes()
    outcome = veduta("eval", run, "--split", "train", "--no-pictures")
    assert outcome.code == 0
    assert (run / "eval.json").read_bytes() == before
    assert len(json.loads((run / "train" / "eval.json").read_text())["views"]) == 7


def test_the_truth_scores_best(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    write_ply(tiny_scene().background, tmp_path / "truth.ply")
    outcome = veduta("eval", tmp_path / "truth.ply", "--capture", capture, "-o", tmp_path / "scores")
    assert outcome.code == 0
    record = json.loads((tmp_path / "scores" / "eval.json").read_text())
    assert record["mean"]["psnr"] > 60
    assert record["mean"]["ssim"] > 0.999


def test_render_draws_the_held_out_views_by_name(veduta: Veduta, run: Path) -> None:
    outcome = veduta("render", run)
    folder = run / "renders" / "held-out"
    assert outcome.code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["000.png", "008.png", "video.mp4"]
    drawn = render_scene(load_scene(run / "scene.safetensors"), tiny_cameras()[0]).color[0]
    assert (read_image(folder / "000.png")[0] - drawn.clamp(0, 1)).abs().max() < 1 / 250


@pytest.mark.parametrize("path", ["interpolate", "orbit", "ellipse"])
def test_render_along_a_path(path: str, veduta: Veduta, run: Path, tmp_path: Path) -> None:
    outcome = veduta("render", run, "--path", path, "--frames", "3", "--depth", "-o", tmp_path / "out")
    assert outcome.code == 0
    assert image_size(tmp_path / "out" / "0002.png") == (40, 32)
    assert len(list((tmp_path / "out" / "depth").glob("*.png"))) == 3
    assert (tmp_path / "out" / "video.mp4").stat().st_size > 0
    assert (tmp_path / "out" / "depth.mp4").stat().st_size > 0


@pytest.mark.parametrize(("verb", "scene"), [("render", ()), ("gain", ("--splat",))])
def test_cameras_that_a_path_leaves_out_are_counted(
    verb: str, scene: tuple[str, ...], veduta: Veduta, capture: Path, tmp_path: Path
) -> None:
    model, left = capture / "sparse" / "0" / "images.txt", capture / "images" / "left"
    left.mkdir()
    for name in ("007.png", "008.png"):
        (capture / "images" / name).rename(left / name)
        model.write_text(model.read_text().replace(name, f"left/{name}"))
    write_ply(tiny_scene().background, tmp_path / "scene.ply")
    arguments = (verb, *scene, tmp_path / "scene.ply", "--capture", capture, "--no-video")
    outcome = veduta(*arguments, "--path", "lateral", "-o", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert "2 of 9 cameras are left out" in outcome.out
    assert "are left out" not in veduta(*arguments, "--path", "train", "-o", tmp_path / "train").out


def test_render_without_a_video(veduta: Veduta, run: Path, tmp_path: Path) -> None:
    assert veduta("render", run, "--path", "lateral", "--right-m", "-0.1", "--no-video", "-o", tmp_path / "o").code == 0
    assert len(list((tmp_path / "o").iterdir())) == 9


def test_export_keeps_the_capture_s_frame_and_all_values(veduta: Veduta, run: Path, tmp_path: Path) -> None:
    assert veduta("export", run, tmp_path / "scene.ply").code == 0
    scene, read = load_scene(run / "scene.safetensors").background, read_ply(tmp_path / "scene.ply")
    torch.testing.assert_close(read.means, scene.means)
    torch.testing.assert_close(read.sh, scene.sh)
    torch.testing.assert_close(read.opacities, scene.opacities, atol=1e-5, rtol=0)


def test_export_to_splat_leaves_out_the_faint(veduta: Veduta, run: Path, tmp_path: Path) -> None:
    assert veduta("export", run, tmp_path / "all.splat").code == 0
    assert veduta("export", run, tmp_path / "some.splat", "--min-opacity", "0.2").code == 0
    scene = load_scene(run / "scene.safetensors").background
    assert len(read_splat(tmp_path / "all.splat")) == len(scene)
    assert len(read_splat(tmp_path / "some.splat")) == int((scene.opacities > 0.2).sum())


@pytest.mark.parametrize("axis", ["y", "z", "y-down"])
def test_export_turns_up_to_an_axis_and_the_colours_with_it(
    axis: str, veduta: Veduta, capture: Path, tmp_path: Path
) -> None:
    write_ply(tiny_scene().background, tmp_path / "scene.ply")
    options = ("--rotate-up", axis, "--capture", capture)
    assert veduta("export", tmp_path / "scene.ply", tmp_path / "turned.ply", *options).code == 0
    turned = read_ply(tmp_path / "turned.ply")
    # The same pictures from cameras that were turned alike: colours depend on direction, so they must turn, too.
    up = open_capture(capture).up
    assert float(up.double() @ UP) > 0.95
    turn = turn_up(up, AXES[axis])
    cameras = tiny_cameras(3)
    expected = render_scene(tiny_scene(), cameras).color
    seen = render_scene(Scene(background=turned), transform_cameras(cameras, turn)).color
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)


def test_report_is_written_again(veduta: Veduta, run: Path) -> None:
    (run / "report.html").unlink()
    outcome = veduta("report", run)
    assert outcome.code == 0
    assert outcome.out == f"{run / 'report.html'}\n"
    assert "<html" in (run / "report.html").read_text()


def test_doctor_says_what_works_and_tries_it(veduta: Veduta) -> None:
    outcome = veduta("doctor")
    assert outcome.code == 0
    for backend in backends.report():
        assert backend.name in outcome.out
        assert (f"self-test {backend.name}: works" in outcome.out) == backend.usable
    assert "torch" in outcome.out


def test_doctor_notices_a_backend_that_draws_nonsense(veduta: Veduta, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = doctor.rasterize

    def broken(gaussians: Any, cameras: Any, *, backend: str) -> Any:
        drawn = honest(gaussians, cameras, backend=backend)
        return drawn if backend == "reference" else drawn.replace(color=drawn.color + 0.1)

    monkeypatch.setattr(doctor, "rasterize", broken)
    outcome = veduta("doctor")
    usable = [backend.name for backend in backends.report() if backend.usable and backend.name != "reference"]
    assert outcome.code == (2 if usable else 0)
    assert all(f"self-test {name}: FAILED" in outcome.out for name in usable)


def test_demo_makes_everything_and_goes_on_where_it_was(veduta: Veduta, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    size = ("--views", "9", "--width", "32", "--height", "24", "--steps", "8", "--frames", "3")
    outcome = veduta("demo", "-o", out, "--preset", "tabletop", *size)
    assert outcome.code == 0
    for made in ("capture", "run", "scene.ply", "report.html", "run/renders/interpolate/video.mp4"):
        assert (out / made).exists(), made
        assert str(out / made) in outcome.out
    assert "depth error" in outcome.out
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    scene = (out / "run" / "scene.safetensors").read_bytes()
    assert veduta("demo", "-o", out, "--preset", "tabletop", *size).code == 0
    assert (out / "run" / "scene.safetensors").read_bytes() == scene


def test_an_interrupted_demo_leaves_no_half_capture(
    veduta: Veduta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(capture: Any, folder: Path, **_: Any) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_capture", interrupted)
    monkeypatch.setattr(demo, "synthetic_capture", lambda *_, **__: SimpleNamespace(tracks={}))
    outcome = veduta("demo", "-o", tmp_path / "demo")
    assert outcome.code == 130
    assert outcome.out.endswith(f"stopped; go on with: veduta demo -o {tmp_path / 'demo'}\n")
    assert list((tmp_path / "demo").iterdir()) == []


def test_view_serves_until_ctrl_c(veduta: Veduta, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(LiveViewer, "wait", lambda viewer: waited.append(viewer.url))
    outcome = veduta("view", run, "--port", "0")
    assert outcome.code == 0
    assert waited
    assert outcome.out.startswith(waited[0])


def test_fit_can_be_watched(veduta: Veduta, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(LiveViewer, "on_event", lambda _, event: seen.append(type(event).__name__))
    options = ("--steps", "3", "--threads", "1", "--view", "--port", "0", "--no-evaluate")
    outcome = veduta("fit", capture, "-o", tmp_path / "run", *options)
    assert outcome.code == 0
    assert "view: http://127.0.0.1:" in outcome.out
    assert {"Started", "Stepped", "Saved"} <= set(seen)


def test_sfm_tells_how_many_photographs_have_poses(
    veduta: Veduta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def reconstruct(photos: Path, **settings: Any) -> SfmReport:
        asked.update(settings, photos=photos)
        settings["on_progress"]("features", 1, 3)
        return SfmReport(
            registered=3,
            total=3,
            unregistered=(),
            points=99,
            reprojection_px=0.4,
            method="exhaustive",
            attempts=(),
            capture=photos,
            model=photos / "sparse" / "0",
        )

    monkeypatch.setattr(sfm, "reconstruct", reconstruct)
    outcome = veduta("sfm", tmp_path, "--matcher", "exhaustive", "--max-image-size", "800")
    assert outcome.code == 0
    assert (asked["photos"], asked["matcher"], asked["max_image_size"]) == (tmp_path, "exhaustive", 800)
    assert outcome.out.splitlines() == [
        "3 of 3 photographs have a pose (100 %): 99 points, reprojection error 0.40 px, by exhaustive matching",
        f"next: veduta fit {tmp_path} -o RUN",
    ]


def test_fit_tells_what_became_of_photographs_without_poses(
    veduta: Veduta, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (capture / "sparse").rename(tmp_path / "sparse")

    def reconstruct(photos: Path, **_: Any) -> SfmReport:
        (tmp_path / "sparse").rename(photos / "sparse")
        return SfmReport(
            registered=3,
            total=8,
            unregistered=("a.png", "b.png", "c.png", "d.png", "e.png"),
            points=72,
            reprojection_px=0.4,
            method="global",
            attempts=(),
            capture=photos,
            model=photos / "sparse" / "0",
        )

    monkeypatch.setattr(data, "reconstruct", reconstruct)
    outcome = veduta("fit", capture, "-o", tmp_path / "run", "--steps", "2", "--threads", "1", "--no-evaluate")
    assert outcome.code == 0
    assert "3 of 8 photographs have a pose (38 %): 72 points" in outcome.out
    assert "5 of 8 photographs have no pose (a.png, b.png, c.png and 2 more)" in outcome.out


def test_sfm_needs_photographs(veduta: Veduta, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    outcome = veduta("sfm", tmp_path / "nowhere")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {tmp_path / 'nowhere'}: no such folder")


def test_ctrl_c_anywhere_ends_without_a_traceback(veduta: Veduta, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor.Doctor, "run", interrupted)
    outcome = veduta("doctor")
    assert (outcome.code, outcome.err) == (130, "stopped\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from veduta.cli import main; sys.exit(main(['fit', '--help']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_traceback_can_be_asked_for(veduta: Veduta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDUTA_TRACEBACK", "1")
    outcome = veduta("eval", "nowhere")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert "error: nowhere: no such run or scene" in outcome.err
