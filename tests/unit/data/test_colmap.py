from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from veduta.core import Cameras, InputError, UnsupportedError
from veduta.data import open_capture
from veduta.io.colmap import write_model
from veduta.io.images import write_jpeg, write_png

from .conftest import HEIGHT, WIDTH, colmap_model, picture, ring, world_points

Make = Callable[..., Path]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("images", ["images", "input", "."])
def test_a_capture_is_read_as_it_was_written(
    colmap_capture: Make, ring_cameras: Cameras, binary: bool, images: str
) -> None:
    capture = open_capture(colmap_capture(binary=binary, images=images))
    cameras = capture.cameras["camera"]
    assert torch.allclose(cameras.world_from_camera.double(), ring_cameras.world_from_camera, atol=1e-6)
    assert torch.allclose(cameras.intrinsics.double(), ring_cameras.intrinsics)
    assert (cameras.width, cameras.height) == (WIDTH, HEIGHT)
    assert capture.points is not None
    assert torch.allclose(capture.points.xyz.double(), world_points(), atol=1e-6)
    assert torch.allclose(capture.points.rgb, torch.tensor(0.2))
    assert torch.allclose(capture.up, torch.tensor([0.0, -1.0, 0.0]), atol=1e-5)
    assert (len(capture.train), len(capture.test)) == (7, 2)
    assert not capture.metric


def test_lengths_are_metres_where_a_file_beside_the_model_says_so(colmap_capture: Make) -> None:
    folder = colmap_capture()
    (folder / "units.json").write_text('{"metric": true}')
    assert open_capture(folder).metric
    (folder / "units.json").write_text('{"metric": 1}')
    with pytest.raises(InputError, match=r"units.json, field metric: neither true nor false: .* got 1"):
        open_capture(folder)


def test_the_folder_of_images_stands_for_its_capture(colmap_capture: Make) -> None:
    folder = colmap_capture()
    assert open_capture(folder / "images").source == folder


def test_the_model_with_the_most_photographs_is_read(colmap_capture: Make) -> None:
    folder = colmap_capture(4)
    write_model(colmap_model(ring(9)), folder / "sparse" / "1")
    for i in range(4, 9):
        write_png(folder / "images" / f"{i:03d}.png", picture(i))
    assert len(open_capture(folder).cameras["camera"]) == 9


def test_a_model_right_in_sparse_is_read(colmap_capture: Make) -> None:
    folder = colmap_capture()
    for file in (folder / "sparse" / "0").iterdir():
        file.rename(folder / "sparse" / file.name)
    assert len(open_capture(folder).train) == 7


def test_a_model_without_points_or_tracks_is_read(colmap_capture: Make) -> None:
    capture = open_capture(colmap_capture(points=0))
    assert capture.points is None
    assert capture.train.sparse_depth(0) is None  # type: ignore[attr-defined]


def test_folders_of_photographs_are_sensors(tmp_path: Path) -> None:
    model = colmap_model(ring(6))
    for i, image in model.images.items():
        object.__setattr__(image, "name", f"{'front' if i <= 3 else 'left'}/{image.name}")
        write_png(tmp_path / "images" / image.name, picture(i))
    write_model(model, tmp_path / "sparse" / "0")
    capture = open_capture(tmp_path)
    assert {name: len(cameras) for name, cameras in capture.cameras.items()} == {"front": 3, "left": 3}


@pytest.mark.parametrize(
    ("model", "params", "lens"),
    [
        ("SIMPLE_PINHOLE", (20.0, 12.0, 8.0), False),
        ("SIMPLE_RADIAL", (20.0, 12.0, 8.0, 0.0), False),
        ("SIMPLE_RADIAL", (20.0, 12.0, 8.0, -0.1), True),
        ("RADIAL", (20.0, 12.0, 8.0, -0.1, 0.01), True),
        ("OPENCV", (20.0, 20.0, 12.0, 8.0, -0.1, 0.01, 0.001, 0.001), True),
        ("FULL_OPENCV", (20.0, 20.0, 12.0, 8.0, -0.1, 0.01, 0.001, 0.001, 0.0, 0.01, 0.0, 0.0), True),
        ("OPENCV_FISHEYE", (20.0, 20.0, 12.0, 8.0, 0.01, 0.0, 0.0, 0.0), True),
        ("SIMPLE_RADIAL_FISHEYE", (20.0, 12.0, 8.0, 0.01), True),
        ("FISHEYE", (20.0, 20.0, 12.0, 8.0), True),
    ],
)
def test_every_lens_becomes_a_pinhole(colmap_capture: Make, model: str, params: tuple[float, ...], lens: bool) -> None:
    view = open_capture(colmap_capture(model=model, params=params)).train[0]
    assert view.cameras.lens is None
    assert float(view.cameras.intrinsics[0, 0, 0]) == 20
    if not lens:
        assert torch.allclose(view.rgb[0], picture(1), atol=0.51 / 255)


