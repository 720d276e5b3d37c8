"""Pictures of meshes against what can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from veduta.core import Cameras
from veduta.data.mesh_render import Light, MeshRenderer
from veduta.data.meshes import Material, TexturedMesh, smooth_normals
from veduta.data.object_views import round_the_object
from veduta.geometry import so3_exp

pytest.importorskip("embreex")

FLAT = Light(key=0.0, fill=0.0, ambient=1.0, up=(0.0, 0.0, 1.0))


def quad(size: float = 1.0, *, image: torch.Tensor | None = None, cutoff: float = 0.0) -> TexturedMesh:
    """A square in the plane z = 0 that faces up; texture u runs along x, v against y."""
    half = size / 2
    corners = torch.tensor([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    picture = torch.full((1, 1, 4), 255, dtype=torch.uint8) if image is None else image
    return TexturedMesh(
        vertices=corners,
        normals=torch.tensor([[0.0, 0, 1]]).repeat(4, 1),
        uv=torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
        tint=torch.ones(4, 3),
        faces=torch.tensor([[0, 3, 1], [1, 3, 2]]),
        material=torch.zeros(2, dtype=torch.int64),
        materials=(Material(image=picture, cutoff=cutoff),),
    )


def from_above(size_px: int = 64, *, height: float = 2.0, focal: float = 64.0) -> Cameras:
    """Looks straight down from ``height``; picture x runs along world x, picture y against world y."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, height], [0, 0, 0, 1]])[None]
    half = size_px / 2
    return Cameras.pinhole(pose, fx=focal, fy=focal, cx=half, cy=half, width=size_px, height=size_px)


def test_coverage_depth_and_colour_of_a_square() -> None:
    pictures = MeshRenderer(quad()).draw(from_above(), light=FLAT, samples=4)
    covered = pictures.alpha[0] == 1
    assert covered[17:47, 17:47].all()
    assert float(pictures.alpha.sum()) == pytest.approx(32 * 32, rel=1e-6)
    assert pictures.views.depth is not None
    assert torch.allclose(pictures.views.depth[0][covered], torch.tensor(2.0), atol=1e-5)
    assert torch.equal(pictures.views.depth_valid, pictures.alpha > 0)
    # White under light 1 is white; there is nothing elsewhere.
    assert torch.allclose(pictures.views.rgb[0][covered], torch.tensor(1.0), atol=1e-3)
    assert float(pictures.views.rgb[0][pictures.alpha[0] == 0].abs().sum()) == 0


def test_an_edge_through_a_pixel_gives_its_share_and_the_full_colour() -> None:
    pictures = MeshRenderer(quad(1.0 + 2 * 0.25 * 2 / 64)).draw(from_above(), light=FLAT, samples=4)
    assert torch.allclose(pictures.alpha[0, 20:44, 15], torch.tensor(0.25), atol=1e-6)
    assert torch.allclose(pictures.views.rgb[0, 20:44, 15], torch.tensor(1.0), atol=1e-3)


def test_textures_are_laid_on_the_right_way_round() -> None:
    image = torch.full((2, 2, 4), 255, dtype=torch.uint8)
    image[0, 0, :3], image[0, 1, :3] = torch.tensor([255, 0, 0]), torch.tensor([0, 255, 0])
    image[1, 0, :3], image[1, 1, :3] = torch.tensor([0, 0, 255]), torch.tensor([0, 0, 0])
    picture = MeshRenderer(quad(image=image)).draw(from_above(), light=FLAT).views.rgb[0]
    # Texel centres lie a quarter into the square: pixels 24 and 40.
    for (row, column), expected in {
        (23, 23): (1, 0, 0),
        (23, 40): (0, 1, 0),
        (40, 23): (0, 0, 1),
        (40, 40): (0, 0, 0),
    }.items():
        assert torch.allclose(picture[row, column], torch.tensor(expected, dtype=torch.float32), atol=0.2)


def test_a_fine_pattern_seen_from_afar_is_its_mean_in_light() -> None:
    board = (torch.arange(512)[:, None] + torch.arange(512)) % 2
    image = torch.cat([board[..., None].repeat(1, 1, 3) * 255, torch.full((512, 512, 1), 255)], dim=2).to(torch.uint8)
    picture = MeshRenderer(quad(image=image)).draw(from_above(), light=FLAT).views.rgb[0, 20:44, 20:44]
    assert float(picture.std()) < 0.01
    assert float(picture.mean()) == pytest.approx(0.5, abs=0.01)


