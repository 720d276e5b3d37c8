"""Scores against pictures whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.tiny import tiny_cameras, tiny_scene
from veduta.core import InputError, Views
from veduta.io.images import read_image
from veduta.io.tensors import load_tensors
from veduta.measure import psnr, ssim
from veduta.recipes.evaluate import PSNR_CAP_DB, as_seen, evaluate, file_stems
from veduta.render import render_scene


class InMemory:
    """Photographs in a list, one per instant."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, i: int, /) -> Views:
        return self._views[i]


def photographs(count: int = 3, *, offset: float = 0.0) -> Views:
    """What the tiny scene looks like, a little too bright by ``offset``, with its depth."""
    cameras = tiny_cameras(count)
    drawn = render_scene(tiny_scene(), cameras)
    return Views.of(cameras, rgb=as_seen(drawn.color * 0.8) + offset).replace(
        depth=drawn.depth, depth_valid=drawn.alpha > 0.5
    )


def test_a_known_offset_gives_its_psnr() -> None:
    views = photographs()
    scene = tiny_scene()
    black = scene.background.replace(opacities=torch.zeros_like(scene.background.opacities))
    grey = views.replace(rgb=torch.full_like(views.rgb, 0.1))
    result = evaluate(type(scene)(background=black), InMemory(grey))
    assert [view.psnr for view in result.views] == pytest.approx([20.0] * 3, abs=1e-4)
    assert result.psnr == pytest.approx(20.0, abs=1e-4)


def test_scores_are_the_measures_of_what_is_seen() -> None:
    views = photographs()
    drawn = as_seen(render_scene(tiny_scene(), views.cameras).color)
    result = evaluate(tiny_scene(), InMemory(views))
    assert [view.psnr for view in result.views] == pytest.approx(psnr(drawn, views.rgb).tolist())
    assert [view.ssim for view in result.views] == pytest.approx(ssim(drawn, views.rgb).tolist())
    assert result.ssim == pytest.approx(float(ssim(drawn, views.rgb).mean()))


def test_equal_pictures_get_a_finite_score() -> None:
    views = photographs()
    exact = views.replace(rgb=as_seen(render_scene(tiny_scene(), views.cameras).color))
    assert evaluate(tiny_scene(), InMemory(exact)).psnr == PSNR_CAP_DB


def test_masked_pixels_do_not_count() -> None:
    views = photographs()
    spoiled = views.rgb.clone()
    spoiled[:, 4:12, 5:20] = 1.0 - spoiled[:, 4:12, 5:20]
    weight = torch.ones_like(views.weight)
    weight[:, 4:12, 5:20] = 0.0
    masked = views.replace(weight=weight)
    one = evaluate(tiny_scene(), InMemory(masked.replace(rgb=spoiled)))
    other = evaluate(tiny_scene(), InMemory(masked))
    assert one.psnr == pytest.approx(other.psnr)
    assert one.psnr > evaluate(tiny_scene(), InMemory(views.replace(rgb=spoiled))).psnr + 1


def test_a_view_that_is_masked_altogether_is_left_out(tmp_path: Path) -> None:
    views = photographs()
    weight = torch.ones_like(views.weight)
    weight[1] = 0.0
    weight[2, 5:-5, 5:-5] = 0.0  # SSIM has no windows in what is left
    result = evaluate(tiny_scene(), InMemory(views.replace(weight=weight)), out=tmp_path)
    whole = evaluate(tiny_scene(), InMemory(views))
    assert [view.psnr is None for view in result.views] == [False, True, False]
    assert [view.ssim is None for view in result.views] == [False, True, True]
    assert result.views[1].depth_error is None
    assert result.ssim == result.views[0].ssim == whole.views[0].ssim
    assert result.views[0].psnr is not None
    assert result.views[2].psnr is not None
    assert result.psnr == pytest.approx((result.views[0].psnr + result.views[2].psnr) / 2)
    record = json.loads((tmp_path / "eval.json").read_text())
    assert record["views"][1]["psnr"] is None
    assert record["mean"]["psnr"] == result.psnr
    assert "3 views at 40x32 pixels. 1 of them masked altogether: nothing to compare" in result.protocol
    assert "1 of them masked but for the border: left out of the mean SSIM." in result.protocol
    assert "left out of the means" not in whole.protocol


def test_views_that_are_all_masked_have_no_mean(tmp_path: Path) -> None:
    views = photographs()
    nothing = views.replace(weight=torch.zeros_like(views.weight))
    result = evaluate(tiny_scene(), InMemory(nothing), out=tmp_path)
    assert (result.psnr, result.ssim, result.depth_error) == (None, None, None)
    assert json.loads((tmp_path / "eval.json").read_text())["mean"] == {"psnr": None, "ssim": None, "depth_error": None}


def test_depth_is_scored_where_it_is_known() -> None:
    views = photographs()
    assert views.depth is not None
    assert evaluate(tiny_scene(), InMemory(views)).depth_error == pytest.approx(0.0, abs=1e-6)
    off = views.replace(depth=views.depth + 0.25)
    assert evaluate(tiny_scene(), InMemory(off)).depth_error == pytest.approx(0.25, abs=1e-5)
    unknown = views.replace(depth_valid=torch.zeros_like(views.depth, dtype=torch.bool))
    assert evaluate(tiny_scene(), InMemory(unknown)).depth_error is None
    assert evaluate(tiny_scene(), InMemory(views.replace(depth=None, depth_valid=None))).depth_error is None


def test_the_files_hold_what_was_scored(tmp_path: Path) -> None:
    views = photographs()
    told: list[tuple[int, int]] = []
    result = evaluate(
        tiny_scene(),
        InMemory(views),
        out=tmp_path,
        split="By lot.",
        on_view=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    record = json.loads((tmp_path / "eval.json").read_text())
    assert record == json.loads(json.dumps(result.as_dict()))
    assert record["protocol"].startswith("By lot. 3 views at 40x32 pixels. PSNR")
    for view in result.views:
        assert view.photo is not None
        assert view.render is not None
        assert view.depth is not None
        photo, render = read_image(tmp_path / view.photo)[0], read_image(tmp_path / view.render)[0]
        assert float(psnr(render, photo)) == pytest.approx(view.psnr, abs=1e-3)
        assert load_tensors(tmp_path / view.depth)[0]["depth"].shape == (32, 40)


def test_without_pictures_only_the_numbers_are_written(tmp_path: Path) -> None:
    evaluate(tiny_scene(), InMemory(photographs()), out=tmp_path, pictures=False)
    assert [path.name for path in tmp_path.iterdir()] == ["eval.json"]


def test_nothing_to_measure_on_is_an_error() -> None:
    with pytest.raises(InputError, match="no photographs are held out"):
        evaluate(tiny_scene(), InMemory(photographs(3).map(lambda t: t[:0]).replace(names=())))


def test_file_names_are_flat_and_never_twice() -> None:
    names = ["a.png", "a.jpg", "front/a.png", "../../etc/passwd", "b c.png", "a_.png"]
    stems = file_stems(names)
    assert stems == ["a", "a_", "front__a", "etc__passwd", "b c", "a__"]
    assert all("/" not in stem for stem in stems)
