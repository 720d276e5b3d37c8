"""``veduta predict``: photographs in, Gaussians in the capture's frame out; every mistake told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Veduta
from tests.cli.tiny import tiny_cameras
from veduta.feedforward import Compatibility
from veduta.feedforward import coarse as intakes
from veduta.feedforward.checkpoints import import_checkpoint
from veduta.feedforward.published import PUBLISHED, to_published
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan, small_object_model
from veduta.feedforward.small_weights import small_weights
from veduta.geometry import project
from veduta.io.images import read_image, write_png
from veduta.io.ply import read_ply
from veduta.io.tensors import save_tensors
from veduta.io.weights import save_weights
from veduta.recipes import predict as recipe
from veduta.render import rasterize


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small object model that has learned nothing."""
    coarse = SmallPlan(size_px=32, voxels=8, image_channels=8, channels=16, blocks=1)
    densifier = SmallDensifierPlan(budget=20, width=16, map_channels=8, asked=8)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, small_weights(small_object_model(coarse, densifier), coarse, densifier))
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MVSplat that has learned nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mvsplat")
    state = to_published("mvsplat", PUBLISHED["mvsplat"].build(Compatibility()).state_dict())
    torch.save({"state_dict": state}, folder / "x.ckpt")
    return import_checkpoint(folder / "x.ckpt", folder).path