def test_holes_show_what_lies_behind() -> None:
    image = torch.full((4, 4, 4), 255, dtype=torch.uint8)
    image[:, :2, 3] = 0
    front = quad(image=image, cutoff=0.5)
    behind = quad(2.0).moved(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -0.5], [0, 0, 0, 1]]))
    pictures = MeshRenderer(TexturedMesh.join([front, behind])).draw(from_above(), light=FLAT)
    depth = pictures.views.depth
    assert depth is not None
    assert torch.allclose(depth[0, 20:44, 20:31], torch.tensor(2.5), atol=1e-3)
    assert torch.allclose(depth[0, 20:44, 33:44], torch.tensor(2.0), atol=1e-3)
    alone = MeshRenderer(front).draw(from_above(), light=FLAT)
    assert float(alone.alpha[0, 20:44, 20:31].sum()) == 0


def test_lambert_and_highlight() -> None:
    tilted = Light(towards=(math.sin(1.0), 0.0, math.cos(1.0)), key=0.5, fill=0.0, ambient=0.0)
    grey = torch.tensor([188, 188, 188, 255], dtype=torch.uint8).expand(1, 1, 4).clone()  # linear 0.503
    picture = MeshRenderer(quad(image=grey)).draw(from_above(), light=tilted).views.rgb[0, 32, 32, 0]
    linear = 0.503 * 0.5 * math.cos(1.0)
    assert float(picture) == pytest.approx(1.055 * linear ** (1 / 2.4) - 0.055, abs=2e-3)
    mesh = quad(image=grey)
    glossy = mesh.replace(materials=(mesh.materials[0].replace(gloss=0.5),))
    overhead = Light(towards=(0.0, 0.0, 1.0), key=0.3, fill=0.0, ambient=0.0)
    shiny = MeshRenderer(glossy).draw(from_above(), light=overhead).views.rgb[0]
    assert float(shiny[32, 32, 0]) > float(shiny[18, 18, 0]) + 0.05


def test_tint_multiplies_and_back_sides_are_lit() -> None:
    mesh = quad().replace(tint=torch.tensor([[1.0, 0.0, 0.5]]).repeat(4, 1))
    upside_down = mesh.moved(torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])))
    light = Light(key=0.0, fill=0.0, ambient=1.0)
    above, below = (MeshRenderer(m).draw(from_above(), light=light).views.rgb[0, 32, 32] for m in (mesh, upside_down))
    assert torch.allclose(above, torch.tensor([1.0, 0.0, 0.735]), atol=5e-3)
    assert torch.allclose(above, below)


def test_turning_mesh_and_camera_together_changes_nothing() -> None:
    mesh = quad()
    ambient = Light(key=0.0, fill=0.0, ambient=1.0)
    turn = torch.eye(4)
    turn[:3, :3] = so3_exp(torch.tensor([[0.3, -0.8, 0.4]]))[0]
    camera = from_above()
    turned_camera = camera.replace(world_from_camera=turn @ camera.world_from_camera)
    before = MeshRenderer(mesh).draw(camera, light=ambient)
    after = MeshRenderer(mesh.moved(turn)).draw(turned_camera, light=ambient)
    assert float((before.alpha - after.alpha).abs().mean()) < 2e-3


def test_a_camera_inside_sees_all_around() -> None:
    wall = quad(4.0).moved(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]))
    roof = quad(4.0).moved(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3.0], [0, 0, 0, 1]]))
    pictures = MeshRenderer(TexturedMesh.join([wall, roof])).draw(from_above(height=1.0), light=FLAT)
    assert float(pictures.alpha.min()) == 1


def test_out_of_sight_is_empty() -> None:
    aside = quad(0.2).moved(torch.tensor([[1.0, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    pictures = MeshRenderer(aside).draw(from_above(), light=FLAT)
    assert float(pictures.alpha.sum()) == 0


def test_a_boxed_mesh_stays_in_the_box_however_it_is_turned() -> None:
    mesh = quad(7.0).moved(torch.tensor([[1.0, 0, 0, 50], [0, 1, 0, 3], [0, 0, 1, 0], [0, 0, 0, 1]])).boxed()
    assert float(mesh.vertices.norm(dim=1).max()) == pytest.approx(0.5, rel=1e-5)
    assert torch.allclose(mesh.vertices.mean(dim=0), torch.zeros(3), atol=1e-5)


def test_mirroring_keeps_normals_outside() -> None:
    mesh = quad().moved(torch.diag(torch.tensor([-2.0, 1.0, 1.0, 1.0])))
    assert torch.allclose(mesh.normals, torch.tensor([0.0, 0, 1]).expand(4, 3))
    assert torch.allclose(smooth_normals(mesh.vertices, mesh.faces), mesh.normals)


def test_more_rays_converge() -> None:
    cameras = round_the_object(torch.tensor([0.4]), torch.tensor([0.6]), size_px=32, fov=0.8)
    renderer = MeshRenderer(quad(0.6))
    coarse, fine, finest = (renderer.draw(cameras, samples=s).alpha for s in (2, 4, 16))
    assert float((fine - finest).abs().mean()) < float((coarse - finest).abs().mean())
