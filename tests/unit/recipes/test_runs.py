"""Runs are opened as they were made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tiny import tiny_cameras, write_capture
from veduta.core import InputError, UnsupportedError
from veduta.data import open_capture, write_cameras
from veduta.fit import Event, FitPlan, Started
from veduta.recipes.captures import CaptureOptions, names_of, split_rule
from veduta.recipes.fitting import fit_capture, stored_settings
from veduta.recipes.presets import PRESETS
from veduta.recipes.runs import open_run


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("runs") / "capture")


def fitted(capture: Path, out: Path, **changes: Any) -> list[Event]:
    """A fit of two steps; its events."""
    options = CaptureOptions(test_every=4, max_size=30)
    events: list[Event] = []
    arguments: dict[str, Any] = {"threads": 1, "on_event": events.append, **changes}
    plan = FitPlan(steps=2, antialias=True)
    fit_capture(options.open(capture), plan, out=out, options=options, **arguments)
    return events


def test_a_run_knows_how_it_was_made(capture: Path, tmp_path: Path) -> None:
    events = fitted(capture, tmp_path / "run")
    assert isinstance(events[0], Started)
    run = open_run(tmp_path / "run")
    assert run.options == CaptureOptions(test_every=4, max_size=30)
    assert run.plan == FitPlan(steps=2, antialias=True)
    assert run.raster.antialias
    assert run.has_capture
    again = run.open_capture()
    assert names_of(again.test) == ("000.png", "004.png", "008.png")
    assert again.test[0].cameras.width == 30
    assert stored_settings(tmp_path / "run") == (run.plan, run.options)


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"backend": "abacus"}, "no such backend"), ({"threads": 0}, "too few threads")],
)
def test_what_cannot_work_leaves_no_folder(changes: dict[str, Any], error: str, capture: Path, tmp_path: Path) -> None:
    with pytest.raises((InputError, UnsupportedError), match=error):
        fitted(capture, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_says_how_to_finish_it(capture: Path, tmp_path: Path) -> None:
    fitted(capture, tmp_path / "run")
    (tmp_path / "run" / "scene.safetensors").unlink()
    with pytest.raises(InputError, match="not finished") as caught:
        open_run(tmp_path / "run")
    assert "--resume" in (caught.value.hint or "")


def write_poses(file: Path) -> Path:
    """The tiny capture's cameras in a file of their own split: the first four held out."""
    cameras = tiny_cameras()
    paths = [f"images/{i:03d}.png" for i in range(len(cameras))]
    write_cameras(file, [cameras[i] for i in range(len(cameras))], names=paths)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"train_filenames": paths[4:], "test_filenames": paths[:4]}))
    return file


@pytest.mark.parametrize("name", ["transforms.json", "poses.json"])
def test_a_run_of_a_file_opens_that_file_again(name: str, tmp_path: Path) -> None:
    """Also beside a COLMAP model, which the folder alone would be read by."""
    folder = write_capture(tmp_path / "capture")
    file = write_poses(folder / name)
    fitted(file, tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.source == file
    assert names_of(run.open_capture().test) == ("000.png", "001.png", "002.png", "003.png")
    (tmp_path / "run" / "scene.safetensors").unlink()
    with pytest.raises(InputError, match="not finished") as caught:
        open_run(tmp_path / "run")
    assert f"veduta fit {file} -o" in (caught.value.hint or "")


def test_a_link_to_a_file_is_kept_since_photographs_lie_beside_the_link(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture")
    write_poses(folder / "transforms.json").rename(tmp_path / "kept.json")
    (folder / "transforms.json").symlink_to(tmp_path / "kept.json")
    fitted(folder / "transforms.json", tmp_path / "run")
    assert len(open_run(tmp_path / "run").open_capture().test) == 4


def test_a_run_that_recorded_the_folder_of_its_file_still_opens_it(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture")
    file = write_poses(folder / "transforms.json")
    shutil.rmtree(folder / "sparse")
    fitted(file, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"capture": str(folder)}))
    assert len(open_run(tmp_path / "run").open_capture().test) == 4


def test_a_capture_that_is_gone_is_told(capture: Path, tmp_path: Path) -> None:
    moved = write_capture(tmp_path / "capture")
    fitted(moved, tmp_path / "run")
    moved.rename(tmp_path / "elsewhere")
    run = open_run(tmp_path / "run")
    assert not run.has_capture
    with pytest.raises(InputError, match="is gone"):
        run.open_capture()
    assert len(run.open_capture(tmp_path / "elsewhere").test) == 3


@pytest.mark.parametrize("content", ['{"test_every": "eight"}', '{"max_size": 1.5}', '{"masks": 3}', "[]", "{"])
def test_corrupt_options_are_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "capture.json").write_text(content)
    with pytest.raises(InputError, match=r"capture\.json"):
        CaptureOptions.load(tmp_path)


@pytest.mark.parametrize(
    "options", [CaptureOptions(), CaptureOptions(test_every=0, max_size=7, masks=Path("/masks"))], ids=str
)
def test_options_survive_the_disk(options: CaptureOptions, tmp_path: Path) -> None:
    options.save(tmp_path)
    assert CaptureOptions.load(tmp_path) == options


def test_a_run_from_elsewhere_has_default_options(tmp_path: Path) -> None:
    assert CaptureOptions.load(tmp_path) == CaptureOptions()


def in_splits_json(folder: Path) -> CaptureOptions:
    (folder / "splits.json").write_text(json.dumps({"test": ["003.png"]}))
    return CaptureOptions()


SPLITS: dict[Callable[[Path], CaptureOptions], str] = {
    lambda _: CaptureOptions(): "2 of 9 photographs were held out (one in 8 by sorted name, the first included).",
    lambda _: CaptureOptions(test_every=3, max_size=20): (
        "3 of 9 photographs were held out (one in 3 by sorted name, the first included). "
        "Photographs were reduced to at most 20 pixels."
    ),
    in_splits_json: "1 of 9 photographs were held out (splits.json of the capture).",
}


@pytest.mark.parametrize("make", list(SPLITS))
def test_the_split_is_told_in_words(make: Callable[[Path], CaptureOptions], tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture")
    options = make(folder)
    assert split_rule(options.open(folder), options, "test") == SPLITS[make]


def test_the_numbers_of_training_views_are_told_apart(capture: Path) -> None:
    assert "the numbers are of the 7 others" in split_rule(open_capture(capture), CaptureOptions(), "train")


def test_presets_differ_from_each_other_and_are_complete() -> None:
    assert PRESETS["default"] == FitPlan()
    assert len({plan.steps for plan in PRESETS.values()}) == len(PRESETS) == 3
    assert all(len(fields(plan)) == len(fields(FitPlan)) for plan in PRESETS.values())
