"""Whatever is wrong with the input is told in one line and a hint, with exit code 2, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Outcome, Veduta
from tests.cli.tiny import tiny_scene
from veduta.io.images import write_png
from veduta.io.ply import write_ply
from veduta.io.tensors import load_tensors, save_tensors

Spoil = Callable[[Path], None]


def told(outcome: Outcome, tmp_path: Path) -> tuple[str, ...]:
    """What the user reads: an error of one line and, mostly, a hint of one line."""
    assert outcome.code == 2, outcome
    lines = outcome.err.replace(str(tmp_path), "TMP").splitlines()
    assert [line.partition(": ")[0] for line in lines] in (["error"], ["error", "hint"])
    return tuple(lines)


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace the first match in a text file."""
    changed, found = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert found
    path.write_text(changed)


def keep_images(capture: Path, count: int) -> None:
    """Leave so many photographs in the model: two lines of heading, then two each."""
    images = capture / "sparse" / "0" / "images.txt"
    images.write_text("\n".join(images.read_text().splitlines()[: 2 + 2 * count]) + "\n")


def missing_image(capture: Path) -> None:
    (capture / "images" / "003.png").unlink()


def unreadable_image(capture: Path) -> None:
    (capture / "images" / "003.png").write_bytes(b"not a picture at all")


def truncated_image(capture: Path) -> None:
    photo = capture / "images" / "003.png"
    photo.write_bytes(photo.read_bytes()[:-200])


def other_image_size(capture: Path) -> None:
    write_png(capture / "images" / "003.png", torch.zeros(10, 20, 3))


def nan_pose(capture: Path) -> None:
    edit(capture / "sparse" / "0" / "images.txt", r"^4 .*", "4 1 0 0 0 nan 0 2 1 003.png")


def zero_quaternion(capture: Path) -> None:
    edit(capture / "sparse" / "0" / "images.txt", r"^4 \S+ \S+ \S+ \S+", "4 0 0 0 0")


def zero_focal(capture: Path) -> None:
    edit(capture / "sparse" / "0" / "cameras.txt", "32 40.0", "32 0")


def negative_focal(capture: Path) -> None:
    edit(capture / "sparse" / "0" / "cameras.txt", "32 40.0", "32 -3.2")


def one_image(capture: Path) -> None:
    keep_images(capture, 1)


def empty_model(capture: Path) -> None:
    keep_images(capture, 0)


def photos_without_poses(capture: Path) -> None:
    for file in (capture / "sparse" / "0").iterdir():
        file.unlink()
    (capture / "sparse" / "0").rmdir()


def empty_folder(capture: Path) -> None:
    photos_without_poses(capture)
    for photo in (capture / "images").iterdir():
        photo.unlink()


def cut_json(capture: Path) -> None:
    photos_without_poses(capture)
    (capture / "transforms.json").write_text('{"fl_x": 20,\n "frames": [')


def unknown_photo_in_split(capture: Path) -> None:
    (capture / "splits.json").write_text('{"test": ["003.png", "nobody.png"]}')


