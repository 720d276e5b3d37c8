"""Captures as examples: what is predicted in an example's frame lies where the capture says; outlines; inputs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from veduta.core import Cameras, Capture, InputError, PointCloud, Views
from veduta.data import border_mask, capture_object, capture_scene, choose_inputs, open_capture, square
from veduta.data.capture_examples import choose_neighbours
from veduta.data.mesh_render import Light, MeshRenderer
from veduta.data.meshes import TexturedMesh
from veduta.data.object_views import random_rig, round_the_object
from veduta.data.resample import area_resize
from veduta.data.squares import aimed_camera, lanczos_resize, turned_image
from veduta.data.synthetic_objects import SyntheticObjects
from veduta.data.visual_hull import Silhouette, hull_ball
from veduta.geometry import Similarity, look_at, project, so3_exp, transform_cameras

LIGHT = Light(key=0.0, fill=0.0, ambient=1.0, up=(0.0, 0.0, 1.0))
CAPTURE_FROM_BOX = Similarity(
    3.0, so3_exp(torch.tensor([[0.4, -0.3, 1.1]], dtype=torch.float64))[0], torch.tensor([5.0, -2, 1]).double()
)


class Shots:
    """Views in memory, one per instant."""

    def __init__(self, views: list[Views]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, i: int, /) -> Views:
        return self.views[i]


def _capture(train: list[Views], test: list[Views] | None = None, **facts: object) -> Capture:
    plain = {"cameras": {}, "points": None, "tracks": {}, "up": torch.tensor([0.0, 0, 1]), "metric": False}
    return Capture(train=Shots(train), test=Shots(test or []), source=Path("thing"), **{**plain, **facts})


def _mesh() -> TexturedMesh:
    return SyntheticObjects(100, seed=4).mesh(1)


def _matrix(sim: Similarity) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = sim.scale * sim.rotation, sim.translation
    return matrix


def _photographs(mesh: TexturedMesh, count: int, *, background: float = 1.0) -> list[Views]:
    """Of the mesh moved into the capture's frame, from uneven places, over a plain colour; coverage is known."""
    rig = transform_cameras(random_rig(count, torch.Generator().manual_seed(5), size_px=96), CAPTURE_FROM_BOX)
    matrices = rig.intrinsics.clone()
    matrices[:, :2, :2] *= 0.75  # room around the object
    matrices[:, 0, 2] += 4.0
    drawn = MeshRenderer(mesh.moved(_matrix(CAPTURE_FROM_BOX))).draw(rig.replace(intrinsics=matrices), light=LIGHT)
    alpha = drawn.alpha[..., None]
    views = drawn.views.replace(rgb=drawn.views.rgb * alpha + background * (1 - alpha), alpha=drawn.alpha)
    return [views.replace(depth=None, depth_valid=None)[i] for i in range(count)]


def test_the_way_back_leads_to_the_object_and_pictures_fit_their_cameras() -> None:
    """The mesh brought into the example's frame looks, through the example's cameras, as the example's pictures do."""
    pytest.importorskip("embreex")
    mesh = _mesh()
    photographs = _photographs(mesh, 14)
    made = capture_object(_capture(photographs[:10], photographs[10:]), inputs=4, size_px=64)
    assert made.outline == "cut out"
    example = made.example
    assert (len(example.inputs), len(example.targets)) == (4, 4)
    example_from_box = made.capture_from_example.inverse().compose(CAPTURE_FROM_BOX)
    inside = mesh.moved(_matrix(example_from_box))
    assert float(inside.vertices.norm(dim=1).max()) <= 0.5 + 0.02
    assert float(inside.vertices.norm(dim=1).max()) > 0.38
    renderer = MeshRenderer(inside)
    parts = ((example.inputs, example.input_alpha), (example.targets, example.target_alpha))
    for views, alpha in parts:
        again = renderer.draw(views.cameras, light=LIGHT, samples=3)
        assert alpha is not None
        assert float((again.alpha - alpha).abs().mean()) < 0.02
        solid = (alpha == 1) & (again.alpha == 1)
        # Turning the camera resamples; shading is fixed in the world, which has turned: compare in the mean.
        assert float((again.views.rgb - views.rgb)[solid].abs().mean()) < 0.08
        assert float(views.weight.min()) >= 0
    first = example.inputs.cameras.world_from_camera[0]
    assert torch.allclose(first[:3, :3], torch.eye(3), atol=1e-5)
    assert torch.allclose(first[:2, 3], torch.zeros(2), atol=1e-5)
    pixels, depth = project(torch.zeros(1, 3), example.targets.cameras)
    assert torch.allclose(pixels, torch.full_like(pixels, 32.0), atol=1e-2)
    assert bool(((depth > example.near) & (depth < example.far)).all())


