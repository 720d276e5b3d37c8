"""Known depth: it goes where its photograph goes, and a file that is wrong anywhere is named, never half believed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from veduta.core import InputError, OutputError, Views
from veduta.data import FileViews, open_capture
from veduta.data.depths import KnownDepth, check_depth, read_depth, write_depth
from veduta.geometry.lens import undistortion_map

from .conftest import HEIGHT, WIDTH

Make = Callable[..., Path]


def slope(width: int = WIDTH, height: int = HEIGHT) -> KnownDepth:
    """A depth like no other at every pixel, unknown in the upper left corner."""
    depth = 1 + torch.arange(width * height, dtype=torch.float32).reshape(height, width)
    valid = torch.ones(height, width, dtype=torch.bool)
    valid[:3, :5] = False
    return KnownDepth(torch.where(valid, depth, 0.0), valid)


def with_depth(folder: Path, name: str = "002") -> Path:
    write_depth(folder / "depth" / f"{name}.npz", slope())
    return folder


def view_of(folder: Path, i: int = 2, **options: Any) -> tuple[Views, FileViews]:
    train = open_capture(folder, test_every=0, **options).train
    assert isinstance(train, FileViews)
    return train[i], train


def known(view: Views) -> KnownDepth:
    assert view.depth is not None
    assert view.depth_valid is not None
    assert view.depth.shape == view.depth_valid.shape == view.rgb.shape[:3]
    return KnownDepth(view.depth[0], view.depth_valid[0])


@pytest.mark.parametrize("make", ["colmap_capture", "transforms_capture"])
def test_depth_beside_a_photograph_is_its_views(make: str, request: pytest.FixtureRequest) -> None:
    folder = with_depth(request.getfixturevalue(make)())
    view, train = view_of(folder)
    assert torch.equal(known(view).depth, slope().depth)
    assert torch.equal(known(view).valid, slope().valid)
    assert train[3].depth is None
    assert train[3].depth_valid is None


def test_reduction_takes_the_pixel_at_the_centre(colmap_capture: Make) -> None:
    view, _ = view_of(with_depth(colmap_capture()), max_size=WIDTH // 3)  # 8 x 5: thirds, and 16 rows in 5
    given, reduced = slope(), known(view)
    rows = [int((i + 0.5) * HEIGHT / 5) for i in range(5)]
    assert torch.equal(reduced.depth, given.depth[rows][:, 1::3])
    assert torch.equal(reduced.valid, given.valid[rows][:, 1::3])


def test_undistortion_takes_the_nearest_pixel(colmap_capture: Make) -> None:
    folder = with_depth(colmap_capture(model="SIMPLE_RADIAL", params=(20.0, 12.0, 8.0, -0.12)))
    view, train = view_of(folder)
    flat = known(view)
    original = train._photos[2].original
    place = undistortion_map(original).floor().long()
    place = torch.stack([place[..., 0].clamp(0, WIDTH - 1), place[..., 1].clamp(0, HEIGHT - 1)], dim=-1)
    given = slope()
    there = given.depth[place[..., 1], place[..., 0]]
    agree = (flat.depth == there).float().mean()
    assert agree > 0.99  # but for positions that float32 puts on the other side of a pixel's border
    assert set(flat.depth[flat.valid].tolist()) <= set(given.depth[given.valid].tolist())  # no means of two surfaces
    assert torch.equal(flat.valid, flat.depth > 0)
    half, _ = view_of(folder, max_size=12)
    assert known(half).depth.shape == half.rgb.shape[1:3]
    assert set(known(half).depth.flatten().tolist()) <= set(flat.depth.flatten().tolist())


def test_what_a_lens_does_not_show_is_not_known() -> None:
    grid = torch.tensor([[[-1.001, 0.0], [float("nan"), 0.0], [0.0, 0.0], [0.999, 0.999]]])
    found = slope(4, 4).resampled(grid, width=4, height=1)
    assert found.valid.tolist() == [[False, False, False, True]]
    assert found.depth.tolist() == [[0.0, 0.0, 0.0, 16.0]]


def test_depth_counts_in_the_budget(colmap_capture: Make) -> None:
    folder = colmap_capture()
    _, without = view_of(folder)
    for i in range(9):
        with_depth(folder, f"{i:03d}")
    _, train = view_of(folder)
    assert without.needed_bytes == 9 * WIDTH * HEIGHT * 4
    assert train.needed_bytes == 9 * WIDTH * HEIGHT * 9
    for i in range(9):
        assert train[i].depth is not None
    assert train._cache.used_bytes == 9 * WIDTH * HEIGHT * (3 + 5)
    (folder / "depth" / "001.npz").unlink()
    assert torch.equal(known(train[1]).depth, slope().depth)  # kept, not read again
    _, tight = view_of(folder, image_budget_mb=0)
    assert torch.equal(known(tight[2]).depth, slope().depth)
    assert tight._cache.used_bytes == 0


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray, **header: Any) -> bytes:
    """An array's file with another header than its own."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(array) | header)
    return buffer.getvalue() + array.tobytes()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


DEPTH = np.ones((HEIGHT, WIDTH), dtype=np.float32)
VALID = np.ones((HEIGHT, WIDTH), dtype=bool)
HUGE = {"shape": (1 << 20, 1 << 20)}

