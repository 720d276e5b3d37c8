"""Textured meshes from glTF and OBJ files, by trimesh."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from veduta.core import InputError, MissingDependencyError
from veduta.data.meshes import Material, TexturedMesh
from veduta.io.paths import inside, require_file

MESH_SUFFIXES = (".glb", ".gltf", ".obj")
MAX_FILE_BYTES = 1 << 30
MAX_ELEMENTS = 20_000_000
"""Vertices, or corners of triangles, of one file."""
MAX_TEXTURE_PIXELS = 1 << 26
_GLB_MAGIC = b"glTF"
_WHAT = "a mesh (glTF or OBJ)"
_GLOSS = 0.25
"""Strength of the highlight of a perfectly smooth surface; rough ones have less, in proportion."""


def load_mesh(path: str | Path) -> TexturedMesh:
    """All triangles of a ``.glb``, ``.gltf`` or ``.obj`` file, placed by its nodes, z up, inside [-0.5, 0.5]^3.

    Base colour (textures, factors, vertex colours) and alpha masks are read; half-transparent surfaces become masks cut
    at one half; metal is lit like any other surface, and light that surfaces emit is left out. Textures repeat. The
    farthest vertex is 0.5 from the origin, the middle of the bounds. Raises InputError for what cannot be read and
    MissingDependencyError without trimesh.
    """
    path = require_file(path, what=_WHAT)
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise InputError("not a mesh", where=path, expected=", ".join(MESH_SUFFIXES), got=path.suffix or "no suffix")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError("the mesh is too large", where=path, expected="at most 1 GiB", got=f"{path.stat().st_size} B")
    mesh = TexturedMesh.join(_parts(path))
    upright = mesh if path.suffix.lower() == ".obj" else mesh.moved(_Z_UP_FROM_Y_UP)
    return upright.boxed()


_Z_UP_FROM_Y_UP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def _parts(path: Path) -> list[TexturedMesh]:
    """Every mesh of the file where its node puts it."""
    scene = _scene(path)
    parts: list[TexturedMesh] = []
    for node in scene.graph.nodes_geometry:
        pose, name = scene.graph[node]
        geometry = scene.geometry[name]
        if len(getattr(geometry, "faces", ())) == 0:
            continue
        matrix = torch.from_numpy(np.array(pose, dtype=np.float64))
        if not bool(torch.isfinite(matrix).all()) or abs(float(torch.linalg.det(matrix[:3, :3]))) < 1e-18:
            raise InputError("a node flattens its mesh", where=path, field=f"node {node}", expected="a finite matrix")
        parts.append(_part(geometry, path).moved(matrix))
    if not parts:
        raise InputError("the file holds no triangles", where=path, expected=_WHAT)
    return parts


def _scene(path: Path) -> Any:
    try:
        import trimesh
        from trimesh.resolvers import Resolver
    except ImportError as error:
        raise MissingDependencyError(
            "reading meshes needs trimesh", got=str(error), hint='Install it: pip install "veduta[objects]"'
        ) from error

    class Beside(Resolver):
        """Finds the files that a mesh names, in its folder and nowhere else."""

        def __init__(self) -> None:
            self.problem: InputError | None = None

        def get(self, key: str) -> bytes:
            try:
                found = require_file(
                    inside(path.parent, key.strip(), where=path), what=f"a file that {path.name} names"
                )
            except InputError as error:  # trimesh goes on without the file
                self.problem = error
                raise
            return found.read_bytes()

        def keys(self) -> list[str]:
            return []

        def namespaced(self, namespace: str) -> Beside:
            raise NotImplementedError(namespace)

        def write(self, name: str, data: bytes) -> None:
            raise NotImplementedError(name)

    data = path.read_bytes()
    if path.suffix.lower() != ".obj":
        _check_accessors(data, path)
    beside = Beside()
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=path.suffix.lower()[1:], resolver=beside, process=False)
    except InputError:
        raise
    except Exception as error:  # trimesh raises nearly anything on damaged files
        raise InputError(
            "cannot read the mesh",
            where=path,
            expected=_WHAT,
            got="an empty file" if not data else f"{type(error).__name__}: {error}",
            hint="Open it in a modeller and export it again.",
        ) from error
    if beside.problem is not None:
        raise beside.problem
    return scene


def _check_accessors(data: bytes, path: Path) -> None:
    """InputError for a glTF that asks for more elements than a mesh may have, before anything is allocated."""
    try:
        text = data[20 : 20 + struct.unpack("<I", data[12:16])[0]] if data[:4] == _GLB_MAGIC else data
        header = json.loads(text)
        counts = [accessor["count"] for accessor in header.get("accessors", [])]
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InputError("not glTF", where=path, expected=_WHAT, got=str(error)) from error
    for index, count in enumerate(counts):
        if not isinstance(count, int) or not 0 < count <= MAX_ELEMENTS:
            raise InputError(
                "an accessor of an impossible size",
                where=path,
                field=f"accessors[{index}].count",
                expected=f"1 to {MAX_ELEMENTS}",
                got=count,
            )


def _part(geometry: Any, path: Path) -> TexturedMesh:
    vertices = torch.from_numpy(np.array(geometry.vertices, dtype=np.float32))
    faces = torch.from_numpy(np.array(geometry.faces, dtype=np.int64))
    if not bool(torch.isfinite(vertices).all()):
        raise InputError("a vertex is not finite", where=path, field="POSITION", expected="finite numbers")
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise InputError(
            "a triangle without corners", where=path, field="indices", expected=f"0 to {len(vertices) - 1}"
        )
    uv, tint, material = _look(geometry.visual, len(vertices), path)
    return TexturedMesh(
        vertices=vertices,
        normals=torch.from_numpy(np.array(geometry.vertex_normals, dtype=np.float32)),
        uv=uv,
        tint=tint,
        faces=faces,
        material=torch.zeros(len(faces), dtype=torch.int64),
        materials=(material,),
    )


def _look(visual: Any, count: int, path: Path) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 3"], Material]:
    """Texture coordinates (v down), linear tint and material of a mesh as trimesh tells them."""
    uv = torch.zeros(count, 2)
    if visual.kind != "texture":
        return uv, _vertex_tint(visual.vertex_colors, count), Material(image=_WHITE)
    if visual.uv is not None and len(visual.uv) == count:
        uv = torch.from_numpy(np.nan_to_num(np.array(visual.uv, dtype=np.float32)))
        uv = torch.stack([uv[:, 0], 1 - uv[:, 1]], dim=1)
    look = visual.material
    pbr = hasattr(look, "baseColorTexture")
    picture = look.baseColorTexture if pbr else look.image
    image = _WHITE if picture is None else _texels(picture, path)
    factor = look.baseColorFactor if pbr else (None if picture is not None else look.diffuse)
    tint = _vertex_tint(visual.vertex_attributes.get("color"), count)
    if factor is not None:
        tint = tint * torch.from_numpy(_unit_range(np.array(factor))[:3])
    roughness = look.roughnessFactor if pbr and look.roughnessFactor is not None else 1.0
    masked = pbr and look.alphaMode in ("MASK", "BLEND")
    cutoff = look.alphaCutoff if masked and look.alphaMode == "MASK" and look.alphaCutoff is not None else 0.5
    return (
        uv,
        tint,
        Material(
            image=image,
            gloss=_GLOSS * (1 - min(max(float(roughness), 0.0), 1.0)),
            cutoff=float(cutoff) if masked else 0.0,
        ),
    )


_WHITE = torch.full((1, 1, 4), 255, dtype=torch.uint8)


def _vertex_tint(colors: Any, count: int) -> Float[Tensor, "n 3"]:
    """Linear colours of vertices; white where there are none."""
    if colors is None or len(colors) != count:
        return torch.ones(count, 3)
    return torch.from_numpy(_unit_range(np.array(colors))[:, :3].copy())


def _unit_range(values: np.ndarray) -> np.ndarray:
    """0 to 1 from whole numbers of any width, or from numbers that are there already."""
    if np.issubdtype(values.dtype, np.integer):
        return (values / np.iinfo(values.dtype).max).astype(np.float32)
    return np.clip(np.nan_to_num(values), 0, 1).astype(np.float32)


def _texels(picture: Any, path: Path) -> UInt8[Tensor, "h w 4"]:
    width, height = picture.size
    if width * height > MAX_TEXTURE_PIXELS or width * height == 0:
        raise InputError(
            "a texture of an impossible size",
            where=path,
            field="texture",
            expected=f"1 to {MAX_TEXTURE_PIXELS} pixels",
            got=f"{width} x {height}",
        )
    try:
        return torch.from_numpy(np.array(picture.convert("RGBA")))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise InputError("cannot read a texture", where=path, expected="a picture", got=str(error)) from error