def test_an_object_before_a_plain_background(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ply"
    done = veduta("predict", capture, "-o", out, "--model", objects, "--guess-masks", "--views", "3")
    assert done.code == 0, done.err
    assert "told from the background by the colour" in done.out
    assert "3 photographs, 32 x 32 pixels" in done.out
    gaussians = read_ply(out)
    assert len(gaussians) > 20 * 4
    px, depth = project(gaussians.means, tiny_cameras())
    seen = (depth > 0) & (px[..., 0] > -10) & (px[..., 0] < 50) & (px[..., 1] > -10) & (px[..., 1] < 42)
    assert float(seen.float().mean()) > 0.8, "in the capture's frame, before its cameras"
    drawn = rasterize(gaussians, tiny_cameras(2))
    assert float(drawn.alpha.amax()) > 0.2
    again = veduta("predict", capture, "-o", out, "--model", objects, "--guess-masks")
    assert again.code == 2
    assert "exists" in again.err


def test_a_picture_to_look_at(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    arguments = ("predict", capture, "--model", objects, "--guess-masks", "--views", "3")
    done = veduta(*arguments, "-o", tmp_path / "out.ply", "--picture", picture)
    assert done.code == 0, done.err
    rgb, _ = read_image(picture)
    assert rgb.shape == (3 * 32 + 2 * 4, 3 * 32 + 2 * 4, 3)
    shown, again, between = (rgb[first : first + 32, :32] for first in (0, 36, 72))
    assert all(float(one.std()) > 0.01 for one in (shown, again, between))
    assert float(rgb[72:, 72:].min()) == 1, "there is one view less between them"
    other = veduta(*arguments, "-o", tmp_path / "other.ply", "--picture", picture)
    assert other.code == 2
    assert "out.png" in other.err
    assert not (tmp_path / "other.ply").exists()
    assert veduta(*arguments, "-o", tmp_path / "other.ply", "--picture", tmp_path / "x.jpg").code == 2


def test_refinement_starts_from_the_prediction(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    arguments = ("predict", capture, "--model", objects, "--guess-masks", "--threads", "1")
    assert veduta(*arguments, "-o", tmp_path / "plain.ply").code == 0
    done = veduta(*arguments, "-o", tmp_path / "fine.ply", "--refine", "3")
    assert done.code == 0, done.err
    plain, fine = read_ply(tmp_path / "plain.ply"), read_ply(tmp_path / "fine.ply")
    assert float(torch.cdist(fine.means, plain.means).amin(dim=1).max()) < 0.3
    assert not torch.equal(fine.means[: len(plain)], plain.means)


def test_steps_that_cannot_be_are_refused_before_the_model_runs(
    veduta: Veduta, capture: Path, tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("veduta.cli.predict.open_model", opened.append)
    for steps in ("0", "-1"):
        done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", objects, "--refine", steps)
        assert done.code == 2
        assert f"field refine: too few steps: expected at least 1, got {steps}" in done.err
    assert opened == []


def test_a_folder_that_is_no_run_names_both_kinds_of_runs(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", capture)
    assert done.code == 2
    assert "`veduta fit` or `veduta train`" in done.err


def test_a_scene(veduta: Veduta, capture: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "USUAL_SIDE_PX", 64)
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", scenes)
    assert done.code == 0, done.err
    assert "2 photographs, 64 x 64 pixels" in done.out
    gaussians = read_ply(tmp_path / "out.ply")
    assert len(gaussians) == 2 * 64 * 64
    ahead = project(gaussians.means, tiny_cameras())[1].amax(dim=0)
    assert float((ahead > 0).float().mean()) > 0.99


def test_masked_pixels_of_a_scene_become_nothing(
    veduta: Veduta, capture: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intakes, "USUAL_SIDE_PX", 64)
    mask = torch.ones(32, 40, 3)
    mask[8:24, 4:20] = 0  # the left half of the middle square, of half its height
    for photograph in (capture / "images").iterdir():
        write_png(capture / "masks" / photograph.name, mask)
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", scenes)
    assert done.code == 0, done.err
    assert "25.0% of the photographs' pixels are masked" in done.out
    assert len(read_ply(tmp_path / "out.ply")) == 2 * 64 * 64 * 3 / 4
    for photograph in (capture / "images").iterdir():
        write_png(capture / "masks" / photograph.name, torch.zeros(32, 40, 3))
    none = veduta("predict", capture, "-o", tmp_path / "none.ply", "--model", scenes)
    assert none.code == 2
    assert "nothing is to be seen" in none.err


def test_no_outline_of_the_object(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", objects)
    assert done.code == 2
    assert "no outline of the object" in done.err
    assert "--guess-masks" in done.err


def test_no_poses(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    shutil.rmtree(capture / "sparse")
    done = veduta("predict", capture / "images", "-o", tmp_path / "out.ply", "--model", objects, "--no-sfm")
    assert done.code == 2
    assert "pose" in done.err


def test_one_photograph_and_too_many(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ply"
    one = veduta("predict", capture, "-o", out, "--model", objects, "--guess-masks", "--views", "1")
    assert one.code == 2
    assert "2 or more photographs, got 1" in one.err
    assert "hint: say how many photographs to use with --views" in one.err
    many = veduta("predict", capture, "-o", out, "--model", objects, "--guess-masks", "--views", "50")
    assert many.code == 2
    assert "too few photographs" in many.err


def test_photographs_that_are_too_small(veduta: Veduta, capture: Path, scenes: Path, tmp_path: Path) -> None:
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", scenes)
    assert done.code == 2
    assert "too small for the model" in done.err


def test_a_shape_far_from_square(
    veduta: Veduta, capture: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "LEAST_KEPT", 0.9)
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", scenes)
    assert done.code == 2
    assert "40 x 32 pixels, of which 80% would be kept" in done.err


def test_weights_of_another_model(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out.ply", tmp_path / "scene.safetensors"
    save_tensors(other, {"means": torch.zeros(3)})
    for model, said in (
        (other, "not a file of weights"),
        (tmp_path / "none.safetensors", "no such model"),
        ("scene", "no scene model comes with veduta"),
    ):
        done = veduta("predict", capture, "-o", out, "--model", model)
        assert done.code == 2
        assert said in done.err
    (tmp_path / "epoch=49.ckpt").write_bytes(b"")
    done = veduta("predict", capture, "-o", out, "--model", tmp_path / "epoch=49.ckpt")
    assert done.code == 2
    assert "veduta weights import" in done.err


def test_not_enough_memory_is_told_before_anything_is_done(
    veduta: Veduta, capture: Path, objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 200000 kB\nMemAvailable: 100000 kB\n")
    monkeypatch.setattr(recipe, "MEMORY_FILE", tmp_path / "meminfo")
    done = veduta("predict", capture, "-o", tmp_path / "out.ply", "--model", objects)
    assert done.code == 2
    assert "not enough memory for the model" in done.err
    assert "0.1 GB" in done.err
    for text in ("", "MemTotal: 3 kB\n"):
        (tmp_path / "meminfo").write_text(text)
        assert recipe.available_bytes() is None
    monkeypatch.setattr(recipe, "MEMORY_FILE", tmp_path / "nothing")
    assert recipe.available_bytes() is None


def test_a_name_that_cannot_be_written(veduta: Veduta, capture: Path, objects: Path, tmp_path: Path) -> None:
    done = veduta("predict", capture, "-o", tmp_path / "out.obj", "--model", objects)
    assert done.code == 2
    assert "no such kind of file" in done.err
