"""COLMAP models: ours and pycolmap's readers and writers agree; damage is an InputError that says where."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import InputError, OutputError
from veduta.io.colmap import (
    NO_POINT,
    PARAMETERS,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    has_model,
    read_model,
    write_model,
)

FORMATS = pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])


def small_model(seed: int = 0) -> ColmapModel:
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    def image(name: str, camera_id: int, points: list[int]) -> ColmapImage:
        quat = uniform(4) - 0.5
        return ColmapImage(
            name=name,
            camera_id=camera_id,
            quat=quat / quat.norm(),
            translation=uniform(3) * 10,
            points2d=uniform(len(points), 2) * 400,
            point3d_ids=torch.tensor(points, dtype=torch.int64),
        )

    return ColmapModel(
        cameras={
            1: ColmapCamera("OPENCV", 640, 480, (500.5, 501.25, 320.0, 240.1, 0.1, -0.02, 1e-4, -3e-5)),
            7: ColmapCamera("SIMPLE_RADIAL", 64, 48, (50.0, 32.0, 24.0, -0.1)),
        },
        images={
            3: image("left/a photo.jpg", 1, [11, NO_POINT, 5]),
            4: image("bä.png", 7, []),
            9: image("c.png", 1, [5, 11]),
        },
        points=ColmapPoints(
            ids=torch.tensor([5, 11]),
            xyz=uniform(2, 3) * 20 - 10,
            rgb=torch.tensor([[0, 128, 255], [1, 2, 3]], dtype=torch.uint8),
            error_px=uniform(2),
            track_lengths=torch.tensor([2, 2]),
        ),
    )


def assert_same(a: ColmapModel, b: ColmapModel) -> None:
    assert a.cameras == b.cameras
    assert a.images.keys() == b.images.keys()
    for key, image in a.images.items():
        other = b.images[key]
        assert (image.name, image.camera_id) == (other.name, other.camera_id)
        torch.testing.assert_close(image.quat, other.quat, atol=1e-15, rtol=0)
        assert torch.equal(image.translation, other.translation)
        assert torch.equal(image.points2d, other.points2d)
        assert torch.equal(image.point3d_ids, other.point3d_ids)
    for field in ("ids", "xyz", "rgb", "error_px", "track_lengths"):
        assert torch.equal(getattr(a.points, field), getattr(b.points, field)), field


@FORMATS
def test_what_is_written_is_read(tmp_path: Path, binary: bool) -> None:
    model = small_model()
    write_model(model, tmp_path / "sparse" / "0", binary=binary)
    assert has_model(tmp_path / "sparse" / "0")
    assert not has_model(tmp_path / "sparse")
    assert_same(read_model(tmp_path / "sparse" / "0"), model)


@FORMATS
def test_every_camera_model(tmp_path: Path, binary: bool) -> None:
    cameras = {
        i: ColmapCamera(name, 10, 20, tuple(float(k + 1) for k in range(len(params))))
        for i, (name, params) in enumerate(PARAMETERS.items())
    }
    write_model(replace(small_model(), cameras=cameras, images={}), tmp_path, binary=binary)
    assert read_model(tmp_path).cameras == cameras


def test_intrinsics_and_distortion_by_model() -> None:
    assert ColmapCamera("SIMPLE_RADIAL", 1, 1, (5.0, 1.0, 2.0, 0.5)).intrinsics == (5.0, 5.0, 1.0, 2.0)
    assert ColmapCamera("SIMPLE_RADIAL", 1, 1, (5.0, 1.0, 2.0, 0.5)).distortion == (0.5,)
    assert ColmapCamera("PINHOLE", 1, 1, (5.0, 6.0, 1.0, 2.0)).intrinsics == (5.0, 6.0, 1.0, 2.0)
    assert ColmapCamera("PINHOLE", 1, 1, (5.0, 6.0, 1.0, 2.0)).distortion == ()


@FORMATS
def test_an_existing_model_is_never_overwritten(tmp_path: Path, binary: bool) -> None:
    write_model(small_model(), tmp_path, binary=not binary)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="there is a model already"):
        write_model(small_model(1), tmp_path, binary=binary)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


@FORMATS
def test_points_are_optional(tmp_path: Path, binary: bool) -> None:
    write_model(small_model(), tmp_path, binary=binary)
    next(tmp_path.glob("points3D.*")).unlink()
    assert len(read_model(tmp_path).points) == 0


@FORMATS
def test_an_empty_model(tmp_path: Path, binary: bool) -> None:
    empty = replace(small_model(), cameras={}, images={})
    write_model(empty, tmp_path, binary=binary)
    read_empty = read_model(tmp_path)
    assert (read_empty.cameras, read_empty.images) == ({}, {})


@pytest.mark.parametrize("what", ["missing", "empty", "photos"])
def test_no_model(tmp_path: Path, what: str) -> None:
    folder = tmp_path / what
    if what != "missing":
        folder.mkdir()
    if what == "photos":
        (folder / "a.jpg").touch()
    with pytest.raises(InputError, match="no COLMAP model") as caught:
        read_model(folder)
    assert "sparse/0" in (caught.value.hint or "")


# --- pycolmap as the independent reader and writer ---


@FORMATS
def test_pycolmap_reads_what_we_write(tmp_path: Path, binary: bool) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    model = small_model()
    name = "left/a photo.jpg" if binary else "left/a.jpg"  # COLMAP's text reader ends a name at a space, ours does not
    model.images[3] = replace(model.images[3], name=name)
    write_model(model, tmp_path, binary=binary)
    theirs = pycolmap.Reconstruction(tmp_path)
    assert {i: (c.model.name, c.width, c.height, tuple(c.params)) for i, c in theirs.cameras.items()} == {
        i: (c.model, c.width, c.height, c.params) for i, c in model.cameras.items()
    }
    assert set(theirs.images) == set(model.images)
    for key, image in theirs.images.items():
        ours, pose = model.images[key], image.cam_from_world()
        assert (image.name, image.camera_id) == (ours.name, ours.camera_id)
        np.testing.assert_allclose(np.roll(pose.rotation.quat, 1), ours.quat.numpy(), atol=1e-12)
        np.testing.assert_allclose(pose.translation, ours.translation.numpy(), atol=1e-12)
        np.testing.assert_allclose([p.xy for p in image.points2D], ours.points2d.numpy().tolist(), atol=1e-4)
    for row, key in enumerate(model.points.ids.tolist()):
        point = theirs.points3D[key]
        np.testing.assert_array_equal(point.xyz, model.points.xyz[row].numpy())
        np.testing.assert_array_equal(point.color, model.points.rgb[row].numpy())
        assert point.track.length() == 2


@pytest.mark.parametrize("capture", ["sceaux_castle", "fox"])
def test_real_models_in_both_formats(shared_data: Path, tmp_path: Path, capture: str) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    folder = shared_data / "static" / capture / "sparse" / "0"
    ours, theirs = read_model(folder), pycolmap.Reconstruction(folder)
    assert set(ours.images) == set(theirs.images)
    assert len(ours.points) == len(theirs.points3D)
    for key, image in ours.images.items():
        assert image.name == theirs.images[key].name
        matrix = theirs.images[key].cam_from_world().matrix()
        np.testing.assert_allclose(image.translation.numpy(), matrix[:, 3], atol=1e-12)
        ids = [p.point3D_id if p.has_point3D() else NO_POINT for p in theirs.images[key].points2D]
        assert image.point3d_ids.tolist() == ids
    for row, key in enumerate(ours.points.ids.tolist()):
        assert ours.points.track_lengths[row] == theirs.points3D[key].track.length()
    theirs.write_text(tmp_path)
    text = read_model(tmp_path)
    order = torch.argsort(ours.points.ids)
    torch.testing.assert_close(text.points.xyz[torch.argsort(text.points.ids)], ours.points.xyz[order])
    assert text.cameras == ours.cameras


# --- damage ---


def edit_text(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


TEXT_MISTAKES = [
    ("cameras.txt", "500.5", "-500.5", "cameras.txt:2, field fx: .*a positive number of pixels, got -500.5"),
    ("cameras.txt", "500.5", "0", "cameras.txt:2, field fx"),
    ("cameras.txt", "500.5", "nan", "cameras.txt:2, field fx"),
    ("cameras.txt", "500.5", "wide", "cameras.txt:2, field params: not a number: expected a number, got wide"),
    ("cameras.txt", "501.25 ", "", "cameras.txt:2, field params: wrong number of parameters: expected 8"),
    ("cameras.txt", "OPENCV", "POLAROID", "cameras.txt:2, field model: unknown camera model: .*got POLAROID"),
    ("cameras.txt", "640", "0", "cameras.txt:2, field width: impossible image size"),
    ("cameras.txt", "640", "6.5", "cameras.txt:2, field width"),
    ("cameras.txt", "\n7 ", "\n1 ", "cameras.txt:3, field camera_id: a camera occurs twice"),
    ("cameras.txt", "\n7 ", "\n8 ", "images.txt, field camera_id: image 'bä.png' .*unknown camera"),
    ("cameras.txt", "1 OPENCV 640", "1 OPENCV\n640", "cameras.txt:2: the line is incomplete"),
    ("images.txt", " 7 bä.png", " 7 c.png", "images.txt, field name: an image occurs twice: got 'c.png'"),
    ("images.txt", "\n4 ", "\n3 ", "images.txt:5, field image_id: an image occurs twice"),
    ("images.txt", " 7 bä.png", "", "images.txt:5: the line is incomplete"),
    ("images.txt", " -1 ", " ", "images.txt:4, field points2D: the keypoints are malformed"),
    ("images.txt", " -1 ", " -2 ", "images.txt:4, field points2D: impossible point id"),
    ("points3D.txt", " 0 128 255", " 0 128 256", "points3D.txt:2, field rgb: impossible colour"),
    ("points3D.txt", "\n11 ", "\n5 ", "points3D.txt, field point3D_id: a point occurs twice"),
    ("points3D.txt", " 0 128 255", "", "points3D.txt:2, field"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), TEXT_MISTAKES)
def test_mistakes_in_text(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    write_model(small_model(), tmp_path, binary=False)
    edit_text(tmp_path, name, old, new)
    with pytest.raises(InputError, match=message):
        read_model(tmp_path)


@FORMATS
@pytest.mark.parametrize("pose", [(math.nan, 0, 0, 0), (0, 0, 0, 0), (1, 0, math.inf, 0)])
def test_poses_that_are_none(tmp_path: Path, binary: bool, pose: tuple[float, ...]) -> None:
    model = small_model()
    broken = replace(model.images[4], quat=torch.tensor(pose, dtype=torch.float64))
    write_model(replace(model, images={**model.images, 4: broken}), tmp_path, binary=binary)
    with pytest.raises(InputError, match=r"images\.(bin, byte \d+|txt:5), field (pose|quaternion): the pose is"):
        read_model(tmp_path)


@FORMATS
def test_points_that_are_not_finite(tmp_path: Path, binary: bool) -> None:
    model = small_model()
    model.points.xyz[1, 2] = math.nan
    write_model(model, tmp_path, binary=binary)
    with pytest.raises(InputError, match=r"points3D.*field xyz: 1 of 2 points are not finite.*for point 11"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_every_truncation_of_a_binary_file(tmp_path: Path, name: str) -> None:
    write_model(small_model(), tmp_path)
    whole = (tmp_path / name).read_bytes()
    for keep in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:keep])
        with pytest.raises(InputError, match=rf"{name}, byte \d+"):
            read_model(tmp_path)
    (tmp_path / name).write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="1 more bytes"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_absurd_counts_are_refused_before_anything_is_allocated(tmp_path: Path, name: str) -> None:
    write_model(small_model(), tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(struct.pack("<Q", 2**63) + whole[8:])
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_model(tmp_path)


@FORMATS
@given(data=st.data())
def test_fuzzed_models_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, binary: bool, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write_model(small_model(), folder, binary=binary)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with contextlib.suppress(InputError):
        read_model(folder)


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    write_model(small_model(), tmp_path)
    (tmp_path / "points3D.bin").unlink()
    (tmp_path / "points3D.bin").mkdir()
    with pytest.raises(InputError, match="cannot read"):
        read_model(tmp_path)


def test_a_full_disk(tmp_path: Path, full_disk) -> None:
    model = small_model()
    large = replace(model, cameras=dict.fromkeys(range(1, 100), model.cameras[1]))
    with full_disk(), pytest.raises(OutputError):
        write_model(large, tmp_path)
    assert not has_model(tmp_path)
