from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from veduta.core import Cameras, InputError, Lens, UnsupportedError
from veduta.data import FileViews, open_capture
from veduta.geometry.lens import undistort_image
from veduta.io.images import write_png

from .conftest import HEIGHT, WIDTH, picture, ring
from .test_source import save_rgba

Make = Callable[..., Path]
Json = dict[str, Any]
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n"
)


def test_poses_are_turned_to_opencvs_axes_and_the_world_stays(transforms_capture: Make, ring_cameras: Cameras) -> None:
    capture = open_capture(transforms_capture())
    cameras = capture.cameras["camera"]
    assert torch.allclose(cameras.world_from_camera.double(), ring_cameras.world_from_camera, atol=1e-6)
    assert torch.allclose(cameras.intrinsics.double(), ring_cameras.intrinsics)
    assert isinstance(capture.train, FileViews)
    assert capture.train.names[0] == "001.png"
    assert (len(capture.train), len(capture.test)) == (7, 2)
    assert capture.points is None
    assert torch.allclose(capture.up, torch.tensor([0.0, -1.0, 0.0]), atol=1e-5)


def test_the_file_itself_may_be_named_whatever_it_is_called(transforms_capture: Make) -> None:
    folder = transforms_capture()
    (folder / "transforms.json").rename(folder / "poses.json")
    assert len(open_capture(folder / "poses.json").train) == 7


def test_lengths_are_metres_where_the_file_says_so(transforms_capture: Make) -> None:
    assert not open_capture(transforms_capture()).metric
    folder = transforms_capture(lambda content: content.update(metric=True))
    assert open_capture(folder).metric
    folder = transforms_capture(lambda content: content.update(metric="yes"))
    with pytest.raises(InputError, match=r"transforms.json, field metric: neither true nor false: .* got 'yes'"):
        open_capture(folder)


def test_intrinsics_of_a_frame_win_over_the_files(transforms_capture: Make) -> None:
    def change(content: Json) -> None:
        content["frames"][2] |= {"fl_x": 30.0, "cx": 11.0}

    cameras = open_capture(transforms_capture(change)).cameras["camera"]
    assert cameras.intrinsics[:, 0, 0].tolist() == [20, 20, 30, 20, 20, 20, 20, 20, 20]
    assert cameras.intrinsics[2, 0, 2] == 11


def test_angles_of_view_sizes_and_suffixes_may_be_left_to_us(transforms_capture: Make) -> None:
    def change(content: Json) -> None:
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del content[key]
        content["camera_angle_x"] = 2 * math.atan(0.5 * WIDTH / 20)
        for frame in content["frames"]:
            frame["file_path"] = frame["file_path"].removesuffix(".png")

    cameras = open_capture(transforms_capture(change)).cameras["camera"]
    expected = torch.tensor([[20.0, 0, 12], [0, 20, 8], [0, 0, 1]])
    assert torch.allclose(cameras.intrinsics, expected.expand(9, 3, 3), atol=1e-4)


@pytest.mark.parametrize("suffix", [".PNG", ".Png"])
def test_a_suffix_left_to_us_may_be_in_any_case(transforms_capture: Make, suffix: str) -> None:
    def change(content: Json) -> None:
        for frame in content["frames"]:
            frame["file_path"] = frame["file_path"].removesuffix(".png")

    folder = transforms_capture(change)
    for path in sorted((folder / "images").iterdir())[1:]:
        path.rename(path.with_suffix(suffix))
    (folder / "images" / "000.JPG").write_bytes(b"not the one")  # lower case comes first
    capture = open_capture(folder, test_every=0)
    assert isinstance(capture.train, FileViews)
    assert capture.train.names[:2] == ("000.png", f"001{suffix}")


@pytest.mark.parametrize(
    ("fields", "model", "params"),
    [
        ({"k1": -0.1}, "OPENCV", (-0.1, 0.0, 0.0, 0.0)),
        ({"k1": -0.1, "k2": 0.02, "p1": 0.01, "p2": -0.01}, "OPENCV", (-0.1, 0.02, 0.01, -0.01)),
        ({"k1": -0.1, "k3": 0.01}, "FULL_OPENCV", (-0.1, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0)),
        ({"k1": 0.02, "camera_model": "OPENCV_FISHEYE"}, "OPENCV_FISHEYE", (0.02, 0.0, 0.0, 0.0)),
    ],
)
def test_lenses_are_undistorted(
    transforms_capture: Make, ring_cameras: Cameras, fields: Json, model: str, params: tuple[float, ...]
) -> None:
    capture = open_capture(transforms_capture(lambda content: content.update(fields)), test_every=0)
    stored = (picture(0) * 255).round() / 255
    expected, _ = undistort_image(stored, ring_cameras[0].replace(lens=Lens(model, params)))
    assert capture.train[0].cameras.lens is None
    assert torch.allclose(capture.train[0].rgb[0], expected, atol=0.51 / 255)


