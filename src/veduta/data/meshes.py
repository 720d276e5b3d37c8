"""Textured triangle meshes in memory: joined, moved, and brought to the size that object models expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from veduta.core import TensorRecord

BOX_RADIUS = 0.5
"""Objects of feed-forward models lie in [-0.5, 0.5]^3; a ball of this radius stays in it however it is turned."""


@dataclass(frozen=True, eq=False)
class Material(TensorRecord):
    """What a surface looks like from all sides."""

    image: UInt8[Tensor, "h w 4"]
    """sRGB colour and coverage; repeated beyond 0 to 1. (0, 0) is the corner of the first pixel, v runs down."""
    gloss: float = 0.0
    """Strength of the highlight."""
    cutoff: float = 0.0
    """Texels that cover less than this are holes; 0: there are none."""


@dataclass(frozen=True, eq=False)
class TexturedMesh(TensorRecord):
    """n vertices, m triangles; vertices are doubled along seams."""

    vertices: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    """Unit, towards the outside; surfaces are lit from both sides."""
    uv: Float[Tensor, "n 2"]
    tint: Float[Tensor, "n 3"]
    """Linear colour that the texture's is multiplied by, 0 to 1."""
    faces: Int[Tensor, "m 3"]
    material: Int[Tensor, " m"]
    """Index into ``materials``, per triangle."""
    materials: tuple[Material, ...]

    @staticmethod
    def join(parts: Sequence[TexturedMesh]) -> TexturedMesh:
        """All parts as one mesh."""
        vertex_starts, material_starts = [0], [0]
        for part in parts:
            vertex_starts.append(vertex_starts[-1] + len(part.vertices))
            material_starts.append(material_starts[-1] + len(part.materials))
        return TexturedMesh(
            vertices=torch.cat([p.vertices for p in parts]),
            normals=torch.cat([p.normals for p in parts]),
            uv=torch.cat([p.uv for p in parts]),
            tint=torch.cat([p.tint for p in parts]),
            faces=torch.cat([p.faces + start for p, start in zip(parts, vertex_starts, strict=False)]),
            material=torch.cat([p.material + start for p, start in zip(parts, material_starts, strict=False)]),
            materials=tuple(material for p in parts for material in p.materials),
        )

    def moved(self, world_from_mesh: Float[Tensor, "4 4"]) -> TexturedMesh:
        """Under an affine map that can be inverted; a mirrored mesh is turned inside out again."""
        linear = world_from_mesh[:3, :3].to(self.vertices)
        normals = torch.nn.functional.normalize(self.normals @ torch.linalg.inv(linear), dim=1)
        mirrored = float(torch.linalg.det(linear)) < 0
        return self.replace(
            vertices=self.vertices @ linear.T + world_from_mesh[:3, 3].to(self.vertices),
            normals=normals,
            faces=self.faces.flip(1) if mirrored else self.faces,
        )

    def boxed(self, radius: float = BOX_RADIUS) -> TexturedMesh:
        """Moved and scaled: the middle of its bounds at the origin, its farthest vertex ``radius`` away."""
        used = self.vertices[self.faces.flatten()]
        middle = (used.amin(dim=0) + used.amax(dim=0)) / 2
        farthest = (used - middle).norm(dim=1).max().clamp_min(1e-12)
        return self.replace(vertices=(self.vertices - middle) * (radius / farthest))


def smooth_normals(vertices: Float[Tensor, "n 3"], faces: Int[Tensor, "m 3"]) -> Float[Tensor, "n 3"]:
    """Unit normals of vertices: means of their triangles', weighted by area; up where there is no triangle."""
    corners = vertices[faces]
    crosses = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices).index_add_(0, faces.flatten(), crosses.repeat_interleave(3, dim=0))
    length = total.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-20, total / length.clamp_min(1e-20), vertices.new_tensor([0.0, 0.0, 1.0]))
