"""Evidence in files: exact to the bit, bound to its scene, and every corruption named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from veduta.core import (
    LAG,
    PACKED_BLOCK,
    Actor,
    DirectionMap,
    Evidence,
    Gaussians,
    InputError,
    OutputError,
    ResidualSums,
    Scene,
)
from veduta.geometry.motion import RigidMotion
from veduta.io.evidence import SCHEMA_VERSION, load_evidence, save_evidence, scene_fingerprint
from veduta.io.scenes import load_scene, save_scene
from veduta.io.tensors import load_tensors, save_tensors

MOTION = RigidMotion(times=torch.zeros(1, dtype=torch.float64), world_from_object=torch.eye(4)[None])


@pytest.fixture(scope="module")
def scene(make_gaussians: Callable) -> Scene:
    return Scene(background=make_gaussians(12, degree=1), actors={"b": Actor(make_gaussians(4, seed=1), MOTION)})


def some_evidence(
    rows: int, *, photographs: bool = True, known: bool = False, dtype: torch.dtype = torch.float32
) -> Evidence:
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int, kind: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(kind)

    lags = 2 * LAG + 1
    sums = ResidualSums(
        squares=some(), count=some(), lagged=some(lags, lags), lagged_count=some(lags, lags), colors=some(),
        colors_squared=some(),
    )  # fmt: skip
    seen = torch.full((64, 128), torch.inf, dtype=torch.float64) if known else some(64, 128)
    return Evidence(
        fisher=some(rows, PACKED_BLOCK, kind=dtype),
        score=some(rows, PACKED_BLOCK, kind=dtype) if photographs else None,
        residuals=sums if photographs else None,
        sky=DirectionMap(seen=seen, up=torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)),
        views=17,
        clustered=photographs and known,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("photographs", [False, True])
def test_what_is_saved_is_loaded_bit_for_bit(
    tmp_path: Path, scene: Scene, photographs: bool, known: bool, dtype: torch.dtype
) -> None:
    evidence = some_evidence(16, photographs=photographs, known=known, dtype=dtype)
    save_evidence(evidence, tmp_path / "a", scene=scene)
    back = load_evidence(tmp_path / "a", scene=scene)
    assert (back.views, back.clustered) == (17, photographs and known)
    assert torch.equal(back.fisher, evidence.fisher)
    assert back.fisher.dtype == dtype
    assert torch.equal(back.sky.seen, evidence.sky.seen)
    assert torch.equal(back.sky.up, evidence.sky.up)
    if evidence.score is None or evidence.residuals is None:
        assert (back.score, back.residuals) == (None, None)
        return
    assert back.score is not None
    assert back.residuals is not None
    assert torch.equal(back.score, evidence.score)
    for name, value in vars(evidence.residuals).items():
        assert torch.equal(getattr(back.residuals, name), value)


def test_a_scene_that_was_saved_and_loaded_is_the_same(tmp_path: Path, scene: Scene) -> None:
    save_scene(scene, tmp_path / "scene")
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    assert load_evidence(tmp_path / "a", scene=load_scene(tmp_path / "scene")).views == 17


def test_a_scene_without_gaussians(tmp_path: Path) -> None:
    empty = Scene(background=Gaussians.empty(2))
    save_evidence(some_evidence(0), tmp_path / "a", scene=empty)
    assert load_evidence(tmp_path / "a", scene=empty).fisher.shape == (0, PACKED_BLOCK)


@pytest.mark.parametrize("field", ["means", "quats", "scales", "opacities", "sh"])
def test_evidence_about_another_scene(tmp_path: Path, scene: Scene, field: str) -> None:
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    values = getattr(scene.background, field).clone()
    values.view(-1)[-1] += 1e-6
    other = replace(scene, background=scene.background.replace(**{field: values}))
    with pytest.raises(InputError, match="evidence about another scene") as caught:
        load_evidence(tmp_path / "a", scene=other)
    assert caught.value.hint is not None


def test_fingerprints_tell_owners_and_types_apart(scene: Scene) -> None:
    own, actor = scene.background, scene.actors["b"]
    different = [
        scene,
        replace(scene, actors={"c": actor}),
        replace(scene, actors={}),
        Scene(background=own[:11], actors=scene.actors),
        Scene(background=own.to(torch.float64), actors=scene.actors),
        Scene(background=Gaussians.empty(1), actors={"b": Actor(own, MOTION)}),
        Scene(background=own, actors={"b": Actor(Gaussians.empty(1), MOTION)}),
        Scene(background=own, actors={"b": actor, "c": actor}),
        Scene(background=own),
    ]
    found = [scene_fingerprint(each) for each in different]
    assert found[2] == found[-1]
    assert len(set(found)) == len(different) - 1
    graph = replace(scene, background=own.map(lambda t: t.clone().requires_grad_()))
    assert scene_fingerprint(graph) == found[0]


@pytest.mark.parametrize("version", ["0", str(SCHEMA_VERSION + 1), "x"])
def test_another_schema_version(tmp_path: Path, scene: Scene, version: str) -> None:
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    tensors, metadata = load_tensors(tmp_path / "a")
    save_tensors(tmp_path / "a", tensors, metadata={**metadata, "veduta.evidence": version})
    with pytest.raises(InputError, match=rf"schema version: expected {SCHEMA_VERSION}, got {version}"):
        load_evidence(tmp_path / "a", scene=scene)


def test_other_tensors_are_not_evidence(tmp_path: Path, scene: Scene) -> None:
    save_scene(scene, tmp_path / "a")
    with pytest.raises(InputError, match="not evidence"):
        load_evidence(tmp_path / "a", scene=scene)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("fisher", None, "missing"),
        ("fisher", lambda t: t[:15], r"expected floats of shape \(16, 91\), got float32 of shape \(15, 91\)"),
        ("fisher", lambda t: t[:, :90], "misshapen"),
        ("fisher", lambda t: t.long(), "misshapen"),
        ("fisher", lambda t: t * torch.nan, "not finite"),
        ("score", lambda t: t[:3], "misshapen"),
        ("score", lambda t: t * torch.inf, "not finite"),
        ("sky.seen", lambda t: t.flatten(), r"shape \(any, any\)"),
        ("sky.seen", lambda t: t - 2, "below 0"),
        ("sky.seen", lambda t: t * torch.nan, "below 0"),
        ("sky.seen", None, "missing"),
        ("sky.up", lambda t: t[:2], "misshapen"),
        ("residuals.lagged", lambda t: t[1:], "misshapen"),
        ("residuals.count", None, "missing"),
        ("residuals.squares", lambda t: t * torch.nan, "not finite"),
    ],
)
def test_corrupt_tensors(tmp_path: Path, scene: Scene, name: str, change: Callable | None, problem: str) -> None:
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    tensors, metadata = load_tensors(tmp_path / "a")
    value = tensors.pop(name)
    if change is not None:
        tensors[name] = change(value)
    save_tensors(tmp_path / "a", tensors, metadata=metadata)
    with pytest.raises(InputError, match=problem) as caught:
        load_evidence(tmp_path / "a", scene=scene)
    assert caught.value.field == name


@pytest.mark.parametrize(
    "counts",
    ["", "[]", "{}", '{"views": -1, "clustered": false}', '{"views": 2.5, "clustered": false}', '{"views": 1}',
     '{"views": true, "clustered": false}', '{"views": 1, "clustered": 0}'],
)  # fmt: skip
def test_corrupt_counts(tmp_path: Path, scene: Scene, counts: str) -> None:
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    tensors, metadata = load_tensors(tmp_path / "a")
    save_tensors(tmp_path / "a", tensors, metadata={**metadata, "veduta.evidence.counts": counts})
    with pytest.raises(InputError, match=r"field veduta.evidence.counts: corrupt"):
        load_evidence(tmp_path / "a", scene=scene)


def test_a_full_disk_harms_nothing(tmp_path: Path, scene: Scene, full_disk: Callable) -> None:
    save_evidence(some_evidence(16), tmp_path / "a", scene=scene)
    before = (tmp_path / "a").read_bytes()
    with full_disk(), pytest.raises(OutputError):
        save_evidence(some_evidence(16, known=True), tmp_path / "a", scene=scene)
    assert (tmp_path / "a").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
