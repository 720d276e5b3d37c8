"""One step of Adam, in place."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.kernels.loading import available, module

LANES = 16  # rates are handed over in blocks of this many columns


def adam_step_(
    param: Float[Tensor, "*shape"],
    grad: Float[Tensor, "*shape"],
    m: Float[Tensor, "*shape"],
    v: Float[Tensor, "*shape"],
    *,
    lr: float | Float[Tensor, " k"],
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
) -> None:
    """Update ``param`` and its moments ``m`` and ``v`` in place (Kingma & Ba 2015, algorithm 1, with bias correction).

    ``lr`` is one rate, or one per index of the second axis of a ``param`` of shape "n k ..." (spherical harmonics learn
    at a rate per band). ``step`` counts from 1. Fused and threaded for contiguous float32 on the CPU, plain torch else.
    """
    correction1 = 1.0 / (1.0 - beta1**step)
    correction2 = 1.0 / (1.0 - beta2**step)
    if param.numel() == 0:
        return
    with torch.no_grad():
        tensors = (param, grad, m, v)
        fused = available() and all(
            t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors
        )
        if fused:
            assert all(t.shape == param.shape for t in tensors)
            addresses = [t.data_ptr() for t in tensors]
            rates = _rates(lr, param)
            module().adam(param.numel(), *addresses, rates, beta1, beta2, eps, correction1, correction2)
            return
        m.mul_(beta1).add_(grad, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        rate = lr.reshape(1, -1, *[1] * (param.dim() - 2)).to(param) if isinstance(lr, Tensor) else lr
        size = (v * correction2).sqrt_().add_(eps)
        param.sub_((m * correction1).mul_(rate).div_(size))


def _rates(lr: float | Tensor, param: Tensor) -> list[float]:
    """Rates by flat position, repeated until their period is a multiple of a vector's width; one if they are equal."""
    if not isinstance(lr, Tensor):
        return [lr]
    assert param.dim() >= 2, "rates per column need columns"
    assert lr.shape == param.shape[1:2]
    width = math.prod(param.shape[2:])
    row = [rate for rate in lr.tolist() for _ in range(width)]
    if len(set(row)) == 1:
        return row[:1]
    return row * (math.lcm(len(row), LANES) // len(row))