def test_points_and_masks_that_the_file_names_are_read(transforms_capture: Make) -> None:
    def change(content: Json) -> None:
        content["ply_file_path"] = "points.ply"
        content["frames"][0]["mask_path"] = "m/zero.png"

    folder = transforms_capture(change)
    (folder / "points.ply").write_text(PLY)
    write_png(folder / "m" / "zero.png", torch.zeros(HEIGHT, WIDTH))
    capture = open_capture(folder, test_every=0)
    assert capture.points is not None
    assert capture.points.xyz.tolist() == [[1, 2, 3]]  # the world's own axes: not turned
    assert capture.train[0].weight.max() == 0
    assert capture.train[1].weight.min() == 1


def test_times_are_kept(transforms_capture: Make) -> None:
    def change(content: Json) -> None:
        for i, frame in enumerate(content["frames"]):
            frame["time"] = 0.5 * i

    capture = open_capture(transforms_capture(change))
    assert capture.cameras["camera"].time.tolist() == [0.5 * i for i in range(9)]
    assert capture.train[0].cameras.time.dtype == torch.float64


def test_the_files_own_split_is_kept(transforms_capture: Make) -> None:
    def change(content: Json) -> None:
        content["train_filenames"] = [f"images/{i:03d}.png" for i in range(6)]
        content["val_filenames"] = ["./images/007.png"]

    capture = open_capture(transforms_capture(change))
    assert isinstance(capture.test, FileViews)
    assert (len(capture.train), capture.test.names) == (6, ("007.png",))


def blender(folder: Path, test_count: int = 3) -> Path:
    """A capture like NeRF's synthetic ones: RGBA pictures, no suffixes, z up."""
    opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    for side, count in (("train", 5), ("test", test_count)):
        frames = []
        for i, pose in enumerate(ring(count)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            alpha = torch.full((HEIGHT, WIDTH), 0.6)
            save_rgba(folder / side / f"r_{i}.png", picture(i), alpha)
            frames.append({"file_path": f"./{side}/r_{i}", "transform_matrix": (pose @ opengl).tolist()})
        if count:
            content = {"camera_angle_x": 0.7, "frames": frames}
            (folder / f"transforms_{side}.json").write_text(json.dumps(content))
    return folder


def test_blenders_pair_of_files_is_a_split_over_white(tmp_path: Path) -> None:
    capture = open_capture(blender(tmp_path))
    assert (len(capture.train), len(capture.test)) == (5, 3)
    assert {name: len(c) for name, c in capture.cameras.items()} == {"train": 5, "test": 3}
    assert capture.up.tolist() == [0, 0, 1]
    assert capture.background is not None
    assert capture.background.tolist() == [1, 1, 1]
    view = capture.test[1]
    assert view.names == ("test/r_1.png",)
    assert (view.weight == 1).all()
    assert torch.allclose(view.rgb[0], 0.6 * picture(1) + 0.4, atol=1.01 / 255)


def test_blender_without_a_test_file_is_split_by_name(tmp_path: Path) -> None:
    capture = open_capture(blender(tmp_path, test_count=0))
    assert (len(capture.train), len(capture.test)) == (4, 1)


def test_blender_may_hold_out_a_single_photograph(tmp_path: Path) -> None:
    capture = open_capture(blender(tmp_path, test_count=1))
    assert (len(capture.train), len(capture.test)) == (5, 1)


def test_an_empty_test_file_of_blender_is_like_none(tmp_path: Path) -> None:
    folder = blender(tmp_path, test_count=0)
    (folder / "transforms_test.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": []}))
    capture = open_capture(folder)
    assert (len(capture.train), len(capture.test)) == (4, 1)


@pytest.mark.parametrize(("kept", "problem"), [(0, "the model is empty"), (1, "too few photographs")])
def test_blender_needs_photographs_to_train_on(tmp_path: Path, kept: int, problem: str) -> None:
    path = blender(tmp_path) / "transforms_train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"frames": content["frames"][:kept]}))
    with pytest.raises(InputError, match=problem) as caught:
        open_capture(tmp_path)
    assert caught.value.where == str(path)


def edit(index: int, **fields: object) -> Callable[[Json], None]:
    return lambda content: content["frames"][index].update(fields)


