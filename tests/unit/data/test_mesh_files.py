"""Meshes from files: written here, read back, drawn; hostile files."""

from __future__ import annotations

import base64
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from veduta.core import Cameras, InputError, MissingDependencyError
from veduta.data import MeshObjects, load_mesh
from veduta.data.mesh_render import Light, MeshRenderer

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("embreex")

FLAT = Light(key=0.0, fill=0.0, ambient=1.0, up=(0.0, 0.0, 1.0))


def _picture(colors: list[list[list[int]]]) -> Image.Image:
    return Image.fromarray(np.array(colors, dtype=np.uint8))


def _square(material: Any, *, colors: np.ndarray | None = None) -> Any:
    """A square of side 2 in glTF's ground plane y = 0, facing up; its picture's top lies at -z."""
    vertices = [[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]
    uv = [[0, 1], [1, 1], [1, 0], [0, 0]]  # trimesh counts v upwards
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    if colors is not None:
        visual.vertex_attributes["color"] = colors
    return trimesh.Trimesh(vertices=vertices, faces=[[0, 3, 1], [1, 3, 2]], visual=visual, process=False)


def _pbr(picture: Image.Image | None = None, **settings: Any) -> Any:
    return trimesh.visual.material.PBRMaterial(baseColorTexture=picture, **settings)


def _written(path: Path, scene: Any) -> Path:
    path.write_bytes(scene.export(file_type=path.suffix[1:]))
    return path


def _from_above(mesh: Any, size_px: int = 32) -> torch.Tensor:
    """Straight from above, the square filling the picture; colour and coverage [h, w, 4]."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.0], [0, 0, 0, 1]])[None]
    half = size_px / 2
    focal = size_px * 2 * 2**0.5
    cameras = Cameras.pinhole(pose, fx=focal, fy=focal, cx=half, cy=half, width=size_px, height=size_px)
    pictures = MeshRenderer(mesh).draw(cameras, light=FLAT)
    return torch.cat([pictures.views.rgb[0], pictures.alpha[0, ..., None]], dim=-1)


QUARTERS = _picture([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]])


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_gltf_textures_stand_upright(tmp_path: Path, suffix: str) -> None:
    scene = trimesh.Scene(_square(_pbr(QUARTERS)))
    path = tmp_path / f"square{suffix}"
    if suffix == ".glb":
        _written(path, scene)
    else:
        for name, data in scene.export(file_type="gltf").items():
            (tmp_path / (path.name if name == "model.gltf" else name)).write_bytes(data)
    drawn = _from_above(load_mesh(path))
    for (row, column), color in {
        (7, 7): (1, 0, 0),
        (7, 24): (0, 1, 0),
        (24, 7): (0, 0, 1),
        (24, 24): (1, 1, 1),
    }.items():
        assert torch.allclose(drawn[row, column, :3], torch.tensor(color).float(), atol=0.3), (row, column)


def test_obj_with_its_material(tmp_path: Path) -> None:
    QUARTERS.save(tmp_path / "quarters.png")
    (tmp_path / "look.mtl").write_text("newmtl look\nmap_Kd quarters.png\n")
    path = tmp_path / "square.obj"
    corners = "v -1 1 0\nv 1 1 0\nv 1 -1 0\nv -1 -1 0\nvt 0 1\nvt 1 1\nvt 1 0\nvt 0 0\n"
    path.write_text(f"mtllib look.mtl\n{corners}usemtl look\nf 1/1 4/4 2/2\nf 2/2 4/4 3/3\n")
    drawn = _from_above(load_mesh(path))
    assert torch.allclose(drawn[7, 7, :3], torch.tensor([1.0, 0, 0]), atol=0.3)
    assert torch.allclose(drawn[24, 7, :3], torch.tensor([0, 0, 1.0]), atol=0.3)


def test_factors_and_vertex_colours_multiply(tmp_path: Path) -> None:
    colors = np.tile(np.array([[255, 128, 255, 255]], dtype=np.uint8), (4, 1))
    square = _square(_pbr(_picture([[[255, 255, 255]]]), baseColorFactor=[128, 255, 255, 255]), colors=colors)
    mesh = load_mesh(_written(tmp_path / "x.glb", trimesh.Scene(square)))
    assert torch.allclose(mesh.tint, torch.tensor([128 / 255, 128 / 255, 1.0]).expand(4, 3), atol=1e-2)


def test_vertex_colours_alone(tmp_path: Path) -> None:
    square = _square(_pbr())
    square.visual = trimesh.visual.ColorVisuals(square, vertex_colors=np.tile([[10, 20, 255, 255]], (4, 1)))
    mesh = load_mesh(_written(tmp_path / "x.glb", trimesh.Scene(square)))
    assert torch.allclose(mesh.tint, torch.tensor([10, 20, 255]).float().expand(4, 3) / 255, atol=1e-2)


def test_masks_cut_and_roughness_dulls(tmp_path: Path) -> None:
    holed = Image.fromarray(np.array([[[255, 255, 255, 0], [255, 255, 255, 255]]] * 2, dtype=np.uint8))
    square = _square(_pbr(holed, alphaMode="MASK", alphaCutoff=0.4, roughnessFactor=0.5))
    mesh = load_mesh(_written(tmp_path / "x.glb", trimesh.Scene(square)))
    assert mesh.materials[0].cutoff == pytest.approx(0.4)
    assert 0 < mesh.materials[0].gloss < 0.25
    drawn = _from_above(mesh)
    assert float(drawn[10:22, 4:14, 3].max()) == 0
    assert float(drawn[10:22, 18:28, 3].min()) == 1


def test_nodes_place_their_meshes(tmp_path: Path) -> None:
    """A second square, half as large, 3 to the right and mirrored, makes the bounds 5 by 2."""
    scene = trimesh.Scene(_square(_pbr(QUARTERS)))
    matrix = np.diag([-0.5, 0.5, 0.5, 1.0])
    matrix[0, 3] = 3.0
    scene.add_geometry(_square(_pbr(QUARTERS)), transform=matrix)
    mesh = load_mesh(_written(tmp_path / "x.glb", scene))
    assert len(mesh.faces) == 4
    extent = mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0)
    assert float(extent[0] / extent[1]) == pytest.approx(4.5 / 2, rel=1e-4)
    assert torch.allclose(mesh.normals.abs(), torch.tensor([0.0, 0, 1]).expand(8, 3), atol=1e-5)
    corners = mesh.vertices[mesh.faces]
    turning = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    assert bool((turning > 0).all())


def _glb(header: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _headed(**accessor: Any) -> bytes:
    return _glb(
        {
            "asset": {"version": "2.0"},
            "accessors": [{"componentType": 5126, "type": "VEC3", "count": 3, **accessor}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
        }
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.glb", b"", "not glTF"),
        ("x.glb", b"glTF" + bytes(40), "not glTF"),
        ("x.glb", _headed(count=10**13), r"accessors\[0\].count"),
        ("x.glb", _headed(count=-1), r"accessors\[0\].count"),
        ("x.glb", _headed(count="many"), r"accessors\[0\].count"),
        ("x.glb", _headed(bufferView=7), "cannot read the mesh"),
        ("x.glb", _glb({"asset": {"version": "2.0"}}), "no triangles|cannot read"),
        (
            "x.gltf",
            b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "../../secret", "byteLength": 4}]}',
            "leaves its folder",
        ),
        ("x.gltf", b"[1, 2]", "not glTF"),
        (
            "x.gltf",
            b'{"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}], "meshes": [{'
            b'"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}], "buffers": [{"byteLength": 48, "uri": '
            b'"data:application/octet-stream;base64,'
            + base64.b64encode(bytes(36) + struct.pack("<3I", 0, 1, 9))
            + b'"}], '
            b'"bufferViews": [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 12}], '
            b'"accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}, '
            b'{"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"}]}',
            "without corners|cannot read",
        ),
        ("x.obj", b"v 0 0 0\n", "no triangles|cannot read"),
        ("x.obj", b"mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n", "leaves its folder"),
        ("x.obj", b"mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n", "no such file"),
        ("x.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("x.ply", b"ply", "not a mesh"),
    ],
)
def test_hostile_files_are_told(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_mesh(path)
    assert str(path.parent) in str(caught.value)


def test_textures_and_files_of_absurd_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path / "x.glb", trimesh.Scene(_square(_pbr(QUARTERS))))
    monkeypatch.setattr("veduta.data.mesh_files.MAX_TEXTURE_PIXELS", 3)
    with pytest.raises(InputError, match="texture of an impossible size"):
        load_mesh(path)
    monkeypatch.setattr("veduta.data.mesh_files.MAX_FILE_BYTES", 10)
    with pytest.raises(InputError, match="the mesh is too large"):
        load_mesh(path)


def test_a_damaged_texture_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "look.mtl").write_text("newmtl look\nmap_Kd a.png\n")
    path = tmp_path / "x.obj"
    path.write_text("mtllib look.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl look\nf 1/1 2/2 3/3\n")
    with pytest.raises(InputError, match="cannot read a texture"):
        load_mesh(path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path / "x.glb", trimesh.Scene(_square(_pbr(QUARTERS))))
    mesh = load_mesh(path)
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingDependencyError, match=r"veduta\[objects\]"):
        load_mesh(path)
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    with pytest.raises(MissingDependencyError, match=r"veduta\[objects\]"):
        MeshRenderer(mesh)


def test_a_flattening_node_is_refused(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scene.add_geometry(_square(_pbr(QUARTERS)), transform=np.diag([0.0, 1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="flattens"):
        load_mesh(_written(tmp_path / "x.glb", scene))


def test_a_folder_of_meshes_as_examples(tmp_path: Path) -> None:
    for name in ("b", "a"):
        _written(tmp_path / f"{name}.glb", trimesh.Scene(_square(_pbr(QUARTERS))))
    objects = MeshObjects(tmp_path, size_px=24, inputs=3, targets=2, samples=1)
    assert len(objects) == 2
    example, again = objects.evaluation(0), objects.evaluation(0)
    assert example.name == "a"
    assert torch.equal(example.targets.rgb, again.targets.rgb)
    assert torch.allclose(example.inputs.cameras.world_from_camera[0, :3, :3], torch.eye(3), atol=1e-6)
    directions = torch.nn.functional.normalize(example.inputs.cameras.positions_world, dim=1)
    assert float((directions @ directions.T - 2 * torch.eye(3)).max()) < 0.2
    drawn = [objects.sample(1, torch.Generator().manual_seed(seed)).inputs.cameras for seed in (0, 0, 1)]
    assert torch.equal(drawn[0].world_from_camera, drawn[1].world_from_camera)
    assert not torch.equal(drawn[0].world_from_camera, drawn[2].world_from_camera)


def test_folders_without_meshes_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no meshes"):
        MeshObjects(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        MeshObjects(tmp_path / "gone")


def test_all_real_objects_are_read_and_fill_the_picture(shared_data: Path) -> None:
    objects = MeshObjects(shared_data / "objects", size_px=32, samples=1)
    assert len(objects) == 16
    for index in range(16):
        example = objects.evaluation(index)
        assert example.input_alpha is not None
        covered = example.input_alpha > 0
        assert 0.05 < float(covered.float().mean()) < 0.6
        assert float(example.inputs.rgb[covered].std()) > 0.02
        edge = torch.cat([example.input_alpha[:, 0], example.input_alpha[:, -1]])
        assert float(edge.max()) == 0
