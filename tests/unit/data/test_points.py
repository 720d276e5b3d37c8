from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from veduta.core import InputError, PointCloud
from veduta.data.points import read_points, write_points


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


def test_what_is_written_is_read_again_by_plyfile_too(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (7, 3), generator=generator) / 255
    cloud = PointCloud(xyz=torch.randn(7, 3, generator=generator), rgb=rgb)
    for part in (cloud, PointCloud(cloud.xyz[:0], cloud.rgb[:0])):
        write_points(part, tmp_path / "p.ply")
        ours = read_points(tmp_path / "p.ply")
        assert torch.equal(ours.xyz, part.xyz)
        assert torch.equal(ours.rgb, part.rgb)
        theirs = PlyData.read(str(tmp_path / "p.ply"))["vertex"]
        assert np.array_equal(np.stack([theirs[c] for c in "xyz"], axis=1), part.xyz.numpy())
        assert np.array_equal(theirs["blue"], (part.rgb[:, 2] * 255).round().byte().numpy())


@pytest.mark.parametrize("text", [True, False])
def test_meshes_give_their_vertices(tmp_path: Path, text: bool) -> None:
    xyz = write(tmp_path / "p.ply")
    vertex = PlyData.read(str(tmp_path / "p.ply"))["vertex"]
    camera = PlyElement.describe(np.zeros(3, dtype=[("id", "i4"), ("f", "f8")]), "camera")
    face = PlyElement.describe(np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))]), "face")
    PlyData([camera, vertex, face], text=text).write(str(tmp_path / "mesh.ply"))
    assert np.array_equal(read_points(tmp_path / "mesh.ply").xyz.numpy(), xyz)
    PlyData([face, vertex], text=text).write(str(tmp_path / "mesh.ply"))
    if text:
        assert np.array_equal(read_points(tmp_path / "mesh.ply").xyz.numpy(), xyz)
    else:
        with pytest.raises(InputError, match=r"element face has lists and stands before(.|\n)*without faces"):
            read_points(tmp_path / "mesh.ply")


def test_doubles_beyond_float32_are_not_finite(tmp_path: Path) -> None:
    rows = np.array([(0, 0, 0), (0, 0, 1e300)], dtype=[(c, "f8") for c in "xyz"])
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(tmp_path / "p.ply"))
    with pytest.raises(InputError, match="field vertex 1: positions that are not finite"):
        read_points(tmp_path / "p.ply")


@given(data=st.data())
@pytest.mark.parametrize("text", [True, False])
def test_fuzzed_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, text: bool, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "p.ply"
    write(path, text=text)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with contextlib.suppress(InputError):
        read_points(path)
