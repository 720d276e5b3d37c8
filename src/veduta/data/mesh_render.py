"""Pictures of textured meshes without a screen or a GPU: rays by Embree, mipmapped textures, fixed lights.

Colour is worked out in linear light, averaged over the rays of a pixel that hit, and sRGB-encoded: it is the straight
colour of the object, and the share of rays that hit is its alpha.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from veduta.core import Cameras, MissingDependencyError, Views
from veduta.data.mesh_textures import Mipmaps, encoded
from veduta.data.meshes import TexturedMesh

_MAX_HOLES = 8
"""Surfaces with holes that a ray is followed through."""
_STEP = 1e-4
"""How far behind a hole a ray goes on, as a share of its length."""
_HIGHLIGHT_EXPONENT = 30.0

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Light:
    """A distant key light, a weaker fill light from the other side, and light from everywhere; fixed in the world."""

    towards: tuple[float, float, float] = (0.4, -0.5, 0.75)
    """Direction to the key light, of any length."""
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Surfaces that face this way get the most of the light from everywhere."""
    key: float = 0.65
    fill: float = 0.15
    ambient: float = 0.45


@dataclass(frozen=True, eq=False)
class Pictures:
    """Views of a mesh, with what covers each pixel."""

    views: Views
    """Straight colour, black where there is nothing; z depth and where it is known."""
    alpha: Float[Tensor, "v h w"]


