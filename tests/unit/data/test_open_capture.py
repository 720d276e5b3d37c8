from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from veduta.core import InputError
from veduta.data import READERS, Reader, open_capture
from veduta.data.photos import find_photos, photo_folder
from veduta.io.images import write_png

from .conftest import picture


def photos(folder: Path, count: int) -> Path:
    for i in range(count):
        write_png(folder / f"{i}.png", picture(i))
    return folder


def test_every_reader_fits_the_protocol() -> None:
    assert all(isinstance(reader, Reader) for reader in READERS.values())


def test_a_model_wins_over_transforms_and_both_over_bare_photographs(
    colmap_capture: Callable[..., Path], transforms_capture: Callable[..., Path]
) -> None:
    colmap, transforms = colmap_capture(), transforms_capture()
    recognised = {name: (r.recognises(colmap), r.recognises(transforms)) for name, r in READERS.items()}
    assert recognised == {"colmap": (True, False), "transforms": (False, True), "photos": (True, True)}
    (transforms / "transforms.json").rename(colmap / "transforms.json")
    assert open_capture(colmap).points is not None


@pytest.mark.parametrize(
    ("make", "problem", "got"),
    [
        (lambda folder: folder / "nowhere", "no such capture", None),
        (lambda folder: folder, "not a capture", "an empty folder"),
        (lambda folder: (folder / "a.txt", (folder / "a.txt").write_text("?"))[0], "not a capture", "a file"),
        (lambda folder: photos(folder / "one", 1), "too few photographs", "1"),
        (lambda folder: photos(folder / "few", 5), "photographs without poses", "5 photographs"),
        (lambda folder: photos(folder / "in" / "images", 5).parent, "photographs without poses", "5 photographs"),
    ],
)
def test_what_is_no_capture_is_told_apart(
    tmp_path: Path, make: Callable[[Path], Path], problem: str, got: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        open_capture(make(tmp_path))
    assert (caught.value.problem, caught.value.got) == (problem, got)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [("clip.MP4", "ffmpeg -i VIDEO"), ("IMG_1.HEIC", "to JPEG or PNG"), ("notes.txt", "the folder that holds")],
)
def test_what_holds_photographs_of_another_kind_gets_another_hint(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).write_bytes(b"?")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match="not a capture") as caught:
            open_capture(path)
        assert hint in (caught.value.hint or "")


def test_photographs_without_poses_say_which_command_helps(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_capture(photos(tmp_path, 3))
    assert f"veduta sfm {tmp_path}" in (caught.value.hint or "")


def test_photographs_are_found_one_folder_deep_and_nothing_else(tmp_path: Path) -> None:
    photos(tmp_path / "b", 2)
    photos(tmp_path / "a", 1)
    photos(tmp_path / ".hidden", 1)
    photos(tmp_path / "masks", 1)
    (tmp_path / "notes.txt").write_text("no picture")
    assert photo_folder(tmp_path) == tmp_path
    assert find_photos(tmp_path) == ["a/0.png", "b/0.png", "b/1.png"]
    photos(tmp_path / "images", 1)
    assert find_photos(tmp_path) == ["0.png"]


def test_photographs_in_folders_are_found_beside_others(tmp_path: Path) -> None:
    photos(tmp_path / "images" / "cam1", 2)
    photos(tmp_path / "images" / "cam0", 1)
    photos(tmp_path / "images" / "masks", 1)
    photos(tmp_path / "images", 1)
    assert find_photos(tmp_path) == ["0.png", "cam0/0.png", "cam1/0.png", "cam1/1.png"]
    with pytest.raises(InputError, match="got 4 photographs"):
        open_capture(tmp_path)