WRONG_AT_ONCE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot read the depths"),
    "not a zip": (b"depth" * 99, "cannot read the depths.* got File is not a zip file"),
    "cut off": (npz(depth=DEPTH, valid=VALID)[:-40], "cannot read the depths"),
    "no valid": (npz(depth=DEPTH), "field valid: an array is missing: expected arrays depth and valid, got depth"),
    "no depth": (npz(valid=VALID, z=DEPTH), "field depth: an array is missing.* got valid, z"),
    "turned": (npz(depth=DEPTH.T, valid=VALID), r"field depth: .*shape contradicts .*expected \(16, 24\).*\(24, 16\)"),
    "valid of another size": (npz(depth=DEPTH, valid=VALID[1:]), r"field valid: .*shape contradicts.* got \(15, 24\)"),
    "stacked": (npz(depth=DEPTH[None], valid=VALID), r"field depth: .*shape contradicts.* got \(1, 16, 24\)"),
    "whole numbers": (npz(depth=DEPTH.astype(np.int32), valid=VALID), "field depth: not an array of the right type"),
    "counts for valid": (npz(depth=DEPTH, valid=VALID.astype(np.uint8)), "field valid: not .*expected bool, got uint8"),
    "objects": (npz(depth=DEPTH.astype(object), valid=VALID), "field depth: not an array of the right type.* object"),
    "far too large": (zipped(depth=npy(DEPTH, **HUGE), valid=npy(VALID)), "field depth: .*shape contradicts"),
    "no array": (zipped(depth=b"no array", valid=npy(VALID)), "field depth: cannot read the depths"),
    "no header": (zipped(depth=npy(DEPTH)[:10], valid=npy(VALID)), "field depth: cannot read the depths"),
    "version 9": (zipped(depth=b"\x93NUMPY\x09\x00" + npy(DEPTH)[8:], valid=b""), "an array of version"),
}


@pytest.mark.parametrize("kind", WRONG_AT_ONCE)
def test_wrong_files_are_named_when_a_capture_is_opened(kind: str, colmap_capture: Make) -> None:
    content, message = WRONG_AT_ONCE[kind]
    folder = with_depth(colmap_capture())
    (folder / "depth" / "002.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"depth/002.npz.*" + message):
        open_capture(folder)


def infinite() -> np.ndarray:
    depth = DEPTH.astype(np.float64)
    depth[3, 4] = 1e300  # beyond float32
    return depth


WRONG_INSIDE: dict[str, tuple[bytes, str]] = {
    "short": (zipped(depth=npy(DEPTH)[:-1], valid=npy(VALID)), "field depth: cannot read the depths"),
    "long": (zipped(depth=npy(DEPTH) + b"x", valid=npy(VALID)), "field depth: .* more bytes than the array has"),
    "infinite": (npz(depth=infinite(), valid=VALID), r"field depth\[3, 4\]: a depth that no surface has.* got inf"),
    "NaN": (npz(depth=DEPTH * np.nan, valid=VALID), r"field depth\[0, 0\]: a depth that no surface has.* got nan"),
    "behind": (npz(depth=-DEPTH, valid=VALID), r"field depth\[0, 0\]: a depth that no surface has.* got -1"),
}


@pytest.mark.parametrize("kind", WRONG_INSIDE)
def test_wrong_contents_are_named_when_the_photograph_is_read(kind: str, colmap_capture: Make) -> None:
    content, message = WRONG_INSIDE[kind]
    folder = with_depth(colmap_capture())
    (folder / "depth" / "002.npz").write_bytes(content)
    train = open_capture(folder, test_every=0).train
    assert train[1].depth is None
    with pytest.raises(InputError, match=r"depth/002.npz.*" + message):
        train[2]


def test_files_out_of_proportion_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(bytes(2**20 + 1))
    with pytest.raises(InputError, match="the file is too large: expected at most 1048576 bytes, got 1048577"):
        check_depth(tmp_path / "a.npz", width=WIDTH, height=HEIGHT)


def test_a_file_with_any_byte_changed_is_refused_or_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    given = slope(8, 6)
    write_depth(path, given)
    whole = path.read_bytes()
    refused: list[str | None] = []
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0xFF if place % 2 else 0x04
        path.write_bytes(changed)
        try:
            found = read_depth(path, width=8, height=6)
        except InputError as error:
            refused.append(error.where)
        else:
            assert torch.equal(found.depth, given.depth)
            assert torch.equal(found.valid, given.valid)
    assert len(refused) > len(whole) / 2
    assert set(refused) == {str(path)}


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_any_floating_point_numbers_will_do(dtype: str, tmp_path: Path) -> None:
    given = slope(8, 6)
    (tmp_path / "a.npz").write_bytes(npz(depth=np.asfortranarray(given.depth.numpy().astype(dtype)), valid=given.valid))
    found = read_depth(tmp_path / "a.npz", width=8, height=6)
    assert found.depth.dtype == torch.float32
    assert torch.equal(found.depth, given.depth)


def test_depth_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "depth").write_text("mine")
    with pytest.raises(OutputError):
        write_depth(tmp_path / "depth" / "0.npz", slope())