def without(key: str) -> Callable[[Json], None]:
    return lambda content: content.pop(key)


SCALED = (2 * torch.eye(4)).tolist()
MIRRORED = torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0])).tolist()
NAN = [[float("nan"), 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def both(*changes: Callable[[Json], object]) -> Callable[[Json], None]:
    return lambda content: [change(content) for change in changes] and None


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        (lambda c: c.update(fl_x=0), "fl_x", "a focal length that no lens has"),
        (lambda c: c.update(fl_x=-5.5), "fl_x", "a focal length that no lens has"),
        (lambda c: c.update(fl_y="wide"), "fl_y", "not a number"),
        (edit(3, fl_x=-1.0), "frames[3].fl_x", "a focal length that no lens has"),
        (both(without("fl_x"), without("fl_y")), "frames[0].fl_x", "no focal length"),
        (both(without("fl_x"), lambda c: c.update(camera_angle_x=0)), "camera_angle_x", "a focal length that no lens"),
        (lambda c: c.update(w=24.5), "w", "not an image size"),
        (lambda c: c.update(cx=float("inf")), "cx", "not a finite number"),
        (edit(1, transform_matrix=NAN), "frames[1].transform_matrix", "the pose is not finite"),
        (edit(1, transform_matrix=[[0.0] * 4] * 4), "frames[1].transform_matrix", "the pose cannot be inverted"),
        (edit(1, transform_matrix=SCALED), "frames[1].transform_matrix", "the pose is not a rigid motion"),
        (edit(1, transform_matrix=MIRRORED), "frames[1].transform_matrix", "the pose is not a rigid motion"),
        (edit(1, transform_matrix=[[1, 2], [3]]), "frames[1].transform_matrix", "not a pose"),
        (edit(1, transform_matrix=None), "frames[1].transform_matrix", "not a pose"),
        (edit(1, file_path="../../etc/passwd"), "frames[1].file_path", "the name leaves its folder"),
        (edit(1, file_path="/etc/passwd"), "frames[1].file_path", "the name leaves its folder"),
        (edit(1, file_path=7), "frames[1].file_path", "not text"),
        (edit(1, file_path="\udcff.png"), "frames[1].file_path", "the name is not valid UTF-8"),
        (lambda c: c.update(w=100_000, h=100_000), "w", "the picture is too large"),
        (edit(1, mask_path="no.png"), None, "1 of 1 photographs are missing"),
        (edit(1, file_path="images/no"), None, "1 of 9 photographs are missing"),
        (edit(1, file_path="images/000.png"), None, "photographs named twice"),
        (lambda c: c.update(frames=[]), None, "the model is empty"),
        (lambda c: c.update(frames=c["frames"][:1]), None, "too few photographs"),
        (without("frames"), "frames", "no list of photographs"),
        (lambda c: c.update(ply_file_path="no.ply"), "ply_file_path", "the point cloud is missing"),
        (lambda c: c.update(train_filenames=["x.png"]), "train_filenames", "photographs without an entry"),
        (
            lambda c: c.update(train_filenames=["images/000.png", "001.png"], test_filenames=["./images/001.png"]),
            None,
            "photographs both trained on and held out",
        ),
    ],
)
def test_mistakes_are_named(
    transforms_capture: Make, change: Callable[[Json], None], field: str | None, problem: str
) -> None:
    folder = transforms_capture(change)
    with pytest.raises(InputError) as caught:
        open_capture(folder)
    assert caught.value.problem.startswith(problem)
    assert caught.value.field == field
    assert caught.value.where == str(folder / "transforms.json")
    assert "\n" not in caught.value.line()


def test_a_size_that_contradicts_the_file_is_named(transforms_capture: Make) -> None:
    folder = transforms_capture(lambda content: content.update(w=2 * WIDTH, h=2 * HEIGHT))
    with pytest.raises(InputError, match=r"000.png: image size contradicts the model.* got 24 x 16"):
        open_capture(folder)


@pytest.mark.parametrize("fields", [{"camera_model": "EQUIRECTANGULAR"}, {"k4": 0.1}])
def test_lenses_that_we_cannot_undistort_are_named(transforms_capture: Make, fields: Json) -> None:
    with pytest.raises(UnsupportedError, match="a lens that veduta does not undistort"):
        open_capture(transforms_capture(lambda content: content.update(fields)))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"frames": 3}', "\x00"])
def test_files_that_are_no_captures_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(InputError, match=r"transforms.json"):
        open_capture(tmp_path)
