"""How many threads compute, so that results do not depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from veduta import kernels
from veduta.core import InputError


def use_threads(threads: int | None) -> None:
    """Set the kernels' and torch's threads; None leaves them as they are. InputError for less than one."""
    if threads is not None:
        if threads < 1:
            raise InputError("nothing computes without a thread", field="threads", expected="at least 1", got=threads)
        kernels.set_threads(threads)
        torch.set_num_threads(threads)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run the block with one torch thread; the kernels keep theirs.

    Where torch cuts a tensor between threads decides the last bit of sigmoids and of matrix products from about 30,000
    rows on. And torch's idle threads spin on the cores that the kernels need: 700 steps of the fox capture took 28.7 s
    with two torch threads on 2 cores, 23.4 s with one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
