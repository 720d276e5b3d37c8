"""Evidence adds up: over views, shards and processes; trust, absence and mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.backends.jacobians import picture_and_jacobian
from tests.unit.information import tiny
from veduta.core import Evidence, Gaussians, InputError, RasterOptions, Scene, Views
from veduta.geometry import pack
from veduta.information import add, gather, no_evidence, reduce
from veduta.information.checks import check_scene
from veduta.io.tensors import load_tensors

SIDES = [-30.0, -10.0, 15.0, 40.0, 70.0]
SCENE = tiny.scene(sky=True)
PHOTOGRAPHS = tiny.photographs(SCENE, tiny.around(SIDES))


def of(views, *, scene: Scene = SCENE, **settings) -> Evidence:
    return gather(scene, views, backend="reference", **settings)


def tensors(evidence: Evidence) -> dict[str, torch.Tensor]:
    assert evidence.residuals is not None
    assert evidence.score is not None
    return {"fisher": evidence.fisher, "score": evidence.score, "seen": evidence.sky.seen, **vars(evidence.residuals)}


def assert_same(a: Evidence, b: Evidence, tolerance: float = 1e-10) -> None:
    assert (a.views, a.clustered) == (b.views, b.clustered)
    for name, value in tensors(a).items():
        scale = float(value.abs().max())
        torch.testing.assert_close(value, tensors(b)[name], rtol=tolerance, atol=tolerance * scale)


def test_evidence_is_what_jacobians_give() -> None:
    scene, views = tiny.scene(), []
    for view in tiny.photographs(scene, tiny.around([0.0, 50.0])):
        weight = torch.rand(view.weight.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        views.append(view.replace(weight=weight))
    fisher, score, by_view = (torch.zeros(10, 13, 13).double() for _ in range(3))
    for view in views:
        color, j = picture_and_jacobian(scene.background, view.cameras, behind=None, options=RasterOptions())
        w, r = view.weight[0], color - view.rgb[0]
        told = torch.einsum("hw,hwcna,hwc->hwna", w, j, r)
        fisher += torch.einsum("hw,hwcna,hwcnb->nab", w, j, j)
        score += torch.einsum("hwna,hwnb->nab", told, told)
        by_view += torch.einsum("na,nb->nab", told.sum((0, 1)), told.sum((0, 1)))
    plain, clustered = of(views, scene=scene), of(views, scene=scene, clustered=True)
    assert (plain.clustered, clustered.clustered) == (False, True)
    for found, expected in ((plain.fisher, fisher), (plain.score, score), (clustered.score, by_view)):
        torch.testing.assert_close(found, pack(expected), rtol=1e-9, atol=1e-10 * float(expected.abs().max()))
    assert torch.equal(plain.fisher, clustered.fisher)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_add_up(count: int) -> None:
    whole = of(PHOTOGRAPHS)
    total = no_evidence(SCENE)
    for rank in range(count):
        total = add(total, of(PHOTOGRAPHS, shard=(rank, count)))
    assert_same(whole, total)
    assert whole.views == len(SIDES)


def test_views_of_several_cameras_are_as_good_as_single_ones() -> None:
    cameras = tiny.around(SIDES[:2])
    joined = Views.of(cameras, rgb=torch.cat([view.rgb for view in PHOTOGRAPHS[:2]]))
    assert_same(of([joined]), of(PHOTOGRAPHS[:2]))


def test_cameras_alone_tell_the_fisher_information() -> None:
    with_photographs, cameras = of(PHOTOGRAPHS), tiny.around(SIDES)
    for views in (cameras, [cameras[[0, 1]], cameras[[2, 3, 4]]]):
        found = of(views)
        assert found.score is None
        assert found.residuals is None
        assert found.views == len(SIDES)
        torch.testing.assert_close(found.fisher, with_photographs.fisher, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.sky.seen, with_photographs.sky.seen)


def test_trust_scales_information() -> None:
    """A pixel of trust w is one whose noise has the variance sigma^2 / w."""
    full = of(PHOTOGRAPHS[:2])
    half = of([view.replace(weight=0.25 * view.weight) for view in PHOTOGRAPHS[:2]])
    torch.testing.assert_close(half.fisher, 0.25 * full.fisher)
    torch.testing.assert_close(half.score, 0.0625 * full.score)
    torch.testing.assert_close(half.sky.seen, 0.25 * full.sky.seen)
    assert_same(add(full, of([PHOTOGRAPHS[2].replace(weight=0 * PHOTOGRAPHS[2].weight)])).replace(views=2), full)


def test_an_absent_actor_learns_nothing() -> None:
    scene = tiny.scene(moving=True)
    late = of(tiny.photographs(scene, tiny.around([0.0, 20.0], times=[9.0, 9.0])), scene=scene)
    assert late.score is not None
    assert late.fisher[10:].abs().max() == 0
    assert late.score[10:].abs().max() == 0
    assert late.fisher[:10].abs().max() > 0
    present = of(tiny.photographs(scene, tiny.around([0.0, 20.0], times=[0.5, 1.5])), scene=scene)
    assert present.fisher[10:].abs().max() > 0


def test_a_known_background() -> None:
    found = of(PHOTOGRAPHS, known_background=True)
    assert bool(found.sky.seen.isinf().all())
    assert bool(add(found, found).sky.seen.isinf().all())


def test_progress() -> None:
    told = []
    of(PHOTOGRAPHS, on_view=lambda done, total: told.append((done, total)))
    of(PHOTOGRAPHS, shard=(1, 2), on_view=lambda done, total: told.append((done, total)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (1, 2), (2, 2)]


def test_no_gaussians_and_no_views() -> None:
    empty = Scene(background=Gaussians.empty(1, dtype=torch.float64))
    found = of(PHOTOGRAPHS[:2], scene=empty)
    assert found.fisher.shape == (0, 91)
    assert float(found.sky.seen.sum()) == 2 * tiny.WIDTH * tiny.HEIGHT
    nothing = of([])
    assert nothing.views == 0
    assert nothing.fisher.abs().max() == 0


def test_float32_scenes_and_photographs() -> None:
    scene = Scene(background=SCENE.background.to(torch.float32))
    found = of([view.to(torch.float32) for view in PHOTOGRAPHS[:1]], scene=scene)
    assert found.score is not None
    assert found.fisher.dtype == found.score.dtype == torch.float32
    assert found.sky.seen.dtype == torch.float64


def test_leaves_no_graph() -> None:
    scene = Scene(background=SCENE.background.map(lambda t: t.clone().requires_grad_()))
    assert not of(PHOTOGRAPHS[:1], scene=scene).fisher.requires_grad


@pytest.mark.parametrize("field", ["means", "quats", "scales", "opacities", "sh"])
def test_parameters_that_are_not_finite(field: str) -> None:
    bad = getattr(SCENE.background, field).clone()
    bad[[3, 7]] = float("nan")
    scene = Scene(background=SCENE.background.replace(**{field: bad}))
    with pytest.raises(InputError, match=rf"background, field {field}.*2 rows.*row 3"):
        of(PHOTOGRAPHS, scene=scene)


def test_an_actor_s_parameters_that_are_not_finite() -> None:
    scene = tiny.scene(moving=True)
    scene.actors["a"].gaussians.scales[1, 2] = float("inf")
    with pytest.raises(InputError, match=r"actor 'a', field scales.*row 1"):
        of(PHOTOGRAPHS, scene=scene)


def test_finite_parameters_may_have_an_infinite_sum() -> None:
    check_scene(Scene(background=SCENE.background.replace(means=torch.full((10, 3), 1e308, dtype=torch.float64))))


def test_photographs_that_cannot_be_used() -> None:
    view = PHOTOGRAPHS[0]
    small = view.replace(cameras=view.cameras.replace(width=19))
    with pytest.raises(InputError, match=r"photo 0, field rgb.*expected 1 of 19 x 16, got 1 of 20 x 16"):
        of([small])
    rgb = view.rgb.clone()
    rgb[0, 3, 4, 1] = float("nan")
    with pytest.raises(InputError, match=r"photo 0, field rgb.*not finite"):
        of([view.replace(rgb=rgb)])
    with pytest.raises(InputError, match=r"photo 0, field weight.*below 0"):
        of([view.replace(weight=-view.weight)])


def test_evidence_that_cannot_be_added() -> None:
    whole = of(PHOTOGRAPHS[:1])
    for other in (no_evidence(tiny.scene(moving=True)), no_evidence(SCENE, photographs=False)):
        with pytest.raises(InputError, match="different kinds"):
            add(whole, other)
    with pytest.raises(InputError, match="different kinds"):
        add(whole, of(PHOTOGRAPHS[:1], clustered=True))


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_no_such_shard(shard: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="no such shard"):
        of(PHOTOGRAPHS, shard=shard)


def test_one_process_reduces_to_itself() -> None:
    whole = of(PHOTOGRAPHS[:1])
    assert reduce(whole) is whole


WORKER = """
import sys, torch
from tests.unit.information import test_gather as t
from veduta.information import reduce
from veduta.information.checks import check_scene
from veduta.io.tensors import save_tensors
rank, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
for views in (3, 1):  # of one photograph the second process has none
    whole = reduce(t.of(t.PHOTOGRAPHS[:views], shard=(rank, count)))
    facts = {"views": torch.tensor(whole.views), "up": whole.sky.up}
    save_tensors(f"{folder}/{rank}-{views}", t.tensors(whole) | facts)
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_reduce_to_the_evidence_of_all(tmp_path: Path, root: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), "2", str(tmp_path)], cwd=root, env=environment)
        for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    for views in (3, 1):
        whole = of(PHOTOGRAPHS[:views])
        for rank in range(2):
            found, _ = load_tensors(tmp_path / f"{rank}-{views}")
            assert int(found.pop("views")) == views
            assert torch.equal(found.pop("up"), whole.sky.up)
            for name, value in tensors(whole).items():
                torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10 * float(value.abs().max()))