BROKEN_CAPTURES: dict[Spoil, tuple[str, ...]] = {
    missing_image: (
        "error: TMP/capture/sparse/0: 1 of 9 photographs are missing: expected every photograph on disk, "
        "got no 003.png",
        "hint: Put the photographs back, or estimate poses again without them (veduta sfm).",
    ),
    unreadable_image: (
        "error: TMP/capture/images/003.png: cannot read the picture: expected an image (JPEG, PNG, WebP, "
        "TIFF, BMP or PPM), got cannot identify image file",
        "hint: Copy the file again from where it came, or leave it out.",
    ),
    truncated_image: (
        "error: TMP/capture/images/003.png: cannot read the picture: expected an image (JPEG, PNG, WebP, "
        "TIFF, BMP or PPM), got image file is truncated",
        "hint: Copy the file again from where it came, or leave it out.",
    ),
    other_image_size: (
        "error: TMP/capture/images/003.png: image size contradicts the model: expected 40 x 32 as in "
        "TMP/capture/sparse/0, got 20 x 10",
        "hint: Give the photographs that the model was made from; to fit at a lower resolution use max_size.",
    ),
    nan_pose: ("error: TMP/capture/sparse/0/images.txt:9, field pose: the pose is not finite: got 1 0 0 0 nan 0 2",),
    zero_quaternion: (
        "error: TMP/capture/sparse/0/images.txt:9, field quaternion: the pose is no rotation: expected a "
        "unit quaternion, got 0 0 0 0",
    ),
    zero_focal: (
        "error: TMP/capture/sparse/0/cameras.txt:2, field fx: impossible camera: expected a positive "
        "number of pixels, got 0.0",
    ),
    negative_focal: (
        "error: TMP/capture/sparse/0/cameras.txt:2, field fx: impossible camera: expected a positive "
        "number of pixels, got -3.2",
    ),
    one_image: (
        "error: TMP/capture/sparse/0: too few photographs: expected at least 2 with poses, got 1",
        "hint: Add photographs that overlap with these.",
    ),
    empty_model: (
        "error: TMP/capture/sparse/0: the model is empty: expected at least 2 photographs with poses, got none",
        "hint: Estimate poses again (veduta sfm), with more overlap between photographs.",
    ),
    photos_without_poses: (
        "error: TMP/capture: photographs without poses: expected a COLMAP model in sparse/0, or "
        "transforms.json, got 9 photographs",
        "hint: Estimate poses first: veduta sfm TMP/capture",
    ),
    empty_folder: (
        "error: TMP/capture: not a capture: expected sparse/0 (COLMAP), transforms.json, or photographs, "
        "got images, sparse",
        "hint: Give the folder that holds the photographs.",
    ),
    cut_json: (
        "error: TMP/capture/transforms.json:2: not valid JSON: expected JSON, got Expecting value",
        "hint: Correct the file.",
    ),
    unknown_photo_in_split: (
        "error: TMP/capture/splits.json, field test: 1 photographs that the capture does not have: "
        "expected names such as 000.png, 001.png, 002.png and 6 more, got nobody.png",
    ),
}


@pytest.mark.parametrize("spoil", list(BROKEN_CAPTURES), ids=lambda spoil: spoil.__name__)
def test_a_broken_capture(spoil: Spoil, veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    spoil(capture)
    before = sorted(path.relative_to(capture) for path in capture.rglob("*"))
    outcome = veduta("fit", capture, "-o", tmp_path / "run", "--steps", "3", "--threads", "1", "--no-sfm")
    assert told(outcome, tmp_path) == BROKEN_CAPTURES[spoil]
    assert not (tmp_path / "run" / "scene.safetensors").exists()
    assert sorted(path.relative_to(capture) for path in capture.rglob("*")) == before


BAD_SETTINGS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("--steps", "-1"): ("error: plan, field steps: setting out of range: expected at least 0, got -1",),
    ("--test-every", "1"): (
        "error: field test_every: nothing could be trained on: expected 0 (hold out nothing) or at least 2, got 1",
    ),
    ("--max-size", "0"): ("error: field max_size: an image without pixels: expected at least 1 px, got 0",),
    ("--masks", "nowhere"): ("error: nowhere, field masks: no such folder of masks: expected a folder",),
    ("--plan.sh-degree", "4"): ("error: plan, field sh_degree: setting out of range: expected between 0 and 3, got 4",),
    ("--plan.ssim-weight", "nan"): (
        "error: plan, field ssim_weight: setting out of range: expected between 0 and 1, got nan",
    ),
    ("--backend", "abacus"): (
        "error: field backend: no such backend: expected auto, reference, cpu, cuda, got 'abacus'",
    ),
    ("--threads", "0"): ("error: field threads: too few threads: expected at least 1, got 0",),
}


