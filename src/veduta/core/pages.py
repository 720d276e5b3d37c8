"""Memory for what is kept for long, apart from what comes and goes."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

LEAST_BYTES = 2**18
"""Smaller tensors stay where they are: what they keep from being given back is small too, and pages are whole."""


def on_own_pages(values: Tensor) -> Tensor:
    """The same values, in pages that no other tensor shares, given back to the system as soon as nobody holds them.

    A tensor that is kept while larger ones around it come and go would hold on to their memory too: the C library
    cannot give back what lies below it, nor use a gap that is a little too small. Tensors on a GPU and those of less
    than LEAST_BYTES are returned as they are.
    """
    if values.device.type != "cpu" or values.nbytes < LEAST_BYTES:
        return values
    pages = _private_pages(values.nbytes)
    return torch.frombuffer(pages, dtype=values.dtype).reshape(values.shape).copy_(values)


def _private_pages(size: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except AttributeError:  # Windows has neither name, and no other kind
        return mmap.mmap(-1, size)
