"""What recipes of information are built of: legends, totals, orders of pixels, kept calibrations, moving scenes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.tiny import tiny_cameras, tiny_scene, write_capture
from veduta import information
from veduta.core import Actor, Cameras, InformationMap, InputError, Noise, Scene, Sky, Views
from veduta.data import open_capture
from veduta.geometry.motion import RigidMotion
from veduta.recipes.colors import INFORMATION_RAMP
from veduta.recipes.information import Subject, evidence_of, has_evidence, source_fingerprint
from veduta.recipes.information_maps import draw_maps, unknown_gain
from veduta.recipes.information_pictures import LEAST_WIDTH, gain_picture, std_picture, with_bar
from veduta.recipes.information_record import ErrorOrder, edges, update_record
from veduta.recipes.information_trust import trust_of, write_trust
from veduta.recipes.runs import Run

NOISE = Noise(sigma=0.03, kappa=8.0, tau=0.25)


def found(gain: torch.Tensor, color: torch.Tensor) -> InformationMap:
    camera = tiny_cameras()[0].replace(width=gain.shape[1], height=gain.shape[0])
    return InformationMap(gain=gain[None], variance=gain[None].square(), color=color[None], cameras=camera)


def subject_of(tmp_path: Path, scene: Scene | None = None) -> Subject:
    folder = tmp_path / "capture"
    capture = open_capture(folder if folder.exists() else write_capture(folder))
    run = Run(scene=tiny_scene() if scene is None else scene, folder=tmp_path / "run", source=folder)
    return Subject.of(run, capture)


def moving() -> Scene:
    poses = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    poses[1, 0, 3] = 0.1
    motion = RigidMotion(torch.tensor([0.0, 1.0]).double(), poses)
    return Scene(
        background=tiny_scene(30).background,
        actors={"car": Actor(tiny_scene(10).background, motion, "car")},
        sky=Sky.constant(torch.full((3,), 0.2)),
    )


@pytest.mark.parametrize("width", [20, LEAST_WIDTH, 1000])
def test_a_bar_leaves_the_picture_as_it_is(width: int):
    picture = torch.rand(30, width, 3, generator=torch.Generator().manual_seed(1))
    page = with_bar(picture, top=5.0, title="gain, nats", end="nothing known")
    assert page.shape[1] == max(width, LEAST_WIDTH)
    left = (page.shape[1] - width) // 2
    assert torch.equal(page[:30, left : left + width], picture)
    strip = page[30:]
    ends = [torch.tensor(color) / 255 for color in (INFORMATION_RAMP[0], INFORMATION_RAMP[-1])]
    assert all((strip - end).abs().sum(-1).min() < 0.02 for end in ends)
    assert strip.std() > 0.05


def test_the_same_value_has_the_same_colour_in_every_picture():
    values = torch.tensor([[0.0, 1.0, 2.0]])
    one, other = gain_picture(values, top=4.0), gain_picture(values.flip(1), top=4.0)
    left = (LEAST_WIDTH - 3) // 2
    assert torch.equal(one[0, left : left + 3], other[0, left : left + 3].flip(0))
    assert not torch.equal(std_picture(values, top=4.0)[1:], one[1:])


def test_an_unknown_pixel_tells_most():
    assert unknown_gain(NOISE) == pytest.approx(1.5 * math.log(1 + (0.25 / 0.03) ** 2))


def test_a_perfect_order_has_no_area_and_the_pooled_one_neither():
    generator = torch.Generator().manual_seed(0)
    order = ErrorOrder()
    for _ in range(2):
        error = torch.rand(8, 9, generator=generator).sort(dim=1).values * 0.5
        error = (error * 255).round() / 255
        color = torch.zeros(8, 9, 3) + error[..., None]
        camera = tiny_cameras()[0].replace(width=9, height=8)
        weight = torch.ones(1, 8, 9)
        weight[0, 0] = 0.0
        order.add_(found(error, color), Views.of(camera, rgb=torch.zeros(1, 8, 9, 3), weight=weight))
    result = order.result()
    assert result is not None
    gain = result.curves[0]
    assert result.views == 2
    assert gain.name == "gain"
    assert gain.ause == pytest.approx(0, abs=1e-9)
    assert gain.pooled == pytest.approx(0, abs=1e-9)
    assert gain.spearman == pytest.approx(1)
    assert gain.values == pytest.approx(result.oracle)


def test_views_without_trust_or_error_are_no_order():
    order, camera = ErrorOrder(), tiny_cameras()[0].replace(width=3, height=2)
    nothing = Views.of(camera, rgb=torch.zeros(1, 2, 3, 3), weight=torch.zeros(1, 2, 3))
    order.add_(found(torch.rand(2, 3), torch.zeros(2, 3, 3)), nothing)
    assert order.result() is None
    order.add_(found(torch.rand(2, 3), torch.zeros(2, 3, 3)), Views.of(camera, rgb=torch.zeros(1, 2, 3, 3)))
    result = order.result()
    assert result is not None
    assert result.curves[0].spearman is None
    assert result.curves[0].ause == 0


def test_edges_are_where_the_picture_changes():
    color = torch.zeros(10, 12, 3)
    color[:, 6:] = 1.0
    size = edges(color)
    assert size.shape == (10, 12)
    assert int(size[5].argmax()) in (5, 6)
    assert float(size[:, :3].max()) == 0
    assert torch.allclose(edges(color.transpose(0, 1)), size.T)


def test_parts_of_the_record_replace_their_own_only(tmp_path: Path):
    update_record(tmp_path, posterior="block", noise=NOISE, protocol="measured so")
    update_record(tmp_path, posterior="sandwich", noise=NOISE)
    text = (tmp_path / "information.json").read_text()
    assert "measured so" in text
    assert "sandwich" in text


def test_evidence_of_a_moving_scene_knows_its_motion(tmp_path: Path):
    scene = moving()
    subject = subject_of(tmp_path, scene)
    assert not has_evidence(subject.run)
    assert "gathered," in evidence_of(subject).told
    assert has_evidence(subject.run)
    assert "kept" in evidence_of(subject).told
    motion = scene.actors["car"].motion
    assert isinstance(motion, RigidMotion)
    poses = motion.world_from_object.clone()
    poses[1, 1, 3] = 0.2
    other = Scene(
        background=scene.background,
        actors={"car": Actor(scene.actors["car"].gaussians, RigidMotion(motion.times, poses), "car")},
        sky=scene.sky,
    )
    assert source_fingerprint(subject) != source_fingerprint(subject_of(tmp_path, other))
    assert "gathered anew" in evidence_of(subject_of(tmp_path, other)).told


def test_absent_objects_are_left_out_of_a_trusted_file(tmp_path: Path):
    subject = subject_of(tmp_path, moving())
    evidence = evidence_of(subject).evidence
    trust = trust_of(subject, evidence, information.posterior(subject.scene, evidence))
    assert len(write_trust(subject, trust, tmp_path / "now.ply")) == 40
    assert len(write_trust(subject, trust, tmp_path / "later.ply", time=99.0)) == 30


@pytest.mark.parametrize(("fps", "cameras", "said"), [(0.0, tiny_cameras(), "does not move"), (30.0, [], "no")])
def test_a_film_of_nothing_is_refused(fps: float, cameras: Cameras | list[Cameras], said: str, tmp_path: Path):
    subject = subject_of(tmp_path)
    posterior = information.posterior(subject.scene, evidence_of(subject).evidence)
    with pytest.raises(InputError, match=said):
        draw_maps(subject.scene, posterior, cameras, tmp_path / "out", fps=fps)
    assert not (tmp_path / "out").exists()


def test_cameras_of_several_sizes_have_maps_but_no_film(tmp_path: Path):
    subject = subject_of(tmp_path)
    posterior = information.posterior(subject.scene, evidence_of(subject).evidence)
    camera = tiny_cameras()[0]
    made = draw_maps(subject.scene, posterior, [camera, camera.replace(width=30)], tmp_path / "out")
    assert made.video is None
    with np.load(made.arrays[1], allow_pickle=False) as arrays:
        assert arrays["gain"].shape == (32, 30)