def test_without_held_out_views_the_others_judge() -> None:
    pytest.importorskip("embreex")
    photographs = _photographs(_mesh(), 9)
    made = capture_object(_capture(photographs), inputs=3, targets=2, size_px=16)
    assert len(made.example.targets) == 2
    assert not set(made.example.inputs.names) & set(made.example.targets.names)
    everything = capture_object(_capture(photographs[:3]), inputs=3, size_px=16)
    assert len(everything.example.targets) == 0


def test_masks_serve_and_without_any_the_border_can_tell() -> None:
    pytest.importorskip("embreex")
    photographs = _photographs(_mesh(), 6, background=0.1)
    assert photographs[0].alpha is not None
    masked = [v.replace(weight=v.alpha if v.alpha is not None else v.weight, alpha=None) for v in photographs]
    assert capture_object(_capture(masked), inputs=2, size_px=16).outline == "masks"
    bare = [view.replace(alpha=None) for view in photographs]
    with pytest.raises(InputError, match="no outline of the object"):
        capture_object(_capture(bare), inputs=2, size_px=16)
    guessed = capture_object(_capture(bare), inputs=2, size_px=48, mask=border_mask)
    known = capture_object(_capture(photographs, background=torch.full((3,), 0.1)), inputs=2, size_px=48)
    assert guessed.outline == "guessed"
    assert guessed.capture_from_example.scale == pytest.approx(known.capture_from_example.scale, rel=0.1)


def test_too_few_views_and_outlines_of_nothing_are_told() -> None:
    pytest.importorskip("embreex")
    photographs = _photographs(_mesh(), 6)
    with pytest.raises(InputError, match=r"too few photographs.*at least 4.*got 1"):
        capture_object(_capture(photographs[:1]))
    empty = [view.replace(alpha=torch.zeros_like(view.weight)) for view in photographs]
    with pytest.raises(InputError, match="no photograph shows the object"):
        capture_object(_capture(empty))


def test_a_photograph_from_within_is_told() -> None:
    pytest.importorskip("embreex")
    photographs = _photographs(_mesh(), 6)
    pose = photographs[5].cameras.world_from_camera.clone()
    pose[0, :3, 3] = CAPTURE_FROM_BOX.translation.float() + 0.2
    inner = photographs[5].replace(cameras=photographs[5].cameras.replace(world_from_camera=pose))
    with pytest.raises(InputError, match="from within the object"):
        capture_object(_capture(photographs[:5], [inner]), inputs=2, size_px=16)


def test_outlines_that_share_nothing_are_told() -> None:
    cameras = round_the_object(torch.tensor([0.0, 1.6]), torch.tensor([0.1, 0.1]), size_px=32, fov=0.8)
    high, low = torch.zeros(32, 32), torch.zeros(32, 32)
    high[2:5, 10:20], low[27:30, 10:20] = 1.0, 1.0
    silhouettes = [Silhouette(cameras[0], high), Silhouette(cameras[1], low)]
    with pytest.raises(InputError, match="nothing in common"):
        hull_ball(silhouettes, start=torch.zeros(3), where="x")


