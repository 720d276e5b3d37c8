"""Artificial weights and inputs by name, as ``golden/README.md`` beside the checkout describes them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

SOFTER = {"depth_head_lowres.2.weight": 0.02, "to_disparity.2.weight": 0.4}


def normals(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals seeded by the name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal(shape, dtype=np.float32)


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The parameter of that state-dict key."""
    noise = normals(key, shape)
    last = key.rsplit(".", 1)[-1]
    if last.endswith("weight") and len(shape) == 1:
        return torch.from_numpy(np.float32(0.02) * noise + np.float32(1))
    scale = 0.02
    if last.endswith("weight"):
        scale = 1 / math.sqrt(math.prod(shape[1:]))
        scale *= next((factor for end, factor in SOFTER.items() if key.endswith(end)), 1.0)
    return torch.from_numpy(np.float32(scale) * noise)


def fill(module: nn.Module, prefix: str) -> None:
    """Give every parameter of the module the weight of its key, ``prefix`` in front."""
    state: Mapping[str, Tensor] = dict(module.named_parameters())
    with torch.no_grad():
        for name, parameter in state.items():
            parameter.copy_(weight(prefix + name, tuple(parameter.shape)))


def generated(name: str, shape: tuple[int, ...], *, std: float = 1.0, mean: float = 0.0, unit: bool = False) -> Tensor:
    """An input that is generated rather than shipped; ``unit`` clips it to 0..1."""
    value = np.float32(std) * normals(name, shape) + np.float32(mean)
    return torch.from_numpy(value.clip(0, 1) if unit else value)
