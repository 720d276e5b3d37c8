"""The small object model: what it is told, what it leaves out, and how little a fresh one says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.unit.feedforward.tiny import ring
from veduta.core import Cameras, Gaussians, InputError, Views, WeightsError
from veduta.feedforward import AtRandom, ByGradient, FeedForward, LearnedSelector, Prediction
from veduta.feedforward.checkpoints import load_model, model_of
from veduta.feedforward.small import SmallPlan, hull_of, image_layers, straight, with_color
from veduta.feedforward.small_densify import SmallDensifierPlan, small_object_model
from veduta.feedforward.small_weights import small_weights
from veduta.geometry import SH_C0
from veduta.io.weights import save_weights
from veduta.render import rasterize

SIZE = 64
COARSE = SmallPlan(size_px=SIZE, voxels=8, image_channels=8, channels=16, blocks=2)
FINE = SmallDensifierPlan(budget=20, width=16, map_channels=8, asked=8)


def ball(radius: float = 0.3, views: int = 4) -> Views:
    """Photographs of a red ball, over white."""
    cameras = ring(views, size=SIZE)
    points = torch.nn.functional.normalize(torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    sh = ((torch.tensor([0.8, 0.1, 0.1]) - 0.5) / SH_C0).expand(3000, 1, 3)
    surface = Gaussians(
        means=points * radius,
        quats=torch.tensor([1.0, 0, 0, 0]).expand(3000, 4).contiguous(),
        scales=torch.full((3000, 3), 0.012),
        opacities=torch.full((3000,), 0.9),
        sh=sh.contiguous(),
    )
    drawn = rasterize(surface, cameras, background=torch.ones(3))
    return Views.of(cameras, rgb=drawn.color.clamp(0, 1)).replace(alpha=drawn.alpha)


@pytest.fixture(scope="module")
def views() -> Views:
    return ball()


@pytest.fixture(scope="module")
def model() -> FeedForward:
    torch.manual_seed(0)
    return small_object_model(COARSE, FINE).eval()


def predict(model: FeedForward, views: Views) -> Prediction:
    with torch.no_grad():
        return model(views, near=1.2, far=2.8)


def test_the_hull_holds_the_object_and_little_else(views: Views) -> None:
    assert views.alpha is not None
    inside = 0.28 * torch.nn.functional.normalize(
        torch.randn(200, 3, generator=torch.Generator().manual_seed(1)), dim=1
    )
    assert float(hull_of(views.alpha, inside, views.cameras, radius=0.02).min()) > 0.5
    outside = torch.tensor([[0.0, 0.0, 0.45], [0.45, 0.0, 0.0], [0.0, -0.45, 0.0]])
    assert float(hull_of(views.alpha, outside, views.cameras, radius=0.02).max()) < 0.1
    far_away = torch.tensor([[0.0, 0.0, 30.0]])  # in no photograph: nobody says that it is empty
    assert float(hull_of(views.alpha, far_away, views.cameras, radius=0.02)) == 1.0


def test_a_fresh_model_is_a_plausible_fog_in_the_object_s_colour(model: FeedForward, views: Views) -> None:
    made = predict(model, views)
    red = rasterize(made.fine, views.cameras[0], background=torch.ones(3)).color[0, SIZE // 2, SIZE // 2]
    assert float(red[0] - red[1]) > 0.15
    assert float(made.coarse.means.norm(dim=1).max()) < 0.3 + 3**0.5 / 8


def test_counts_are_those_of_the_plan(model: FeedForward, views: Views) -> None:
    made = predict(model, views)
    assert len(made.chosen) == 20
    # 20 points, 2 children each, 8 of them leaves, 32 with 4 children each
    assert len(made.fine) == len(made.coarse) - 20 + 8 + 128
    again = predict(model, views)
    assert torch.equal(made.fine.sh, again.fine.sh)
    alone = predict(small_object_model(COARSE).eval(), views)
    assert alone.fine is alone.coarse


def test_the_order_of_the_photographs_does_not_matter(model: FeedForward, views: Views) -> None:
    order = [2, 0, 3, 1]
    assert views.alpha is not None
    turned = Views.of(views.cameras[order], rgb=views.rgb[order]).replace(alpha=views.alpha[order])
    one, other = predict(model, views), predict(model, turned)
    assert (
        torch.equal(one.coarse.means, other.coarse.means) or (one.coarse.means - other.coarse.means).abs().max() < 1e-5
    )
    assert (one.coarse.sh - other.coarse.sh).abs().max() < 1e-4


@pytest.mark.parametrize("count", [2, 6])
def test_any_number_of_photographs(model: FeedForward, count: int) -> None:
    made = predict(model, ball(views=count))
    assert bool(made.fine.means.isfinite().all())


def test_where_nothing_is_seen_there_is_next_to_nothing(model: FeedForward, views: Views) -> None:
    assert views.alpha is not None
    empty = views.replace(rgb=torch.ones_like(views.rgb), alpha=torch.zeros_like(views.alpha))
    assert len(predict(model, empty).coarse) == 1


def test_every_parameter_learns(views: Views) -> None:
    torch.manual_seed(1)
    model = small_object_model(COARSE, FINE).train()
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):  # layers that start at 0 let nothing through the first time
        model.zero_grad()
        made = model(views, near=1.2, far=2.8, generator=generator)
        drawn = [rasterize(one, views.cameras, background=torch.zeros(3)).color for one in (made.coarse, made.fine)]
        sum((one.square().mean() for one in drawn), torch.zeros(())).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad.sign()
    still = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert still == []


def test_without_alpha_what_is_white_is_not_the_object(views: Views) -> None:
    told, guessed = image_layers(views), image_layers(views.replace(alpha=None))
    assert views.alpha is not None
    solid = (views.alpha > 0.99) | (views.alpha < 0.001)
    assert ((told - guessed).abs().amax(dim=1)[solid]).max() < 0.02


def test_colours_are_straight_and_start_attributes() -> None:
    layers = torch.tensor([[0.2, 0.1, 0.0, 0.4], [0.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(straight(layers), torch.tensor([[0.5, 0.25, 0.0], [0.5, 0.5, 0.5]]))
    raw = with_color(torch.zeros(1, 20), torch.tensor([[1.0, 0.5, 0.0]]))
    assert torch.allclose(0.5 + SH_C0 * raw[0, :3], torch.tensor([1.0, 0.5, 0.0]))
    assert not bool(raw[0, 3:].any())


def test_files(model: FeedForward, views: Views, tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", small_weights(model, COARSE, FINE))
    assert torch.equal(predict(load_model(tmp_path / "a.safetensors"), views).fine.sh, predict(model, views).fine.sh)
    save_weights(tmp_path / "h.safetensors", small_weights(model, COARSE, FINE, half=True))
    half = load_model(tmp_path / "h.safetensors")
    assert (predict(half, views).coarse.sh - predict(model, views).coarse.sh).abs().max() < 0.02
    other = dataclasses.replace(COARSE, channels=24)
    save_weights(tmp_path / "b.safetensors", small_weights(model, other, FINE))
    with pytest.raises(WeightsError, match="small-object"):
        load_model(tmp_path / "b.safetensors")
    alone = small_object_model(COARSE).eval()
    save_weights(tmp_path / "c.safetensors", small_weights(alone, COARSE, None))
    assert load_model(tmp_path / "c.safetensors").densifier is None


def test_who_selects_is_kept_with_the_weights(views: Views, tmp_path: Path) -> None:
    kinds = {"gradient": ByGradient, "signed-gradient": ByGradient, "random": AtRandom, "learned": LearnedSelector}
    for name, kind in kinds.items():
        plan = dataclasses.replace(FINE, selection=name)
        model = small_object_model(COARSE, plan).eval()
        path = tmp_path / f"{name}.safetensors"
        save_weights(path, small_weights(model, COARSE, plan))
        again = load_model(path)
        assert isinstance(again.selector, kind)
        assert getattr(again.selector, "signed", False) == (name == "signed-gradient")
        chosen = [predict(each, views).chosen for each in (model, again)]
        assert name == "random" or torch.equal(*chosen)
    fixed = small_object_model(COARSE, FINE, selector=AtRandom())
    assert isinstance(fixed.selector, AtRandom)


def test_photographs_of_another_size_are_refused(model: FeedForward) -> None:
    cameras: Cameras = ring(3, size=32)
    with pytest.raises(InputError, match="64 x 64"):
        predict(model, Views.of(cameras, rgb=torch.ones(3, 32, 32, 3)))


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (SmallPlan, "size_px", 100),
        (SmallPlan, "size_px", 4096),
        (SmallPlan, "voxels", 0),
        (SmallPlan, "voxels", 20_000),
        (SmallPlan, "subcells", 0),
        (SmallPlan, "channels", 60),
        (SmallPlan, "image_channels", 12),
        (SmallPlan, "blocks", -1),
        (SmallPlan, "sh_degree", 4),
        (SmallDensifierPlan, "budget", 0),
        (SmallDensifierPlan, "width", 20),
        (SmallDensifierPlan, "map_channels", 0),
        (SmallDensifierPlan, "asked", 0),
        (SmallDensifierPlan, "rounds", -1),
        (SmallDensifierPlan, "rounds", 17),
        (SmallDensifierPlan, "factors", ()),
        (SmallDensifierPlan, "factors", (2, 0)),
        (SmallDensifierPlan, "factors", (64, 64)),
        (SmallDensifierPlan, "ratio", 0.0),
        (SmallDensifierPlan, "ratio", float("nan")),
        (SmallDensifierPlan, "drop_path", 1.0),
        (SmallDensifierPlan, "scale_share", 0.0),
        (SmallDensifierPlan, "opacity_logit", float("inf")),
    ],
)
def test_sizes_that_no_model_can_have(
    kind: type[SmallPlan | SmallDensifierPlan], setting: str, value: object, model: FeedForward, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{kind.__name__}, field {setting}: setting out of range"):
        kind(**{setting: value})  # pyright: ignore[reportArgumentType]
    weights = small_weights(model, COARSE, FINE)
    part = "coarse" if kind is SmallPlan else "densifier"
    settings = dict(weights.settings) | {part: weights.settings[part] | {setting: value}}
    with pytest.raises(WeightsError, match=f"settings that do not fit the model.*{setting}"):
        model_of(dataclasses.replace(weights, settings=settings), where=tmp_path)
