"""Gradient checkpointing: activations of large blocks are worked out again in the backward pass (Chen et al. 2016)."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from veduta.feedforward.volume import GroupAttention
from veduta.nets import Block, Upsample
from veduta.nets.unet import Residual

BLOCKS: tuple[type[nn.Module], ...] = (Block, Upsample, GroupAttention, Residual)
"""Modules whose insides are not kept."""


def recompute_(model: nn.Module) -> None:
    """Make every block of ``model`` forget its activations; results and gradients stay the same."""
    for module in model.modules():
        if isinstance(module, BLOCKS):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
