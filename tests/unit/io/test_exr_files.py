"""OpenEXR files hold the floats that were given, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from veduta.core import MissingDependencyError, OutputError
from veduta.io.exr import write_exr


def test_another_program_reads_the_same_floats(tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")
    gain = torch.randn(5, 7) * 1e3
    gain[0, 0] = torch.inf
    color = torch.rand(5, 7, 3)
    write_exr(tmp_path / "a" / "map.exr", {"gain": gain, "RGB": color})
    channels = OpenEXR.File(str(tmp_path / "a" / "map.exr")).channels()
    assert set(channels) == {"gain", "RGB"}
    assert channels["gain"].pixels.dtype == np.float32
    np.testing.assert_array_equal(channels["gain"].pixels, gain.numpy())
    np.testing.assert_array_equal(channels["RGB"].pixels, color.numpy())
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["map.exr"]


def test_a_failing_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")

    class Failing:
        def __init__(self, *_: object) -> None: ...

        def write(self, path: str) -> None:
            raise RuntimeError("No space left on device")

    (tmp_path / "map.exr").write_bytes(b"mine")
    monkeypatch.setattr(OpenEXR, "File", Failing)
    with pytest.raises(OutputError, match="No space left"):
        write_exr(tmp_path / "map.exr", {"gain": torch.zeros(2, 2)})
    assert (tmp_path / "map.exr").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_the_package_the_hint_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingDependencyError) as caught:
        write_exr(tmp_path / "map.exr", {"gain": torch.zeros(2, 2)})
    assert "veduta[exr]" in str(caught.value.hint)
