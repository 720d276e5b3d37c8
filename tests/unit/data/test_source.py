from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from veduta.core import Cameras, InputError, Lens
from veduta.data import FileViews, fingerprint, open_capture
from veduta.data.depths import KnownDepth
from veduta.data.source import PhotoCache, Pixels
from veduta.geometry.lens import undistort_image
from veduta.geometry.projection import project
from veduta.io.images import write_png

from .conftest import HEIGHT, WIDTH, picture, world_points

Make = Callable[..., Path]


def train_of(capture_folder: Path, **options: object) -> FileViews:
    train = open_capture(capture_folder, test_every=0, **options).train  # type: ignore[arg-type]
    assert isinstance(train, FileViews)
    return train


def save_rgba(path: Path, rgb: torch.Tensor, alpha: torch.Tensor) -> None:
    pixels = (torch.cat([rgb, alpha[..., None]], dim=-1) * 255).round().to(torch.uint8)
    Image.fromarray(pixels.numpy(), mode=None).save(path)


def test_a_view_is_the_picture_and_its_camera(colmap_capture: Make, ring_cameras: Cameras) -> None:
    views = train_of(colmap_capture())
    assert len(views) == 9
    for i in (0, 8):
        view = views[i]
        assert torch.allclose(view.rgb[0], picture(i), atol=0.51 / 255)
        assert (view.weight == 1).all()
        assert view.names == (f"{i:03d}.png",)
        assert torch.allclose(view.cameras.world_from_camera[0].double(), ring_cameras.world_from_camera[i], atol=1e-6)
        assert torch.allclose(view.cameras.intrinsics[0].double(), ring_cameras.intrinsics[i])
        assert view.cameras.lens is None
    assert torch.equal(views.camera(3).world_from_camera, views[3].cameras.world_from_camera)


def pixels(size: int) -> Pixels:
    return Pixels(rgb=torch.zeros(size, 1, 3, dtype=torch.uint8), weight=None)


def test_the_cache_keeps_the_latest_within_its_budget() -> None:
    cache = PhotoCache(budget_bytes=30)
    for name in "abc":
        cache.put(Path(name), pixels(3))  # 9 bytes each
    assert cache.used_bytes == 27
    assert cache.get(Path("a")) is not None  # now the most recently used
    cache.put(Path("d"), pixels(3))
    assert [name for name in "abcd" if cache.get(Path(name))] == ["a", "c", "d"]
    cache.put(Path("huge"), pixels(11))
    assert cache.get(Path("huge")) is None
    assert cache.used_bytes <= cache.budget_bytes


@pytest.mark.parametrize("budget_mb", [0, 1, 100])
def test_the_budget_changes_nothing_but_memory(colmap_capture: Make, budget_mb: int) -> None:
    folder = colmap_capture()
    views, plenty = train_of(folder, image_budget_mb=budget_mb), train_of(folder)
    for i in (0, 1, 0, 8, 1):
        assert torch.equal(views[i].rgb, plenty[i].rgb)
    assert views.needed_bytes <= budget_mb * 2**20
    assert plenty.needed_bytes == 9 * WIDTH * HEIGHT * 4


def test_a_cached_view_does_not_need_its_file(colmap_capture: Make) -> None:
    folder = colmap_capture()
    views = train_of(folder)
    first = views[0].rgb
    (folder / "images" / "000.png").unlink()
    assert torch.equal(views[0].rgb, first)


