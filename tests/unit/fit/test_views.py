"""Targets: exact areas, the frame of the fit, a budget, every picture once per epoch."""

from __future__ import annotations

import pytest
import torch

from tests.unit.fit.scenes import Photographs, some_cameras
from veduta.core import Cameras, InputError, Views
from veduta.fit.views import Targets, ViewOrder, area_weights, fingerprint, kept_bytes, reduced, reduced_size
from veduta.geometry import Similarity, project


def source_of(count: int = 5, *, size: int = 32, weighted: bool = False) -> Photographs:
    generator = torch.Generator().manual_seed(1)
    cameras = some_cameras(count, size=size)
    views = []
    for i in range(count):
        weight = (torch.rand(1, size, size, generator=generator) > 0.4).float() if weighted else None
        rgb = torch.rand(1, size, size, 3, generator=generator)
        views.append(Views.of(cameras[i], rgb=rgb, weight=weight, names=(f"{i}",)))
    return Photographs(tuple(views))


def targets_of(source: Photographs, *, budget_bytes: int = 10**9, similarity: Similarity | None = None) -> Targets:
    return Targets(
        source,
        similarity=Similarity.identity() if similarity is None else similarity,
        min_side_px=4,
        budget_bytes=budget_bytes,
        with_depth=False,
    )


@pytest.mark.parametrize(("before", "after"), [(12, 12), (12, 3), (13, 3), (7, 5), (5, 1)])
def test_area_weights_conserve_light(before: int, after: int) -> None:
    weights = area_weights(before, after)
    assert torch.allclose(weights.sum(dim=1), torch.ones(after))
    assert torch.allclose(weights.sum(dim=0), torch.full((before,), after / before))
    assert bool((weights >= 0).all())
    # A new pixel sees no old one that lies wholly outside it.
    edges = torch.arange(after + 1) * before / after
    old = torch.arange(before)
    outside = (old + 1 <= edges[:-1, None] - 1e-6) | (old >= edges[1:, None] + 1e-6)
    assert not weights[outside].any()


class OnDisk(Photographs):
    """Knows the cameras, and how much it would keep, without reading."""

    def __getitem__(self, i: int, /) -> Views:
        raise AssertionError("read")

    def camera(self, i: int) -> Cameras:
        return super().__getitem__(i).cameras

    needed_bytes = 12345


def test_photographs_are_not_read_for_their_cameras() -> None:
    similarity = Similarity(0.5, torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 2, 3], dtype=torch.float64))
    known = targets_of(OnDisk(source_of().views), similarity=similarity)
    read = targets_of(source_of(), similarity=similarity)
    assert known.places == read.places
    for camera, other in zip(known.cameras, read.cameras, strict=True):
        assert torch.equal(camera.world_from_camera, other.world_from_camera)
        assert torch.equal(camera.intrinsics, other.intrinsics)


def test_what_a_source_keeps_is_known() -> None:
    assert kept_bytes(OnDisk(source_of().views)) == 12345
    assert kept_bytes(source_of()) == 0


def test_reducing_averages_by_trust() -> None:
    rgb = torch.zeros(2, 2, 3)
    rgb[0, 0] = 0.8
    rgb[1, 1] = 0.4
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    small, trust = reduced(rgb, weight, height=1, width=1)
    assert torch.allclose(small, torch.full((1, 1, 3), 0.6))
    assert trust is not None
    assert torch.allclose(trust, torch.tensor([[0.5]]))
    unseen, none = reduced(rgb, torch.zeros(2, 2), height=1, width=1)
    assert not unseen.any()
    assert none is not None
    assert not none.any()


def test_reduced_pictures_are_not_too_small() -> None:
    assert reduced_size(480, 270, 4, 64) == (120, 68)
    assert reduced_size(100, 90, 4, 64) == (71, 64)
    assert reduced_size(40, 30, 4, 64) == (40, 30)


def test_a_reduced_camera_sees_the_same() -> None:
    source = source_of()
    similarity = Similarity(0.5, torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 2, 3], dtype=torch.float64))
    targets = targets_of(source, similarity=similarity)
    points = torch.tensor([[0.1, 0.2, 0.3]])
    px, depth = project(points, source[2].cameras)
    small = targets.get(2, 4)
    moved = 0.5 * points + torch.tensor([1.0, 2, 3])
    px_small, depth_small = project(moved, small.camera)
    assert small.rgb.shape == (8, 8, 3)
    assert torch.allclose(px_small * 4, px, atol=1e-3)
    assert torch.allclose(depth_small, 0.5 * depth, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_targets_do_not_depend_on_the_budget(weighted: bool) -> None:
    source = source_of(weighted=weighted)
    rich, poor = targets_of(source), targets_of(source, budget_bytes=4 * 8 * 8 * 3 + 10)
    for downscale in (4, 2, 1):
        for index in (0, 3, 0, 1):
            a, b = rich.get(index, downscale), poor.get(index, downscale)
            assert torch.equal(a.rgb, b.rgb)
            assert (a.weight is None) == (b.weight is None) == (not weighted)
            assert rich.get(index, downscale) is a  # kept


def test_a_rig_gives_one_target_per_camera() -> None:
    cameras = some_cameras(3, size=8)
    rig = Views.of(cameras, rgb=torch.rand(3, 8, 8, 3))
    targets = targets_of(Photographs((rig, source_of(1, size=8)[0])))
    assert len(targets) == 4
    assert torch.equal(targets.get(1, 1).rgb, rig.rgb[1])
    assert torch.equal(targets.cameras[1].world_from_camera[0], cameras.world_from_camera[1])


def test_no_photographs_is_an_error() -> None:
    with pytest.raises(InputError, match="no training photographs"):
        targets_of(Photographs(()))


def test_every_picture_comes_once_per_epoch_and_the_order_changes() -> None:
    order, generator = ViewOrder(7), torch.Generator().manual_seed(0)
    epochs = [[order.next(generator) for _ in range(7)] for _ in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_fingerprints_tell_photographs_apart() -> None:
    assert fingerprint(source_of(3)) == fingerprint(source_of(3))
    assert fingerprint(source_of(3)) != fingerprint(source_of(4))
    assert fingerprint(source_of(3)) != fingerprint(source_of(3, weighted=True))
