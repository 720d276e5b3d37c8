"""Adam against torch's own, and the loader's switches."""

from __future__ import annotations

import pytest
import torch

from tests.backends.scenes import some_cameras, some_gaussians
from veduta import kernels
from veduta.render import rasterize

built = pytest.mark.skipif(not kernels.available(), reason="the CPU kernels were not built")


@pytest.mark.parametrize("shape", [(1,), (7,), (5, 3), (1000, 4), (40, 16, 3), (3, 9, 3)])
@pytest.mark.parametrize("fused", [True, False])
def test_adam_is_torchs(shape: tuple[int, ...], fused: bool) -> None:
    dtype = torch.float32 if fused else torch.float64
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(shape, generator=generator).to(dtype)
    theirs = ours.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99), eps=1e-8)
    m, v = torch.zeros_like(ours), torch.zeros_like(ours)
    for step in range(1, 6):
        grad = torch.randn(shape, generator=generator).to(dtype)
        theirs.grad = grad.clone()
        optimiser.step()
        kernels.adam_step_(ours, grad, m, v, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, step=step)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 4, 9, 16])
def test_a_rate_per_column(columns: int) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(37, columns, 3, generator=generator)
    grad = torch.randn(37, columns, 3, generator=generator)
    rates = torch.linspace(0.1, 0.5, columns)
    together, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    kernels.adam_step_(together, grad, m, v, lr=rates, beta1=0.9, beta2=0.999, eps=1e-15, step=1)
    for k in range(columns):
        alone = start[:, k].clone()
        kernels.adam_step_(
            alone,
            grad[:, k].clone(),
            torch.zeros_like(alone),
            torch.zeros_like(alone),
            lr=float(rates[k]),
            beta1=0.9,
            beta2=0.999,
            eps=1e-15,
            step=1,
        )
        torch.testing.assert_close(together[:, k], alone, rtol=1e-6, atol=1e-7)


@built
def test_adam_does_not_depend_on_threads() -> None:
    generator = torch.Generator().manual_seed(2)
    start, grad = torch.randn(50_000, 3, generator=generator), torch.randn(50_000, 3, generator=generator)
    before, answers = kernels.threads(), []
    for count in (1, 2, 5):
        kernels.set_threads(count)
        value, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
        kernels.adam_step_(value, grad, m, v, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-15, step=3)
        answers.append(value)
    kernels.set_threads(before)
    assert all(torch.equal(answers[0], answer) for answer in answers[1:])


@built
def test_instruction_sets_can_be_chosen() -> None:
    before = kernels.isa()
    try:
        for name in kernels.instruction_sets():
            kernels.set_isa(name)
            assert kernels.isa() == name
        with pytest.raises(ValueError, match="not usable"):
            kernels.set_isa("quantum")
    finally:
        kernels.set_isa(before)
    assert kernels.instruction_sets()[-1] == "portable"
    kernels.release_memory()


@built
def test_scratch_memory_that_pictures_have_outgrown_is_given_back() -> None:
    gaussians = some_gaussians(300, sh_degree=0, size=0.1, seed=0)

    def held_after(side: int) -> int:
        camera = some_cameras(1, width=side, height=side)
        gaussians.means.requires_grad_()
        rasterize(gaussians, camera, backend="cpu").color.sum().backward()
        used, kept = kernels.held_memory()
        assert used == 0
        return kept

    kernels.release_memory()
    for side in range(64, 640, 16):
        grown = held_after(side)
    kernels.release_memory()
    assert kernels.held_memory() == (0, 0)
    assert 0 < grown < 2 * held_after(side)
    kernels.release_memory()