def error_of(folder: Path, **options: object) -> InputError:
    with pytest.raises(InputError) as caught:
        open_capture(folder, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.line()
    return caught.value


def test_missing_photographs_are_counted_and_named(colmap_capture: Make) -> None:
    folder = colmap_capture()
    for i in range(2, 7):
        (folder / "images" / f"{i:03d}.png").unlink()
    error = error_of(folder)
    assert error.problem == "5 of 9 photographs are missing"
    assert error.got == "no 002.png, 003.png, 004.png and 2 more"
    assert error.hint is not None
    for file in (folder / "images").iterdir():
        file.unlink()
    assert error_of(folder).expected == f"them in {folder / 'images'}"


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_an_unreadable_photograph_is_found_on_opening(colmap_capture: Make, content: bytes) -> None:
    folder = colmap_capture()
    (folder / "images" / "003.png").write_bytes(content)
    error = error_of(folder)
    assert error.where == str(folder / "images" / "003.png")
    assert error.problem == "cannot read the picture"


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_photograph_is_found_on_opening(colmap_capture: Make, tmp_path: Path, suffix: str) -> None:
    model = colmap_model(ring())
    for i, image in model.images.items():
        object.__setattr__(image, "name", f"{i}.{suffix}")
        (write_png if suffix == "png" else write_jpeg)(tmp_path / "images" / image.name, picture(i))
    write_model(model, tmp_path / "sparse" / "0")
    open_capture(tmp_path)
    file = tmp_path / "images" / f"4.{suffix}"
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 4])
    error = error_of(tmp_path)
    assert error.where == str(file)
    assert error.problem == "cannot read the picture"


def test_a_picture_of_another_size_is_named_with_both_sizes(colmap_capture: Make) -> None:
    folder = colmap_capture()
    write_png(folder / "images" / "001.png", picture(1, 12, 8))
    error = error_of(folder)
    assert (error.problem, error.got) == ("image size contradicts the model", "12 x 8")
    assert error.expected == f"24 x 16 as in {folder / 'sparse' / '0'}"
    assert "max_size" in (error.hint or "")
    write_png(folder / "images" / "001.png", picture(1, HEIGHT, WIDTH))
    assert "turned" in (error_of(folder).hint or "")


@pytest.mark.parametrize(("count", "problem"), [(0, "the model is empty"), (1, "too few photographs")])
def test_fewer_than_two_photographs_are_refused(colmap_capture: Make, count: int, problem: str) -> None:
    error = error_of(colmap_capture(count))
    assert error.problem == problem
    assert "at least 2" in (error.expected or "")


def rewritten(folder: Path, file: str, old: str, new: str) -> Path:
    path = folder / "sparse" / "0" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("cameras.txt", "PINHOLE 24 16 20", "PINHOLE 24 16 -20", "fx"),
        ("cameras.txt", "PINHOLE 24 16 20", "PINHOLE 24 16 0", "fx"),
        ("cameras.txt", "PINHOLE 24 16 20.0", "PINHOLE 24 16 nan", "fx"),
    ],
)
def test_a_focal_length_that_no_lens_has_is_named(
    colmap_capture: Make, file: str, old: str, new: str, field: str
) -> None:
    error = error_of(rewritten(colmap_capture(binary=False), file, old, new))
    assert f"{file}:" in (error.where or "")
    assert error.field == field
    assert "positive number of pixels" in (error.expected or "")


def with_pose(folder: Path, words: str) -> Path:
    """The pose of the photograph 003.png replaced."""
    path = folder / "sparse" / "0" / "images.txt"
    lines = path.read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if line.endswith("003.png"))
    first, *_, camera, name = lines[row].split()
    lines[row] = f"{first} {words} {camera} {name}"
    path.write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("words", "field"),
    [("nan 0 0 0 1 2 3", "pose"), ("1 0 0 0 inf 2 3", "pose"), ("0 0 0 0 1 2 3", "quaternion")],
)
def test_a_pose_that_is_none_is_named(colmap_capture: Make, words: str, field: str) -> None:
    error = error_of(with_pose(colmap_capture(binary=False), words))
    assert "images.txt:" in (error.where or "")
    assert error.field == field


def test_names_may_not_leave_the_capture(colmap_capture: Make) -> None:
    folder = colmap_capture(binary=False)
    write_png(folder / "secret.png", picture(0))
    error = error_of(rewritten(folder, "images.txt", "003.png", "../secret.png"))
    assert error.got == "'../secret.png'"


def test_lenses_that_we_cannot_undistort_are_named(colmap_capture: Make) -> None:
    with pytest.raises(UnsupportedError, match=r"camera 1 model.*got FOV"):
        open_capture(colmap_capture(model="FOV", params=(20.0, 20.0, 12.0, 8.0, 0.5)))


def test_a_truncated_model_is_named(colmap_capture: Make) -> None:
    folder = colmap_capture()
    path = folder / "sparse" / "0" / "images.bin"
    path.write_bytes(path.read_bytes()[:-7])
    assert "images.bin" in (error_of(folder).where or "")


def test_a_model_that_lacks_a_file_is_named(colmap_capture: Make) -> None:
    folder = colmap_capture()
    (folder / "sparse" / "0" / "images.bin").unlink()
    error = error_of(folder)
    assert error.problem == "no COLMAP model"
    assert error.got == "cameras.bin, points3D.bin"


def test_cameras_too_far_from_the_origin_for_float32_are_refused(tmp_path: Path) -> None:
    poses = ring()
    poses[:, :3, 3] += 5e6
    write_model(colmap_model(poses), tmp_path / "sparse" / "0")
    for i in range(9):
        write_png(tmp_path / "images" / f"{i:03d}.png", picture(i))
    assert error_of(tmp_path).problem == "the cameras are too far from the origin"


@pytest.mark.parametrize("options", [{"test_every": 1}, {"test_every": -1}, {"max_size": 0}, {"image_budget_mb": -1}])
def test_options_that_make_no_sense_are_named(colmap_capture: Make, options: dict[str, int]) -> None:
    assert error_of(colmap_capture(), **options).field == next(iter(options))
