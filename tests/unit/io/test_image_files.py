"""Pictures: what is written is read, and damage is an InputError."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from veduta.core import InputError, OutputError
from veduta.io.images import ImageHeader, image_header, image_size, read_image, to_bytes, write_jpeg, write_png


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_png_keeps_every_byte(tmp_path: Path) -> None:
    picture = torch.from_numpy(noise(7, 5, 3))
    write_png(tmp_path / "a.png", picture)
    rgb, alpha = read_image(tmp_path / "a.png")
    assert alpha is None
    assert rgb.dtype == torch.float32
    assert torch.equal(to_bytes(rgb), picture)
    assert image_size(tmp_path / "a.png") == (5, 7)
    write_png(tmp_path / "b.png", rgb)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_grey_png(tmp_path: Path) -> None:
    mask = torch.tensor([[0.0, 1.0, 0.5]])
    write_png(tmp_path / "m.png", mask)
    rgb, _ = read_image(tmp_path / "m.png")
    torch.testing.assert_close(rgb, mask[..., None].expand(1, 3, 3), atol=0.501 / 255, rtol=0)


def test_jpeg_is_close(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 64).expand(48, 64)
    picture = torch.stack([ramp, ramp.flip(1), ramp * 0.5], dim=-1)
    write_jpeg(tmp_path / "a.jpg", picture)
    rgb, _ = read_image(tmp_path / "a.jpg")
    assert (rgb - picture).abs().max() < 0.03


def test_values_beyond_the_range() -> None:
    values = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 2.0, float("nan"), float("inf"), -float("inf")])
    assert to_bytes(values).tolist() == [0, 0, 0, 1, 255, 255, 0, 255, 0]


def test_alpha(tmp_path: Path) -> None:
    rgba = noise(4, 6, 4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    rgb, alpha = read_image(tmp_path / "a.png")
    assert alpha is not None
    assert torch.equal(to_bytes(rgb), torch.from_numpy(rgba[..., :3]))  # not premultiplied
    assert torch.equal(to_bytes(alpha), torch.from_numpy(rgba[..., 3]))


def test_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=1)
    rgb, alpha = read_image(tmp_path / "p.png")
    assert alpha is not None
    assert rgb[0, 0].tolist() == [1, 0, 0]
    assert alpha.tolist() == [[1, 0], [0, 1]]


def test_sixteen_bit_grey_keeps_its_bits(tmp_path: Path) -> None:
    grey = np.arange(0, 60_000, 1_000, dtype=np.uint16).reshape(6, 10)
    Image.fromarray(grey).save(tmp_path / "d.png")
    rgb, _ = read_image(tmp_path / "d.png")
    np.testing.assert_array_equal((rgb[..., 1].double() * 65535).round().numpy(), grey)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.fromarray(noise(8, 8, 3)).convert(mode).save(path)
    rgb, alpha = read_image(path)
    assert rgb.shape == (8, 8, 3)
    assert (alpha is not None) == (mode == "LA")
    assert 0 <= rgb.min() <= rgb.max() <= 1


def test_float_pictures_are_unsupported(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match="unsupported pixel format"):
        read_image(tmp_path / "f.tif")


def test_orientation_is_reported_and_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 6, 3)).save(tmp_path / "a.jpg", exif=exif)
    assert image_header(tmp_path / "a.jpg") == ImageHeader(width=6, height=4, orientation=6)
    assert read_image(tmp_path / "a.jpg")[0].shape == (4, 6, 3)
    Image.fromarray(noise(4, 6, 3)).save(tmp_path / "b.jpg")
    assert image_header(tmp_path / "b.jpg").orientation == 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".ppm"])
def test_truncated_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(64, 64, 3)).save(path)
    whole = path.read_bytes()
    for keep in (0, 3, 20, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError) as caught:
            read_image(path)
        assert caught.value.where == str(path)
        assert caught.value.hint


@given(st.data())
def test_damaged_pictures_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    suffix = data.draw(st.sampled_from([".jpg", ".png", ".webp", ".tif", ".bmp"]))
    path = folder / f"a{suffix}"
    Image.fromarray(noise(9, 9, 3)).save(path)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    for read in (read_image, image_header):
        with contextlib.suppress(InputError):
            read(path)


def test_text_named_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(InputError, match="cannot read the picture"):
        read_image(tmp_path / "a.png")


def test_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "a.png")


def test_programs_posing_as_pictures_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(InputError):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [13_100, 60_000])
def test_bombs_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(InputError, match=r"bomb\.png"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(InputError):
        image_size(tmp_path / "bomb.png")


def test_a_full_disk(tmp_path: Path, full_disk) -> None:
    write_png(tmp_path / "a.png", torch.zeros(2, 2, 3))
    old = (tmp_path / "a.png").read_bytes()
    with full_disk(), pytest.raises(OutputError):
        write_png(tmp_path / "a.png", torch.from_numpy(noise(64, 64, 3)))
    with full_disk(), pytest.raises(OutputError):
        write_jpeg(tmp_path / "a.png", torch.from_numpy(noise(64, 64, 3)))
    assert (tmp_path / "a.png").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_real_photographs(shared_data: Path) -> None:
    path = shared_data / "static" / "sceaux_castle" / "images"
    photo = sorted(path.iterdir())[0]
    rgb, alpha = read_image(photo)
    assert alpha is None
    assert image_size(photo) == (rgb.shape[1], rgb.shape[0]) == (960, 721)
    lego = sorted((shared_data / "static" / "lego_synthetic").rglob("*.png"))[0]
    rgb, alpha = read_image(lego)
    assert alpha is not None
    assert 0 < alpha.mean() < 1