def test_reduction_scales_the_camera_with_the_picture(colmap_capture: Make) -> None:
    folder = colmap_capture()
    full, half = train_of(folder), train_of(folder, max_size=WIDTH // 2)
    assert half[0].rgb.shape == (1, HEIGHT // 2, WIDTH // 2, 3)
    blocks = full[0].rgb.reshape(1, HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(dim=(2, 4))
    assert torch.allclose(half[0].rgb, blocks, atol=1 / 255)
    points = world_points().float()
    big, small = project(points, full.camera(0)), project(points, half.camera(0))
    assert torch.allclose(big[0] / 2, small[0], atol=1e-4)
    assert torch.allclose(big[1], small[1])


def test_kept_photographs_share_no_memory_with_what_reading_needs(tmp_path: Path) -> None:
    cache, side = PhotoCache(10**9), 600
    weight, depth = torch.randint(256, (side, side), dtype=torch.uint8), torch.rand(side, side)
    valid = depth > 0.5
    shown = Pixels(
        rgb=torch.randint(256, (side, side, 3), dtype=torch.uint8),
        weight=weight,
        known=KnownDepth(depth, valid),
    )
    cache.put(tmp_path, shown)
    kept = cache.get(tmp_path)
    assert kept is not None
    assert kept.weight is not None
    assert kept.known is not None
    assert (kept.nbytes, kept.coverage) == (shown.nbytes, None)
    pairs = [(kept.rgb, shown.rgb), (kept.weight, weight), (kept.known.depth, depth), (kept.known.valid, valid)]
    for ours, theirs in pairs:
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() % mmap.PAGESIZE == 0


def test_a_lens_is_taken_out(colmap_capture: Make) -> None:
    params = (20.0, 12.0, 8.0, -0.12)
    views = train_of(colmap_capture(model="SIMPLE_RADIAL", params=params))
    distorted = Cameras.pinhole(torch.eye(4)[None], fx=20.0, fy=20.0, cx=12.0, cy=8.0, width=WIDTH, height=HEIGHT)
    stored = (picture(4) * 255).round() / 255
    expected, cameras = undistort_image(stored, distorted.replace(lens=Lens("RADIAL", (-0.12, 0.0))))
    assert views[4].rgb.shape[1:] == expected.shape
    assert torch.allclose(views[4].rgb[0], expected, atol=0.51 / 255)
    assert torch.allclose(views.camera(4).intrinsics, cameras.intrinsics)
    assert (views[4].weight == 1).all()


@pytest.mark.parametrize("name", ["002.png", "002.png.png"])
def test_masks_are_found_by_name(colmap_capture: Make, name: str) -> None:
    folder = colmap_capture()
    mask = (torch.arange(WIDTH) >= WIDTH // 2).float().expand(HEIGHT, WIDTH)
    write_png(folder / "masks" / name, mask.contiguous())
    views = train_of(folder)
    assert torch.equal(views[2].weight[0], mask)
    assert (views[3].weight == 1).all()
    elsewhere = folder.parent / "elsewhere"
    (folder / "masks").rename(elsewhere)
    assert (train_of(folder)[2].weight == 1).all()
    assert torch.equal(train_of(folder, masks=elsewhere)[2].weight[0], mask)


def test_masked_colour_does_not_bleed_into_the_rest(colmap_capture: Make) -> None:
    folder = colmap_capture(model="SIMPLE_RADIAL", params=(20.0, 12.0, 8.0, -0.12))
    mask = (torch.arange(WIDTH) >= WIDTH // 2).float().expand(HEIGHT, WIDTH)
    rgb = torch.where(mask[..., None] > 0, torch.tensor([0.2, 0.4, 0.6]), torch.tensor([1.0, 0.0, 1.0]))
    write_png(folder / "images" / "000.png", rgb)
    write_png(folder / "masks" / "000.png", mask.contiguous())
    view = train_of(folder, max_size=9)[0]
    trusted = view.weight[0] > 0
    assert 0 < trusted.float().mean() < 1
    assert torch.allclose(view.rgb[0][trusted], torch.tensor([0.2, 0.4, 0.6]), atol=1.5 / 255)


def test_transparency_is_a_mask(colmap_capture: Make) -> None:
    folder = colmap_capture()
    alpha = (torch.arange(HEIGHT) < 5).float()[:, None].expand(HEIGHT, WIDTH)
    save_rgba(folder / "images" / "001.png", picture(1), alpha)
    capture = open_capture(folder, test_every=0)
    assert capture.background is None
    assert torch.equal(capture.train[1].weight[0], alpha)
    assert torch.allclose(capture.train[1].rgb[0][:5], picture(1)[:5], atol=0.51 / 255)


def test_masks_of_another_size_or_name_are_named(colmap_capture: Make, tmp_path: Path) -> None:
    folder = colmap_capture()
    with pytest.raises(InputError, match="field masks: no such folder of masks"):
        train_of(folder, masks=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="field masks: no mask fits any photograph"):
        train_of(folder, masks=tmp_path / "empty")
    write_png(folder / "masks" / "000.png", torch.ones(3, 4))
    with pytest.raises(InputError, match=r"masks/000.png: image size contradicts the model.* got 4 x 3"):
        train_of(folder)


def test_a_photograph_that_changes_while_open_is_named(colmap_capture: Make) -> None:
    folder = colmap_capture()
    views = train_of(folder)
    write_png(folder / "images" / "000.png", torch.zeros(4, 4, 3))
    with pytest.raises(InputError, match=r"000.png: the image changed after the capture was opened"):
        views[0]
    (folder / "images" / "001.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"001.png: cannot read the picture"):
        views[1]


def test_sparse_depth_is_the_points_depth_where_they_are_drawn(colmap_capture: Make) -> None:
    folder = colmap_capture()
    views = train_of(folder)
    depth = views.sparse_depth(3)
    assert depth is not None
    px, z, weight = depth
    expected_px, expected_z = project(world_points().float(), views.camera(3))
    inside = ((expected_px[0] > 0) & (expected_px[0] < torch.tensor([WIDTH, HEIGHT]))).all(dim=-1)
    assert torch.allclose(px, expected_px[0][inside], atol=1e-4)
    assert torch.allclose(z, expected_z[0][inside], atol=1e-5)
    assert (weight.diff() < 0).all()  # the points were written with growing error
    assert ((weight > 0) & (weight <= 1)).all()
    half = train_of(folder, max_size=WIDTH // 2).sparse_depth(3)
    assert half is not None
    assert torch.allclose(half[0] * 2, px, atol=1e-4)


def test_the_fingerprint_tells_captures_apart(colmap_capture: Make) -> None:
    folder = colmap_capture()
    prints = [
        fingerprint(open_capture(folder)),
        fingerprint(open_capture(folder, test_every=0)),
        fingerprint(open_capture(folder, max_size=8)),
        fingerprint(open_capture(colmap_capture(8, name="fewer"))),
        fingerprint(open_capture(colmap_capture(name="other", params=(20.0, 21.0, 12.0, 8.5)))),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(open_capture(folder)) == prints[0]
    assert fingerprint(open_capture(colmap_capture(name="the same elsewhere"))) == prints[0]
    write_png(folder / "masks" / "001.png", torch.ones(HEIGHT, WIDTH))
    assert fingerprint(open_capture(folder)) != prints[0]


def test_numpy_sees_the_same_pixels(colmap_capture: Make) -> None:
    folder = colmap_capture()
    stored = np.asarray(Image.open(folder / "images" / "005.png"))
    assert np.array_equal((train_of(folder)[5].rgb[0] * 255).round().numpy().astype(np.uint8), stored)