@pytest.mark.parametrize("settings", list(BAD_SETTINGS), ids=" ".join)
def test_a_bad_setting(settings: tuple[str, ...], veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    outcome = veduta("fit", capture, "-o", tmp_path / "run", *settings)
    assert told(outcome, tmp_path) == BAD_SETTINGS[settings]
    assert not (tmp_path / "run").exists()


def test_a_capture_that_is_not_there(veduta: Veduta, tmp_path: Path) -> None:
    outcome = veduta("fit", tmp_path / "nowhere", "-o", tmp_path / "run")
    assert told(outcome, tmp_path) == (
        "error: TMP/nowhere: no such capture: expected a folder, or a transforms.json",
        "hint: Check the spelling of the path.",
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_is_refused_with_the_nearest_known_one(veduta: Veduta, tmp_path: Path) -> None:
    outcome = veduta("fit", "photos", "-o", tmp_path / "run", "--stepz", "3")
    assert outcome.code == 2
    assert "Unrecognized options: --stepz" in outcome.err
    assert "--steps" in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("args", [("fot",), ("fit", "--preset", "sloppy"), ("fit",), ("export", "run")])
def test_a_command_line_that_makes_no_sense(args: tuple[str, ...], veduta: Veduta) -> None:
    outcome = veduta(*args)
    assert outcome.code == 2
    assert outcome.err
    assert "Traceback" not in outcome.err


BROKEN_PLYS: dict[str, tuple[tuple[bytes, bytes], int, tuple[str, ...]]] = {
    "corrupt header": (
        (b"format binary_little_endian", b"format binary_middle_endian"),
        0,
        (
            "error: TMP/scene.ply:2: corrupt header: expected format, element, property or comment, "
            "got 'format binary_middle_endian 1.0'",
            "hint: Copy the file again from where it came, or export it again.",
        ),
    ),
    "absurd count": (
        (b"element vertex 40", b"element vertex 4000000000"),
        0,
        (
            "error: TMP/scene.ply: truncated in element vertex: expected 4000000000 rows of 104 bytes, got 4160 bytes",
            "hint: Copy the file again from where it came, or export it again.",
        ),
    ),
    "truncated": (
        (b"", b""),
        100,
        (
            "error: TMP/scene.ply: truncated in element vertex: expected 40 rows of 104 bytes, got 4060 bytes",
            "hint: Copy the file again from where it came, or export it again.",
        ),
    ),
}


@pytest.mark.parametrize("case", list(BROKEN_PLYS))
def test_a_broken_ply(case: str, veduta: Veduta, tmp_path: Path) -> None:
    (old, new), cut, expected = BROKEN_PLYS[case]
    path = tmp_path / "scene.ply"
    write_ply(tiny_scene().background, path)
    data = path.read_bytes().replace(old, new, 1)
    path.write_bytes(data[: len(data) - cut])
    assert told(veduta("export", path, tmp_path / "out.splat"), tmp_path) == expected
    assert not (tmp_path / "out.splat").exists()


def test_a_run_is_never_overwritten(veduta: Veduta, run: Path, capture: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert told(veduta("fit", capture, "-o", run), tmp_path) == (
        "error: TMP/run: there is a run already",
        "hint: Continue it with --resume, or choose another folder.",
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_things_is_never_written_into(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    for verb in (("fit", capture), ("demo",)):
        outcome = veduta(*verb, "-o", tmp_path / "mine")
        assert told(outcome, tmp_path)[0].startswith("error: TMP/mine: the folder is not empty")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_exported_file_is_replaced_only_when_asked_to(veduta: Veduta, run: Path, tmp_path: Path) -> None:
    target = tmp_path / "scene.ply"
    target.write_text("mine")
    assert told(veduta("export", run, target), tmp_path) == (
        "error: TMP/scene.ply: the file exists and is left as it is",
        "hint: Name another file, or replace it with --force.",
    )
    assert target.read_text() == "mine"
    assert veduta("export", run, target, "--force").code == 0
    assert target.read_bytes().startswith(b"ply")


FAILING_DISKS = {
    errno.ENOSPC: (
        "error: TMP/scene.ply: cannot write: No space left on device",
        "hint: The disk is full: free some space or write to another place.",
    ),
    errno.EROFS: (
        "error: TMP/scene.ply: cannot write: Read-only file system",
        "hint: This place is read-only: write to another place.",
    ),
    errno.EACCES: (
        "error: TMP/scene.ply: cannot write: Permission denied",
        "hint: You may not write here: change the permissions or write to another place.",
    ),
}


@pytest.mark.parametrize("code", list(FAILING_DISKS), ids=lambda code: errno.errorcode[code])
def test_a_disk_that_cannot_be_written(
    code: int, veduta: Veduta, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "scene.ply"
    target.write_text("mine")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    outcome = veduta("export", run, target, "--force")
    monkeypatch.undo()
    assert told(outcome, tmp_path) == FAILING_DISKS[code]
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "scene.ply"]


def test_a_folder_in_a_place_that_is_a_file(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = veduta("fit", capture, "-o", tmp_path / "file" / "run", "--steps", "2")
    assert told(outcome, tmp_path)[0] == "error: TMP/file/run/run.json: cannot write: Not a directory"
    assert (tmp_path / "file").read_text() == "mine"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_during_a_fit(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with files_of_at_most(10_000):
        outcome = veduta("fit", capture, "-o", run, "--steps", "4", "--threads", "1")
    assert told(outcome, tmp_path) == (
        "error: TMP/run/checkpoints/step_0000001.safetensors: cannot write: File too large",
        "hint: The file is larger than this place allows: write to another place.",
    )
    assert list((run / "checkpoints").iterdir()) == []
    assert veduta("fit", capture, "-o", run, "--threads", "1", "--resume").code == 0
    assert (run / "scene.safetensors").is_file()


def test_a_checkpoint_of_another_schema(veduta: Veduta, capture: Path, run: Path, tmp_path: Path) -> None:
    checkpoint = next((run / "checkpoints").iterdir())
    tensors, metadata = load_tensors(checkpoint)
    save_tensors(checkpoint, tensors, metadata={**metadata, "schema": "99"})
    before = checkpoint.read_bytes()
    assert told(veduta("fit", capture, "-o", run, "--resume"), tmp_path) == (
        f"error: TMP/run/checkpoints/{checkpoint.name}, field schema: "
        "the checkpoint was written by another version of veduta: expected 1, got 99",
        "hint: Resume with the version that wrote it, or fit again into a new folder.",
    )
    assert checkpoint.read_bytes() == before


def test_a_run_of_another_schema(veduta: Veduta, run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"schema_version": 99}))
    error, hint = told(veduta("eval", run), tmp_path)
    assert error == (
        "error: TMP/run/run.json, field schema_version: the run was written by another version of veduta: "
        "expected 1, got 99"
    )
    assert hint.startswith("hint: Use version ")


def test_a_run_whose_capture_has_changed(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert veduta("fit", capture, "-o", run, "--steps", "2", "--threads", "1", "--no-evaluate").code == 0
    edit(capture / "sparse" / "0" / "cameras.txt", "32 40.0 40.0", "32 44.0 44.0")
    error, hint = told(veduta("eval", run), tmp_path)
    assert error.startswith("error: TMP/capture: the capture is not as it was for the fit")
    assert "--capture" in hint
    assert veduta("eval", run, "--capture", capture).code == 0


def test_a_scene_from_a_file_has_no_capture(veduta: Veduta, tmp_path: Path) -> None:
    write_ply(tiny_scene().background, tmp_path / "scene.ply")
    assert told(veduta("eval", tmp_path / "scene.ply"), tmp_path)[1] == "hint: Add --capture FOLDER."
    assert told(veduta("render", tmp_path / "scene.ply"), tmp_path)[1] == "hint: Add -o FOLDER."


def test_a_path_that_is_no_scene(veduta: Veduta, capture: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", capture, capture / "splits.txt"):
        for verb in ("eval", "render", "view", "report"):
            outcome = veduta(verb, path)
            assert told(outcome, tmp_path)[0].startswith(f"error: TMP/{path.relative_to(tmp_path)}: n")
