"""The .splat format: to its own precision, most important first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import Gaussians, InputError, OutputError
from veduta.geometry.sh import rgb_from_dc
from veduta.io.splat import read_splat, write_splat


def by_mean(g: Gaussians) -> Gaussians:
    return g[torch.argsort(g.means[:, 0])]


def test_what_is_written_is_read_to_the_bytes_precision(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(500, degree=2)
    g = g.replace(sh=g.sh.clamp(-1.5, 1.5))
    write_splat(g, tmp_path / "a.splat")
    assert (tmp_path / "a.splat").stat().st_size == 500 * 32
    g, back = by_mean(g), by_mean(read_splat(tmp_path / "a.splat"))
    assert back.sh_degree == 0
    assert torch.equal(back.means, g.means)
    assert torch.equal(back.scales, g.scales)
    torch.testing.assert_close(back.opacities, g.opacities, atol=0.501 / 255, rtol=0)
    torch.testing.assert_close(rgb_from_dc(back.sh[:, 0]), rgb_from_dc(g.sh[:, 0]), atol=0.501 / 255, rtol=0)
    assert (back.quats * g.quats).sum(1).abs().min() > 1 - 2e-4


def test_the_most_important_come_first(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(300)
    write_splat(g.replace(opacities=g.opacities.clamp(min=0.2)), tmp_path / "a.splat")
    g = read_splat(tmp_path / "a.splat")
    importance = g.opacities * g.scales.prod(dim=1)
    assert (importance[1:] <= importance[:-1] * 1.02).all()  # opacities were rounded after the ordering


def test_colours_beyond_the_range_are_clamped(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(2, degree=0).replace(sh=torch.tensor([[[9.0, -9.0, 0.0]]]).expand(2, 1, 3))
    write_splat(g, tmp_path / "a.splat")
    rgb = rgb_from_dc(read_splat(tmp_path / "a.splat").sh[:, 0])
    torch.testing.assert_close(rgb[0], torch.tensor([1.0, 0.0, 128 / 255]))


def test_no_gaussians(tmp_path: Path) -> None:
    write_splat(Gaussians.empty(3), tmp_path / "a.splat")
    assert len(read_splat(tmp_path / "a.splat")) == 0


def test_opacity_zero_and_scale_zero(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(2, degree=0).replace(opacities=torch.tensor([0.0, 1.0]), scales=torch.zeros(2, 3))
    write_splat(g, tmp_path / "a.splat")
    back = read_splat(tmp_path / "a.splat")
    assert sorted(back.opacities.tolist()) == [0, 1]
    assert (back.scales > 0).all()


def test_a_file_of_another_program(shared_data: Path) -> None:
    g = read_splat(shared_data / "splats" / "minimal.splat")
    assert g.means.tolist() == [[-1, 0, -1], [0, 0, -1], [-1, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(g.scales, torch.full((4, 3), 0.1))
    torch.testing.assert_close(g.opacities, torch.full((4,), 230 / 255))
    torch.testing.assert_close(rgb_from_dc(g.sh[1, 0]), torch.tensor([170, 85, 128]) / 255)


@pytest.mark.parametrize("size", [1, 31, 33, 32 * 9 + 16])
def test_truncated_files(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.splat").write_bytes(bytes(size))
    with pytest.raises(InputError, match=f"32 bytes for each Gaussian, got {size} bytes"):
        read_splat(tmp_path / "a.splat")


def test_rows_that_are_not_finite(tmp_path: Path) -> None:
    (tmp_path / "a.splat").write_bytes(b"\xff" * 32 + bytes(64))
    with pytest.raises(InputError, match="1 of 3 Gaussians are not finite"):
        read_splat(tmp_path / "a.splat")
    g = read_splat(tmp_path / "a.splat", drop_invalid=True)
    assert len(g) == 2


@given(st.binary(max_size=128))
def test_any_bytes_are_gaussians_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.splat"
    path.write_bytes(data)
    if len(data) % 32:
        with pytest.raises(InputError):
            read_splat(path)
    else:
        g = read_splat(path, drop_invalid=True)
        torch.testing.assert_close(g.quats.norm(dim=1), torch.ones(len(g)))
        assert (g.scales > 0).all()


def test_missing_file_and_full_disk(tmp_path: Path, make_gaussians: Callable, full_disk: Callable) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_splat(tmp_path / "a.splat")
    with full_disk(), pytest.raises(OutputError):
        write_splat(make_gaussians(1000), tmp_path / "a.splat")
    assert not list(tmp_path.iterdir())
