"""How kernels are started: see :mod:`veduta.kernels.launch`."""

from __future__ import annotations

from veduta.kernels.launch import ROWS, Tuning, launch, programs

__all__ = ["ROWS", "Tuning", "launch", "programs"]
