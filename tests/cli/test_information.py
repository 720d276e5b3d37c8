"""How much is known, from the command line: what is written, what is kept, and what is refused in plain words."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData

from tests.cli.conftest import Veduta
from tests.cli.test_bad_input import told
from tests.cli.tiny import HEIGHT, WIDTH, tiny_cameras, tiny_scene
from veduta.core import Gaussians, Scene
from veduta.data import read_cameras
from veduta.io.information import read_information
from veduta.io.ply import read_ply, write_ply
from veduta.io.scenes import load_scene, save_scene


def maps_in(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Every NPZ of a folder of maps, by name."""
    found = {}
    for path in sorted((folder / "maps").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found[path.stem] = dict(arrays)
    return found


@pytest.fixture(scope="session")
def pristine_known(pristine_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose evidence was gathered, which nobody changes."""
    from veduta.cli import main

    folder = Path(shutil.copytree(pristine_run, tmp_path_factory.mktemp("known") / "run"))
    assert main(["gain", str(folder)]) == 0
    return folder


@pytest.fixture
def known(pristine_known: Path, tmp_path: Path) -> Path:
    """A run of one's own whose evidence was gathered."""
    return Path(shutil.copytree(pristine_known, tmp_path / "run"))


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A PLY of the Gaussians that the capture was drawn from."""
    write_ply(tiny_scene().background, tmp_path / "truth.ply")
    return tmp_path / "truth.ply"


def test_gain_leaves_numbers_pictures_and_a_film(veduta: Veduta, run: Path) -> None:
    outcome = veduta("gain", run)
    folder = run / "information" / "held-out"
    assert outcome.code == 0, outcome.err
    assert "evidence: gathered, 7 photographs" in outcome.out
    assert "sandwich posterior" in outcome.out
    for kind in ("gain", "std", "overlay"):
        assert [path.name for path in sorted((folder / kind).iterdir())] == ["000.png", "008.png"]
    assert (folder / "overlay.mp4").stat().st_size > 0
    maps = maps_in(folder)
    assert list(maps) == ["000", "008"]
    record = read_information(run)
    assert record is not None
    assert record.noise is not None
    assert record.posterior == "sandwich"
    most = 1.5 * math.log1p((record.noise.tau / record.noise.sigma) ** 2)
    for found in maps.values():
        assert found["gain"].shape == found["std"].shape == (HEIGHT, WIDTH)
        assert found["gain"].dtype == found["std"].dtype == np.float32
        assert found["color"].shape == (HEIGHT, WIDTH, 3)
        assert 0 <= found["gain"].min() <= found["gain"].max() <= most * (1 + 1e-5)
        assert np.isfinite(found["std"]).all()
    pose = tiny_cameras().world_from_camera[8].numpy()
    np.testing.assert_allclose(maps["008"]["world_from_camera"], pose, atol=1e-5)


def test_evidence_is_gathered_once_and_anew_for_another_scene(veduta: Veduta, known: Path) -> None:
    kept = known / "information" / "evidence.safetensors"
    before = kept.stat().st_mtime_ns
    assert "evidence: kept, 7 photographs" in veduta("gain", known, "--no-video").out
    assert kept.stat().st_mtime_ns == before
    scene = load_scene(known / "scene.safetensors")
    moved = scene.background.replace(means=scene.background.means + 0.01)
    save_scene(Scene(background=moved, sky=scene.sky), known / "scene.safetensors")
    outcome = veduta("gain", known, "--no-video")
    assert "gathered anew (the kept one cannot be used: evidence about another scene)" in outcome.out
    assert kept.stat().st_mtime_ns != before
    assert "evidence: kept" in veduta("gain", known, "--no-video").out


def test_evidence_of_other_photographs_and_broken_evidence_are_gathered_anew(
    veduta: Veduta, known: Path, capture: Path
) -> None:
    (capture / "images" / "003.png").write_bytes((capture / "images" / "004.png").read_bytes() + b"\0")
    outcome = veduta("gain", known, "--capture", capture, "--no-video")
    assert "gathered anew (the kept one is of other photographs, or drawn otherwise)" in outcome.out
    (known / "information" / "evidence.safetensors").write_bytes(b"nonsense")
    outcome = veduta("gain", known, "--no-video")
    assert outcome.code == 0
    assert "gathered anew (the kept one cannot be used: truncated, corrupt" in outcome.out


@pytest.mark.parametrize("posterior", ["sandwich", "block", "diagonal"])
def test_posteriors_can_be_chosen(posterior: str, veduta: Veduta, known: Path) -> None:
    assert f"{posterior} posterior" in veduta("gain", known, "--posterior", posterior, "--no-video").out


def test_gain_along_a_path_and_as_exr(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")
    options = ("--path", "lateral", "--right-m", "0.3", "--exr", "--no-video", "-o", tmp_path / "out")
    assert veduta("gain", known, *options).code == 0
    maps = maps_in(tmp_path / "out")
    assert len(maps) == 9
    assert not list(tmp_path.glob("out/*.mp4"))
    channels = OpenEXR.File(str(tmp_path / "out" / "maps" / "0004.exr")).channels()
    np.testing.assert_array_equal(channels["gain"].pixels, maps["0004"]["gain"])
    np.testing.assert_array_equal(channels["std"].pixels, maps["0004"]["std"])


def test_far_from_the_photographs_less_is_known(veduta: Veduta, known: Path) -> None:
    for path in ("train", "orbit"):
        assert veduta("gain", known, "--path", path, "--frames", "8", "--no-video").code == 0
    seen, around = (
        np.mean([found["gain"].mean() for found in maps_in(known / "information" / path).values()])
        for path in ("train", "orbit")
    )
    assert seen < around


def test_warp_only_raises_the_standard_deviation(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    assert veduta("gain", known, "--no-video", "-o", tmp_path / "plain").code == 0
    assert veduta("gain", known, "--no-video", "--warp", "-o", tmp_path / "warp").code == 0
    plain, warped = maps_in(tmp_path / "plain"), maps_in(tmp_path / "warp")
    for name, found in plain.items():
        np.testing.assert_array_equal(found["gain"], warped[name]["gain"])
        assert (warped[name]["std"] >= found["std"] * (1 - 1e-6)).all()
        assert (warped[name]["std"] > found["std"]).any()


def test_a_splat_of_any_trainer_needs_only_its_posed_photographs(
    veduta: Veduta, truth: Path, capture: Path, tmp_path: Path
) -> None:
    outcome = veduta("gain", "--splat", truth, "--capture", capture, "-o", tmp_path / "maps")
    assert outcome.code == 0, outcome.err
    assert len(maps_in(tmp_path / "maps")) == 2
    assert f"not calibrated: veduta calibrate {truth} --capture {capture} -o {tmp_path / 'maps'}\n" in outcome.out
    again = veduta("gain", "--splat", truth, "--capture", capture, "-o", tmp_path / "maps")
    assert "evidence: kept" in again.out


def test_missing_photographs_leave_the_block_and_assumed_noise(
    veduta: Veduta, truth: Path, capture: Path, tmp_path: Path
) -> None:
    shutil.rmtree(capture / "images")
    splat = ("--splat", truth, "--capture", capture, "-o", tmp_path / "maps", "--no-video")
    outcome = veduta("gain", *splat)
    assert outcome.code == 0, outcome.err
    assert "7 cameras without photographs (9 photographs are missing, 001.png first)" in outcome.out
    assert "block posterior; noise sigma 0.0300" in outcome.out
    assert "assumed, as there are no photographs to measure it on" in outcome.out
    assert told(veduta("gain", *splat, "--posterior", "sandwich"), tmp_path) == (
        "error: TMP/capture, field posterior: the sandwich posterior needs the photographs: "
        "expected block or diagonal, which need only cameras, got sandwich",
        "hint: Put the photographs back (9 are missing), or leave --posterior out.",
    )


def test_a_splat_without_its_capture_or_a_place_is_refused(veduta: Veduta, truth: Path, tmp_path: Path) -> None:
    assert told(veduta("gain", "--splat", truth, "-o", tmp_path / "maps"), tmp_path)[1] == "hint: Add --capture FOLDER."
    assert not (tmp_path / "maps").exists()


def test_a_splat_needs_a_folder_for_its_maps(veduta: Veduta, truth: Path, capture: Path, tmp_path: Path) -> None:
    assert told(veduta("gain", truth, "--capture", capture), tmp_path)[1] == "hint: Add -o FOLDER."


@pytest.mark.parametrize("both", [True, False])
def test_one_scene_is_asked_for(both: bool, veduta: Veduta, truth: Path, run: Path, tmp_path: Path) -> None:
    error, hint = told(veduta("gain", *((run, "--splat", truth) if both else ())), tmp_path)
    assert error.startswith("error: field splat: two scenes" if both else "error: field splat: no scene")
    assert hint.startswith("hint: veduta gain RUN")


def test_a_splat_elsewhere_is_refused(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    gaussians = tiny_scene().background
    write_ply(gaussians.replace(means=gaussians.means + 100), tmp_path / "far.ply")
    error, hint = told(
        veduta("gain", "--splat", tmp_path / "far.ply", "--capture", capture, "-o", tmp_path / "maps"), tmp_path
    )
    assert "none of the capture's cameras sees any of the scene" in error
    assert "in the capture's frame" in hint


def test_a_splat_of_something_else_is_refused(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    gaussians = tiny_scene().background
    write_ply(gaussians.replace(means=gaussians.means * -3, sh=-gaussians.sh), tmp_path / "other.ply")
    error, _ = told(
        veduta("gain", "--splat", tmp_path / "other.ply", "--capture", capture, "-o", tmp_path / "maps"), tmp_path
    )
    assert "the scene does not look like the photographs" in error


@pytest.mark.parametrize("verb", ["gain", "calibrate", "next-view", "trust"])
def test_a_scene_without_gaussians_is_refused(verb: str, veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    write_ply(Gaussians.empty(1), tmp_path / "empty.ply")
    place = (tmp_path / "out.ply",) if verb == "trust" else ("-o", tmp_path / "out.json")
    outcome = veduta(verb, tmp_path / "empty.ply", *place, "--capture", capture)
    assert told(outcome, tmp_path)[0].startswith("error: TMP/empty.ply: the scene has no Gaussians")


@pytest.mark.parametrize("verb", ["gain", "calibrate", "next-view", "trust"])
def test_parameters_that_are_not_finite_are_refused(verb: str, veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    gaussians = tiny_scene().background
    gaussians.means[3, 1] = torch.nan
    write_ply(gaussians, tmp_path / "nan.ply")
    place = (tmp_path / "out.ply",) if verb == "trust" else ("-o", tmp_path / "out.json")
    error = told(veduta(verb, tmp_path / "nan.ply", *place, "--capture", capture), tmp_path)[0]
    assert error.startswith("error: TMP/nan.ply")
    assert "finite" in error


def test_calibrate_finds_a_factor_that_gain_then_takes(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    assert veduta("gain", known, "--no-video", "-o", tmp_path / "before").code == 0
    outcome = veduta("calibrate", known)
    assert outcome.code == 0, outcome.err
    assert "evidence: kept" in outcome.out
    assert "AUSE" in outcome.out
    kept = json.loads((known / "information" / "calibration.json").read_text())
    assert f"standard deviations times {kept['scale']:.2f}" in outcome.out
    told_so = veduta("gain", known, "--no-video", "-o", tmp_path / "after")
    assert "(calibrated)" in told_so.out
    before, after = maps_in(tmp_path / "before"), maps_in(tmp_path / "after")
    for name, found in after.items():
        np.testing.assert_allclose(found["std"], before[name]["std"] * kept["scale"], rtol=1e-4)
        np.testing.assert_array_equal(found["gain"], before[name]["gain"])
        assert (found["error_std"] > found["std"]).all()
    assert "error_std" not in before["000"]
    assert "(calibrated)" not in veduta("gain", known, "--no-video", "--no-calibrated").out
    assert "(calibrated)" not in veduta("gain", known, "--no-video", "--posterior", "block").out, "of another kind"


def test_calibrate_leaves_what_the_report_shows(veduta: Veduta, known: Path) -> None:
    assert veduta("calibrate", known, "--warp").code == 0
    record = read_information(known)
    assert record is not None
    assert record.sparsification is not None
    assert record.reliability is not None
    assert record.maps is not None
    assert [curve.name for curve in record.sparsification.curves] == ["gain", "predicted std", "edges of the render"]
    assert record.sparsification.views == record.reliability.views == 2
    assert [view.name for view in record.maps.views] == ["000.png", "008.png"]
    for view in record.maps.views:
        assert view.photo is not None
        assert all((known / name).is_file() for name in (view.gain, view.render, view.photo))
    assert "one in 8 by sorted name" in record.protocol
    assert veduta("report", known).code == 0
    assert "(calibrated)" in veduta("gain", known, "--no-video", "--warp").out
    assert "(calibrated)" not in veduta("gain", known, "--no-video").out


def test_predicted_errors_are_learned_once_and_join_what_is_unknown(veduta: Veduta, known: Path) -> None:
    outcome = veduta("calibrate", known, "--errors")
    assert outcome.code == 0, outcome.err
    assert "predicted error" in outcome.out
    kept = known / "information" / "errors.safetensors"
    before = kept.stat().st_mtime_ns
    outcome = veduta("gain", known, "--errors", "--no-video")
    assert "(calibrated)" in outcome.out
    assert kept.stat().st_mtime_ns == before
    folder = known / "information" / "held-out"
    for found in maps_in(folder).values():
        assert (found["predicted_error"] >= 0).all()
        assert (found["error_std"] >= found["std"]).all()
    for name in ("predicted_error", "error_std"):
        assert [path.name for path in sorted((folder / name).iterdir())] == ["000.png", "008.png"]
    assert "(calibrated)" not in veduta("gain", known, "--no-video").out, "another way of predicting"
    kept.write_bytes(b"nonsense")
    assert veduta("gain", known, "--errors", "--no-video").code == 0
    assert kept.stat().st_size > 100


def test_errors_are_learned_from_photographs(veduta: Veduta, truth: Path, capture: Path, tmp_path: Path) -> None:
    shutil.rmtree(capture / "images")
    splat = ("--splat", truth, "--capture", capture, "-o", tmp_path / "maps")
    assert "errors are learned from photographs" in told(veduta("gain", *splat, "--errors"), tmp_path)[0]


def test_a_calibration_of_another_scene_is_not_taken(veduta: Veduta, known: Path) -> None:
    assert veduta("calibrate", known).code == 0
    scene = load_scene(known / "scene.safetensors")
    moved = scene.background.replace(means=scene.background.means + 0.01)
    save_scene(Scene(background=moved, sky=scene.sky), known / "scene.safetensors")
    outcome = veduta("gain", known, "--no-video")
    assert "(calibrated)" not in outcome.out
    assert f"not calibrated: veduta calibrate {known}\n" in outcome.out


def test_a_broken_calibration_is_told(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    assert veduta("calibrate", known).code == 0
    path = known / "information" / "calibration.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scale": -1}))
    assert "calibration.json: not a calibration" in told(veduta("gain", known), tmp_path)[0]


def test_a_splat_can_be_calibrated(veduta: Veduta, truth: Path, capture: Path, tmp_path: Path) -> None:
    splat = (truth, "--capture", capture, "-o", tmp_path / "maps")
    assert veduta("calibrate", *splat).code == 0
    assert "(calibrated)" in veduta("gain", *splat, "--no-video").out


def test_calibration_needs_photographs_that_were_held_out(
    veduta: Veduta, capture: Path, tmp_path: Path, truth: Path
) -> None:
    run = tmp_path / "run"
    assert veduta("fit", capture, "-o", run, "--steps", "2", "--test-every", "0", "--threads", "1").code == 0
    error, hint = told(veduta("calibrate", run), tmp_path)
    assert "no photographs are held out" in error
    assert "--test-every 8" in hint
    shutil.rmtree(capture / "images")
    error, _ = told(veduta("calibrate", truth, "--capture", capture), tmp_path)
    assert "calibration compares renders with photographs, which are missing" in error


def test_next_view_writes_cameras_that_other_verbs_read(veduta: Veduta, known: Path) -> None:
    outcome = veduta("next-view", known, "--candidates", "6", "--count", "3")
    assert outcome.code == 0, outcome.err
    plan = known / "information" / "next-view" / "transforms.json"
    frames = json.loads(plan.read_text())["frames"]
    gains = [frame["gain_nats"] for frame in frames]
    assert len(gains) == 3
    assert gains == sorted(gains, reverse=True)
    assert all(0 <= frame["gain_nats"] <= frame["gain_alone_nats"] * (1 + 1e-9) for frame in frames)
    names, cameras = read_cameras(plan)
    assert names == ["next/0000.jpg", "next/0001.jpg", "next/0002.jpg"]
    assert all((camera.width, camera.height) == (WIDTH, HEIGHT) for camera in cameras)
    assert veduta("gain", known, "--cameras", plan).code == 0
    assert list(maps_in(known / "information" / "next-view")) == ["next__0000", "next__0001", "next__0002"]


def test_next_view_ranks_given_cameras_by_their_names(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    plan, again = tmp_path / "plan.json", tmp_path / "again.json"
    assert veduta("next-view", known, "--candidates", "5", "--count", "4", "-o", plan).code == 0
    outcome = veduta("next-view", known, "--cameras", plan, "--count", "2", "-o", again)
    assert outcome.code == 0, outcome.err
    assert read_cameras(again)[0] == ["next/0000.jpg", "next/0001.jpg"]
    assert told(veduta("next-view", known, "--cameras", plan, "--count", "9", "-o", tmp_path / "c.json"), tmp_path)


def test_a_plan_is_replaced_only_when_asked_to(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("mine")
    plan = ("next-view", known, "--candidates", "2", "--count", "1", "-o", tmp_path / "plan.json")
    assert told(veduta(*plan), tmp_path) == (
        "error: TMP/plan.json: the file exists and is left as it is",
        "hint: Name another file, or replace it with --force.",
    )
    assert (tmp_path / "plan.json").read_text() == "mine"
    assert veduta(*plan, "--force").code == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("--count", "0"), "field count: a plan without cameras"),
        (("--candidates", "3"), "field candidates: fewer candidates than cameras to choose"),
        (("--cameras", "nowhere.json"), "nowhere.json: no such file"),
    ],
)
def test_bad_plans(settings: tuple[str, ...], said: str, veduta: Veduta, known: Path, tmp_path: Path) -> None:
    assert said in told(veduta("next-view", known, *settings), tmp_path)[0]


def test_a_plan_for_a_splat_needs_a_file(veduta: Veduta, truth: Path, capture: Path, tmp_path: Path) -> None:
    assert told(veduta("next-view", truth, "--capture", capture), tmp_path)[1] == "hint: Add -o FILE.json."


def test_trust_writes_what_every_gaussian_is_worth(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    outcome = veduta("trust", known, tmp_path / "out.ply")
    assert outcome.code == 0, outcome.err
    vertex = PlyData.read(tmp_path / "out.ply")["vertex"]
    confidence, cost = np.asarray(vertex["confidence"]), np.asarray(vertex["removal_cost"])
    scene = load_scene(known / "scene.safetensors").background
    assert len(confidence) == len(scene)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (cost >= 0).all()
    torch.testing.assert_close(read_ply(tmp_path / "out.ply").means, scene.means)
    assert "2 held-out photographs" in outcome.out
    assert "+0.00" in outcome.out


@pytest.mark.parametrize("by", ["cost", "confidence"])
def test_pruning_keeps_the_best(by: str, veduta: Veduta, known: Path, tmp_path: Path) -> None:
    assert veduta("trust", known, tmp_path / "all.ply").code == 0
    assert veduta("trust", known, tmp_path / "some.ply", "--keep", "0.5", "--by", by).code == 0
    name = {"cost": "removal_cost", "confidence": "confidence"}[by]
    whole, some = (np.asarray(PlyData.read(tmp_path / f"{n}.ply")["vertex"][name]) for n in ("all", "some"))
    assert len(some) == round(0.5 * len(whole))
    np.testing.assert_array_equal(np.sort(some), np.sort(whole)[-len(some) :])


def test_trust_replaces_a_file_only_when_asked_to(veduta: Veduta, known: Path, tmp_path: Path) -> None:
    (tmp_path / "out.ply").write_text("mine")
    assert "is left as it is" in told(veduta("trust", known, tmp_path / "out.ply"), tmp_path)[0]
    assert (tmp_path / "out.ply").read_text() == "mine"
    assert veduta("trust", known, tmp_path / "out.ply", "--force").code == 0


@pytest.mark.parametrize(
    ("words", "said"), [(("out.splat",), "only a PLY has properties"), (("out.ply", "--keep", "1.5"), "not a share")]
)
def test_bad_trust(words: tuple[str, ...], said: str, veduta: Veduta, known: Path, tmp_path: Path) -> None:
    outcome = veduta("trust", known, tmp_path / words[0], *words[1:])
    assert said in told(outcome, tmp_path)[0]
    assert not (tmp_path / words[0]).exists()


def test_trust_without_photographs_tells_no_psnr(veduta: Veduta, truth: Path, capture: Path, tmp_path: Path) -> None:
    shutil.rmtree(capture / "images")
    outcome = veduta("trust", truth, tmp_path / "out.ply", "--capture", capture)
    assert outcome.code == 0, outcome.err
    assert "PSNR" not in outcome.out
    assert "block posterior" in outcome.out