def test_the_hull_of_a_ball_is_about_the_ball() -> None:
    """Seen by 20 cameras whose optical axes meet elsewhere."""
    generator = torch.Generator().manual_seed(2)
    rig = random_rig(20, generator, size_px=80)
    middle, radius = torch.tensor([0.08, -0.05, 0.1]), 0.25
    silhouettes = []
    for camera in (rig[i] for i in range(20)):
        grid = torch.stack(torch.meshgrid(*[torch.arange(80) + 0.5] * 2, indexing="xy"), dim=-1)
        matrix = camera.intrinsics[0]
        rays = torch.cat([(grid - matrix[:2, 2]) / matrix[0, 0], torch.ones(80, 80, 1)], dim=-1)
        rays = torch.nn.functional.normalize(rays @ camera.world_from_camera[0, :3, :3].T, dim=-1)
        offset = middle - camera.positions_world[0]
        nearest = (offset @ offset - (rays @ offset) ** 2).sqrt()
        silhouettes.append(Silhouette(camera, (nearest < radius).float()))
    found, reach = hull_ball(silhouettes, start=torch.zeros(3), where="x")
    assert torch.allclose(found, middle.double(), atol=0.03)
    assert radius * 0.95 < reach < radius * 1.35


def test_a_camera_within_the_object_is_told() -> None:
    camera = round_the_object(torch.zeros(1), torch.zeros(1), size_px=16, fov=0.8)
    with pytest.raises(ValueError, match="from the middle of a ball"):
        aimed_camera(camera, torch.zeros(3), radius=2.0, size_px=16)


def test_aimed_cameras_look_at_the_middle_and_the_ball_fits() -> None:
    rig = random_rig(6, torch.Generator().manual_seed(1), size_px=50)
    middle = torch.tensor([0.1, 0.2, -0.1])
    for i in range(6):
        aimed = aimed_camera(rig[i], middle, radius=0.3, size_px=40)
        pixels, _ = project(middle[None], aimed)
        assert torch.allclose(pixels[0, 0], torch.tensor([20.0, 20.0]), atol=1e-3)
        assert torch.allclose(aimed.positions_world, rig[i].positions_world)
        distance = (rig[i].positions_world[0] - middle).norm()
        assert float(aimed.intrinsics[0, 0, 0]) == pytest.approx(20 / math.tan(math.asin(0.3 / distance)), rel=1e-4)
    backwards = rig[0].replace(world_from_camera=rig[0].world_from_camera @ torch.diag(torch.tensor([1.0, -1, -1, 1])))
    exact = backwards.replace(
        world_from_camera=look_at(-rig[0].positions_world, -2 * rig[0].positions_world, torch.tensor([0.0, 0, 1]))
    )
    pixels, depth = project(torch.zeros(1, 3), aimed_camera(exact, torch.zeros(3), radius=0.3, size_px=40))
    assert torch.allclose(pixels[0, 0], torch.tensor([20.0, 20.0]), atol=1e-2)
    assert float(depth) > 0