class MeshRenderer:
    """A mesh ready to be looked at from anywhere: its triangles in a tree, its textures in mipmaps."""

    def __init__(self, mesh: TexturedMesh) -> None:
        self._scene = _embree_scene(mesh)
        self._vertices = mesh.vertices.double().numpy()
        self._tinted = not bool((mesh.tint == 1).all())
        tint = [mesh.tint] if self._tinted else []
        self._looks = torch.cat([mesh.normals, mesh.uv, *tint], dim=1).float().numpy()
        self._faces = mesh.faces.numpy()
        self._material = mesh.material.numpy()
        self._gloss = np.array([m.gloss for m in mesh.materials], dtype=np.float32)
        self._cutoff = np.array([m.cutoff for m in mesh.materials], dtype=np.float32)
        self._mipmaps = Mipmaps(tuple(m.image.numpy() for m in mesh.materials))
        self._density = _texture_density(mesh)

    def draw(self, cameras: Cameras, *, light: Light | None = None, samples: int = 2) -> Pictures:
        """Pictures by ``samples`` x ``samples`` rays per pixel; cameras must be pinholes."""
        assert cameras.lens is None, "meshes are drawn by pinhole cameras"
        light = Light() if light is None else light
        drawn = [self._picture(cameras[i], light, samples) for i in range(len(cameras))]
        rgb, alpha, depth = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        views = Views.of(cameras, rgb=rgb).replace(depth=depth, depth_valid=alpha > 0)
        return Pictures(views=views, alpha=alpha)

    def _picture(self, camera: Cameras, light: Light, samples: int) -> tuple[Array, Array, Array]:
        """Colour, alpha and depth of one view."""
        pose = camera.world_from_camera[0].double().numpy()
        pixels = self._seen_pixels(camera, pose)
        rays = _rays(camera, pixels, samples) @ pose[:3, :3].T.astype(np.float32)
        hits = self._first_hits(pose[:3, 3].astype(np.float32), rays)
        count = camera.width * camera.height
        spacing = 1.0 / (samples * float(camera.intrinsics[0, 0, 0]))
        radiance = self._radiance(hits, rays, light, spacing)
        pixel = pixels[hits.ray // (samples * samples)]
        share = np.bincount(pixel, minlength=count)
        covered = np.maximum(share, 1)
        sums = [np.bincount(pixel, weights=column, minlength=count) for column in (*radiance.T, hits.depth)]
        means = np.stack(sums, axis=-1).astype(np.float32) / covered[:, None].astype(np.float32)
        rgb = encoded(means[:, :3]) * (share > 0)[:, None]
        shape = (camera.height, camera.width)
        alpha = share.astype(np.float32) / np.float32(samples * samples)
        return rgb.reshape(*shape, 3), alpha.reshape(shape), means[:, 3].reshape(shape)

    def _seen_pixels(self, camera: Cameras, pose: Array) -> NDArray[np.int64]:
        """Pixels of the rectangle that the mesh projects into; all of them where it reaches behind the camera."""
        local = (self._vertices - pose[:3, 3]) @ pose[:3, :3]
        columns, rows = slice(0, camera.width), slice(0, camera.height)
        if local[:, 2].min() > 0:
            (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].double().tolist()
            columns = _reach(local[:, 0] / local[:, 2] * fx + cx, camera.width)
            rows = _reach(local[:, 1] / local[:, 2] * fy + cy, camera.height)
        grid = np.arange(camera.height * camera.width).reshape(camera.height, camera.width)
        return grid[rows, columns].reshape(-1)

    def _first_hits(self, origin: Array, rays: Array) -> _Hits:
        """What each ray meets first that is no hole; ``rays`` have z depth 1, so distances are depths."""
        hits = self._meet(np.arange(len(rays)), np.broadcast_to(origin, rays.shape), rays)
        if not self._cutoff.any():
            return hits
        kept: list[_Hits] = []
        passed = np.zeros(len(rays), dtype=np.float32)
        for _ in range(_MAX_HOLES):
            uv = self._interpolated(hits)[:, 3:5]
            alpha = self._mipmaps.alpha(self._material[hits.face], uv)
            solid = alpha >= self._cutoff[self._material[hits.face]]
            kept.append(hits.rows(solid))
            holes = hits.rows(~solid)
            if len(holes.ray) == 0:
                break
            passed[holes.ray] = holes.depth * (1 + _STEP)
            starts = origin + rays[holes.ray] * passed[holes.ray][:, None]
            hits = self._meet(holes.ray, starts, rays[holes.ray])
            hits.depth[:] += passed[hits.ray]
        return _Hits.cat(kept)

    def _meet(self, which: NDArray[np.int64], origins: Array, rays: Array) -> _Hits:
        met = self._scene.run(np.ascontiguousarray(origins), np.ascontiguousarray(rays), query="INTERSECT", output=True)
        rows = np.flatnonzero(met["primID"] >= 0)
        return _Hits(which[rows], met["primID"][rows], met["u"][rows], met["v"][rows], met["tfar"][rows])

    def _radiance(self, hits: _Hits, rays: Array, light: Light, spacing: float) -> Array:
        """Linear colour at hits; ``spacing`` is the distance between rays at depth 1."""
        looks = self._interpolated(hits)
        normals = np.ascontiguousarray(looks[:, :3])
        rays = rays[hits.ray]
        toward_eye = -rays / np.sqrt(_dot(rays, rays))[:, None]
        facing = _dot(normals, toward_eye)
        scale = np.copysign(1 / np.sqrt(np.maximum(_dot(normals, normals), 1e-12)), facing).astype(np.float32)
        normals *= scale[:, None]
        cosine = np.maximum(np.abs(facing * scale), 0.1)
        material = self._material[hits.face]
        texels = self._density[hits.face] * hits.depth * spacing / np.sqrt(cosine)
        albedo = self._mipmaps.color(material, looks[:, 3:5], texels)
        if self._tinted:
            albedo *= looks[:, 5:]
        key = _unit(light.towards)
        lit = light.ambient * (0.75 + 0.25 * normals @ _unit(light.up))
        lit += light.key * np.maximum(normals @ key, 0)
        lit += light.fill * np.maximum(normals @ -key, 0)
        radiance = albedo * lit[:, None]
        gloss = self._gloss[material]
        if gloss.any():
            half = toward_eye + key
            half /= np.sqrt(np.maximum(_dot(half, half), 1e-12))[:, None]
            radiance += (gloss * np.maximum(_dot(normals, half), 0) ** _HIGHLIGHT_EXPONENT)[:, None]
        return radiance

    def _interpolated(self, hits: _Hits) -> Array:
        """Normals, texture coordinates and, where there is any, tint at the hits."""
        corners = self._faces[hits.face]
        first = self._looks[corners[:, 0]]
        result = self._looks[corners[:, 1]]
        result -= first
        result *= hits.u[:, None]
        last = self._looks[corners[:, 2]]
        last -= first
        last *= hits.v[:, None]
        result += last
        result += first
        return result


@dataclass(frozen=True, eq=False)
class _Hits:
    ray: NDArray[np.int64]
    face: NDArray[np.int32]
    u: Array
    v: Array
    depth: Array

    def rows(self, chosen: NDArray[np.bool_]) -> _Hits:
        return _Hits(self.ray[chosen], self.face[chosen], self.u[chosen], self.v[chosen], self.depth[chosen])

    @staticmethod
    def cat(parts: list[_Hits]) -> _Hits:
        return _Hits(
            np.concatenate([p.ray for p in parts]),
            np.concatenate([p.face for p in parts]),
            np.concatenate([p.u for p in parts]),
            np.concatenate([p.v for p in parts]),
            np.concatenate([p.depth for p in parts]),
        )


def _reach(positions: Array, size: int) -> slice:
    """The pixels that positions along an axis touch, with one to spare."""
    first, last = (int(np.clip(np.floor(edge), -1, size)) for edge in (positions.min(), positions.max()))
    return slice(max(first - 1, 0), min(last + 2, size))


def _rays(camera: Cameras, pixels: NDArray[np.int64], samples: int) -> Array:
    """Rays of z depth 1 through pixels, in the camera's frame; those of one pixel lie together."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].double().tolist()
    inner = (np.arange(samples) + 0.5) / samples
    x = ((np.arange(camera.width)[:, None] + inner - cx) / fx).astype(np.float32)
    y = ((np.arange(camera.height)[:, None] + inner - cy) / fy).astype(np.float32)
    rays = np.ones((len(pixels), samples, samples, 3), dtype=np.float32)
    rays[..., 0] = x[pixels % camera.width][:, None, :]
    rays[..., 1] = y[pixels // camera.width][:, :, None]
    return rays.reshape(-1, 3)


def _texture_density(mesh: TexturedMesh) -> Array:
    """Texels per unit of length on each triangle."""
    corners, uv = mesh.vertices[mesh.faces], mesh.uv[mesh.faces]
    sides, uv_sides = corners[:, 1:] - corners[:, :1], uv[:, 1:] - uv[:, :1]
    area = torch.linalg.cross(sides[:, 0], sides[:, 1]).norm(dim=1)
    uv_area = (uv_sides[:, 0, 0] * uv_sides[:, 1, 1] - uv_sides[:, 0, 1] * uv_sides[:, 1, 0]).abs()
    texels = torch.tensor([float(m.image.shape[0] * m.image.shape[1]) for m in mesh.materials])[mesh.material]
    return torch.sqrt(uv_area * texels / area.clamp_min(1e-20)).float().numpy()


def _embree_scene(mesh: TexturedMesh) -> Any:
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise MissingDependencyError(
            "drawing meshes needs Embree", got=str(error), hint='Install it: pip install "veduta[objects]"'
        ) from error
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.vertices.float().numpy(), mesh.faces.to(torch.int32).numpy())
    return scene


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("ni,ni->n", a, b)


def _unit(direction: tuple[float, float, float]) -> Array:
    length = math.sqrt(sum(x * x for x in direction))
    return np.array(direction, dtype=np.float32) / np.float32(length)
