"""Starting Triton kernels, with kernels that only say how they were started."""

from __future__ import annotations

from typing import Any

import pytest

from veduta.kernels.launch import Tuning, launch, launch_tuned, programs

triton = pytest.importorskip("triton")

TUNING = Tuning(warps=(1, 2), key=("FLAG",), resets=("sums",))


class Kernel:
    """Keeps what it was started with, and its warnings to itself."""

    def __init__(self) -> None:
        self.started: list[tuple[tuple[int, ...], tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]):
        def start(*arguments: Any, **constants: Any) -> None:
            self.started.append((grid, arguments, constants))

        return start


class Compiled(Kernel, triton.JITFunction):
    """As Triton has it where there is a GPU."""

    def __init__(self) -> None:
        Kernel.__init__(self)

    __hash__ = object.__hash__
    __eq__ = object.__eq__


@pytest.mark.parametrize(("count", "grid"), [(0, 1), (1, 1), (128, 1), (129, 2)])
def test_there_is_at_least_one_program(count: int, grid: int) -> None:
    assert programs(count, 128) == (grid,)


def test_interpreted_kernels_take_no_options_of_compilers() -> None:
    kernel = Kernel()
    launch(kernel, (3,), 1, BLOCK=2)
    launch_tuned(kernel, TUNING, (3,), 1, BLOCK=2)
    assert kernel.started == [((3,), (1,), {"BLOCK": 2})] * 2


def test_compiled_kernels_may_fuse_products_and_sums() -> None:
    kernel = Compiled()
    launch(kernel, (3,), 1, BLOCK=2)
    assert kernel.started == [((3,), (1,), {"BLOCK": 2, "enable_fp_fusion": True})]


def keeps(configs: list[Any], key: list[str], reset_to_zero: list[str] | None, cache_results: bool = False):
    """Triton 3.4 and later."""
    asked.append(([config.num_warps for config in configs], key, reset_to_zero, cache_results))
    return lambda kernel: kernel


def forgets(configs: list[Any], key: list[str], reset_to_zero: list[str] | None):
    """Triton before that."""
    return keeps(configs, key, reset_to_zero)


asked: list[tuple[list[int], list[str], list[str] | None, bool]] = []


@pytest.mark.parametrize(("autotune", "kept"), [(keeps, True), (forgets, False)])
def test_shapes_are_measured_by_one_tuner_per_kernel(
    monkeypatch: pytest.MonkeyPatch, autotune: Any, kept: bool
) -> None:
    asked.clear()

    monkeypatch.setattr(triton, "autotune", autotune)
    kernel = Compiled()
    for _ in range(2):
        launch_tuned(kernel, TUNING, (5,), FLAG=True)
    assert asked == [([1, 2], ["FLAG"], ["sums"], kept)]
    assert kernel.started == [((5,), (), {"FLAG": True, "enable_fp_fusion": True})] * 2
