"""Films: as many frames as were given, in their colours, or an error and no film."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from veduta.core import MissingDependencyError, OutputError
from veduta.io.video import write_mp4


def ffmpeg(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *arguments], capture_output=True, check=False
    )


def read_mp4(path: Path) -> tuple[str, np.ndarray]:
    """What ffmpeg says of the film's stream, and the frames."""
    says = ffmpeg("-i", str(path)).stderr.decode()
    stream = next(line for line in says.splitlines() if "Video:" in line)
    width, height = map(int, re.search(r" ([1-9]\d*)x(\d+)", stream).groups())  # type: ignore[union-attr]
    raw = ffmpeg("-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1").stdout
    return stream, np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def plain(color: list[float], height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.tensor(color).expand(height, width, 3)


COLORS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.2, 0.9], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]]


def test_frames_and_colours(tmp_path: Path) -> None:
    taken = []

    def frames() -> Iterator[torch.Tensor]:
        for color in COLORS:
            taken.append(color)
            yield plain(color)

    assert write_mp4(tmp_path / "a.mp4", frames(), fps=12.5) == len(taken) == len(COLORS)
    stream, film = read_mp4(tmp_path / "a.mp4")
    assert "h264" in stream
    assert "yuv420p(tv, bt709" in stream
    assert "12.50 fps" in stream
    assert film.shape == (5, 32, 48, 3)
    np.testing.assert_allclose(film[:, 16, 24] / 255, COLORS, atol=0.03)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1), (17, 16)])
def test_odd_sizes_are_made_even(tmp_path: Path, height: int, width: int) -> None:
    frame = (plain([0.2, 0.4, 0.6], height, width) * 255).to(torch.uint8)
    assert write_mp4(tmp_path / "a.mp4", [frame, frame]) == 2
    _, film = read_mp4(tmp_path / "a.mp4")
    assert film.shape == (2, height + height % 2, width + width % 2, 3)


def test_misuse_leaves_no_film(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_mp4(tmp_path / "a.mp4", [])
    with pytest.raises(ValueError, match=r"frame 2: expected \(32, 48, 3\), got \(32, 50, 3\)"):
        write_mp4(tmp_path / "a.mp4", [plain(COLORS[0]), plain(COLORS[0], 32, 50)])
    assert not list(tmp_path.iterdir())


def test_an_error_while_rendering_leaves_the_old_film(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("old")

    def frames() -> Iterator[torch.Tensor]:
        yield plain(COLORS[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp4(tmp_path / "a.mp4", frames())
    assert (tmp_path / "a.mp4").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk(tmp_path: Path, full_disk: Callable) -> None:
    (tmp_path / "a.mp4").write_text("old")
    g = torch.Generator().manual_seed(0)
    frames = [torch.rand(64, 64, 3, generator=g) for _ in range(4)]
    with full_disk(), pytest.raises(OutputError, match=r"a\.mp4"):
        write_mp4(tmp_path / "a.mp4", frames)
    assert (tmp_path / "a.mp4").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(MissingDependencyError, match="films need ffmpeg") as caught:
        write_mp4(tmp_path / "a.mp4", [plain(COLORS[0])])
    assert "pip install" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())
