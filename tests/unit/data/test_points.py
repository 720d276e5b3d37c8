from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from veduta.core import InputError
from veduta.data.points import read_points


def write(path: Path, *, text: bool = False, colour: str | None = "u1", order: str = "<") -> np.ndarray:
    fields = [("z", "f8"), ("x", "f4"), ("y", "f4"), *((c, colour) for c in ("red", "green", "blue") if colour)]
    rows = np.zeros(5, dtype=fields)
    for i, name in enumerate("xyz"):
        rows[name] = np.arange(5) + 10 * i
    if colour:
        rows["green"] = 255 if colour == "u1" else 1
    PlyData([PlyElement.describe(rows, "vertex")], text=text, byte_order=order).write(str(path))
    return np.stack([rows[c] for c in "xyz"], axis=1)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("colour", ["u1", "f4", None])
@pytest.mark.parametrize("order", ["<", ">"])
def test_points_are_read_in_any_order_and_type(tmp_path: Path, text: bool, colour: str | None, order: str) -> None:
    xyz = write(tmp_path / "p.ply", text=text, colour=colour, order=order)
    cloud = read_points(tmp_path / "p.ply")
    assert np.array_equal(cloud.xyz.numpy(), xyz)
    assert cloud.rgb.tolist() == [[0, 1, 0] if colour else [0.5, 0.5, 0.5]] * 5


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.ply"
    write(path)
    whole = path.read_bytes()
    for broken in (whole[:-3], whole.replace(b"vertex 5", b"vertex 9"), whole[:40], b"", b"nothing of the kind"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"p.ply"):
            read_points(path)
    path.write_bytes(whole.replace(b"vertex 5", b"vertex 999999999999"))
    with pytest.raises(InputError, match=r"field element vertex: .* got 999999999999"):
        read_points(path)
    path.write_bytes(whole.replace(b"float y", b"float q"))
    with pytest.raises(InputError, match=r"field y: no positions of points"):
        read_points(path)


def test_positions_that_are_not_finite_are_named(tmp_path: Path) -> None:
    write(tmp_path / "p.ply", text=True)
    text = (tmp_path / "p.ply").read_text().splitlines()
    text[-1] = "nan" + text[-1][text[-1].index(" ") :]
    (tmp_path / "p.ply").write_text("\n".join(text) + "\n")
    with pytest.raises(InputError, match=r"field vertex 4: positions that are not finite"):
        read_points(tmp_path / "p.ply")