def test_turning_moves_pixels_as_the_cameras_say() -> None:
    """A smooth picture of direction: what a pixel shows is a function of its ray, before and after."""
    rig = random_rig(2, torch.Generator().manual_seed(3), size_px=120)
    camera = rig[0]

    def shown(c: Cameras) -> torch.Tensor:
        y, x = torch.meshgrid(torch.arange(c.height) + 0.5, torch.arange(c.width) + 0.5, indexing="ij")
        matrix = c.intrinsics[0]
        rays = torch.stack(
            [(x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1], torch.ones_like(x)], -1
        )
        rays = torch.nn.functional.normalize(rays @ c.world_from_camera[0, :3, :3].T, dim=-1)
        return 0.5 + 0.5 * torch.sin(3 * rays)

    wanted = aimed_camera(camera, torch.tensor([0.05, 0.05, 0.0]), radius=0.35, size_px=40)
    turned = turned_image(torch.cat([shown(camera), torch.ones(120, 120, 1)], dim=2), camera, wanted)
    assert float(turned[..., 3].min()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(turned[..., :3], shown(wanted), atol=5e-3)
    aside = aimed_camera(camera, 3 * camera.positions_world[0], radius=1.2, size_px=40)
    assert float(turned_image(torch.ones(120, 120, 1), camera, aside).max()) == 0


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (64, 64)])
def test_squares_keep_what_a_point_projects_to(width: int, height: int) -> None:
    """A bright blob at a point's pixel is, after the cut, at the point's new pixel."""
    pose = torch.eye(4)[None]
    cameras = Cameras.pinhole(pose, fx=80.0, fy=82.0, cx=width / 2 + 1, cy=height / 2 - 2, width=width, height=height)
    point = torch.tensor([[0.05, -0.08, 1.0]])
    at = project(point, cameras)[0][0, 0]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    blob = torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
    views = Views.of(cameras, rgb=blob[None, ..., None].repeat(1, 1, 1, 3), weight=blob[None]).replace(alpha=blob[None])
    for resize in (area_resize, lanczos_resize):
        cut = square(views, 32, resize=resize)
        assert cut.rgb.shape == (1, 32, 32, 3)
        assert cut.alpha is not None
        wanted = project(point, cut.cameras)[0][0, 0]
        y, x = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
        for layer in (cut.rgb[0, ..., 0], cut.weight[0], cut.alpha[0]):
            total = layer.sum()
            found = torch.stack([(x * layer).sum(), (y * layer).sum()]) / total
            assert torch.allclose(found, wanted, atol=0.15)


def test_inputs_are_spread_around() -> None:
    rig = random_rig(40, torch.Generator().manual_seed(8), size_px=8)
    chosen = choose_inputs(rig, 4)
    assert len(set(chosen)) == 4
    directions = torch.nn.functional.normalize(rig.positions_world[chosen], dim=1)
    assert float((directions @ directions.T - 2 * torch.eye(4)).max()) < 0.8


def test_neighbours_are_near_and_not_in_one_place() -> None:
    poses = torch.eye(4).repeat(7, 1, 1)
    poses[:, 0, 3] = torch.tensor([0.0, 1.0, 2.0, 2.0, 2.3, 5.0, 9.0])
    cameras = Cameras.pinhole(poses, fx=1.0, fy=1.0, cx=1.0, cy=1.0, width=2, height=2)
    assert choose_neighbours(cameras, 2) == [2, 4]
    assert choose_neighbours(cameras, 3) == [1, 2, 4]
    with pytest.raises(InputError, match="too few"):
        choose_neighbours(cameras, 8)


def _walk(count: int) -> list[Views]:
    poses = torch.eye(4).repeat(count, 1, 1)
    poses[:, 0, 3] = torch.arange(count) * 0.5
    cameras = Cameras.pinhole(poses, fx=50.0, fy=50.0, cx=32.0, cy=24.0, width=64, height=48)
    rgb = torch.rand(count, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    return [Views.of(cameras[i], rgb=rgb[i : i + 1], names=(f"{i}",)) for i in range(count)]


def test_a_scene_begins_at_depth_one() -> None:
    cloud = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) + torch.tensor([0.0, 0, 4])
    points = PointCloud(xyz=cloud, rgb=torch.zeros(500, 3))
    made = capture_scene(_capture(_walk(6), points=points), inputs=2, size_px=32)
    example = made.example
    assert made.outline == "none"
    assert (example.near, example.far) == (1.0, 100.0)
    assert len(example.targets) == 4
    assert example.inputs.rgb.shape == (2, 32, 32, 3)
    moved = (cloud.double() @ made.capture_from_example.inverse().rotation.T) / made.capture_from_example.scale
    assert 1.0 < float(moved[:, 2].min()) < 1.4
    apart = example.inputs.cameras.positions_world
    assert float((apart[0] - apart[1]).norm()) * made.capture_from_example.scale == pytest.approx(0.5, rel=1e-4)


def test_a_scene_without_points_is_scaled_by_its_baseline() -> None:
    made = capture_scene(_capture(_walk(4)), inputs=2, targets=1, size_px=16)
    positions = made.example.inputs.cameras.positions_world
    assert float((positions[0] - positions[1]).norm()) == pytest.approx(0.5, rel=1e-5)
    standing = [view.replace(cameras=_walk(1)[0].cameras) for view in _walk(3)]
    with pytest.raises(InputError, match="one place"):
        capture_scene(_capture(standing))


def test_what_is_masked_in_a_scene_has_the_mean_colour_of_the_rest() -> None:
    weight = torch.ones(1, 48, 64)
    weight[:, 10:30, 20:40] = 0
    black = (weight[..., None] * torch.tensor([0.8, 0.4, 0.6])).contiguous()
    bright = [view.replace(rgb=black, weight=weight) for view in _walk(4)]
    shown = capture_scene(_capture(bright), inputs=2, targets=0, size_px=32).example.inputs
    assert torch.allclose(shown.rgb, torch.tensor([0.8, 0.4, 0.6]), atol=0.01)
    assert 0.6 < float((shown.weight > 0.5).float().mean()) < 0.9


def test_border_masks_find_holes_and_soft_edges() -> None:
    y, x = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(100) + 0.5, indexing="ij")
    disc = (20 - ((x - 50) ** 2 + (y - 40) ** 2).sqrt()).clamp(0, 1)
    backdrop = torch.tensor([0.8, 0.85, 0.9]) + 0.01 * torch.randn(
        80, 100, 3, generator=torch.Generator().manual_seed(0)
    )
    thing = torch.tensor([0.6, 0.1, 0.1])
    photo = backdrop * (1 - disc[..., None]) + thing * disc[..., None]
    photo[38:42, 48:52] = torch.tensor([0.8, 0.85, 0.9])  # of the backdrop's colour, but within the object
    mask = border_mask(photo)
    assert float((mask - disc).abs().mean()) < 0.01
    assert float(mask[38:42, 48:52].min()) == 1


@pytest.mark.parametrize("kind", ["busy", "empty"])
def test_border_masks_say_where_they_cannot_tell(kind: str) -> None:
    noise = torch.rand(60, 60, 3, generator=torch.Generator().manual_seed(0))
    photo = noise if kind == "busy" else torch.full((60, 60, 3), 0.4)
    message = "border's colour" if kind == "busy" else "nothing but the border"
    with pytest.raises(InputError, match=message) as caught:
        border_mask(photo, name="a.jpg")
    assert "a.jpg" in str(caught.value)


def test_transparent_photographs_keep_their_coverage(tmp_path: Path) -> None:
    """Blender's pictures are composited over white, and the coverage is told beside."""
    import json

    frames = []
    for i in range(4):
        picture = torch.zeros(8, 8, 4, dtype=torch.uint8)
        picture[2:6, 2:6] = torch.tensor([255, 0, 0, 255])
        picture[0, 0] = torch.tensor([0, 0, 0, 51])
        Image.fromarray(picture.numpy()).save(tmp_path / f"r_{i}.png")
        pose = torch.eye(4)
        pose[0, 3] = i
        frames.append({"file_path": f"r_{i}", "transform_matrix": pose.tolist()})
    (tmp_path / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    view = open_capture(tmp_path).train[0]
    assert view.alpha is not None
    assert float(view.alpha.sum()) == pytest.approx(16.2, abs=1e-3)
    assert float(view.alpha[0, 0, 0]) == pytest.approx(0.2, abs=1e-3)
    assert torch.allclose(view.rgb[0, 0, 0], torch.full((3,), 0.8), atol=1e-2)
    assert float(view.weight.min()) == 1


def test_four_views_of_lego(shared_data: Path) -> None:
    capture = open_capture(shared_data / "static" / "lego_synthetic", max_size=100)
    made = capture_object(capture, inputs=4, targets=3, size_px=64)
    assert made.outline == "cut out"
    # The model measures 1.27 x 2.3 x 1.3 about (0, 0, 0.32): half its diagonal is 1.47.
    assert 0.5 * made.capture_from_example.scale == pytest.approx(1.47, rel=0.12)
    alpha = made.example.target_alpha
    assert alpha is not None
    assert 0.1 < float(alpha.mean()) < 0.5
