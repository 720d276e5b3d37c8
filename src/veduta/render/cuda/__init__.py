"""The rasteriser in Triton: nothing to compile at installation, and testable without a GPU in Triton's interpreter.

What other kernels build on: :func:`veduta.render.cuda.functions.project` and ``color_of`` (one camera's view of each
Gaussian), :func:`veduta.render.cuda.binning.bin_tiles` (the tiles' lists, with records ready for
:mod:`veduta.render.cuda.tile_kernels`), :func:`veduta.render.cuda.composite.composite` (the picture, with what a walk
back through the lists needs), :func:`veduta.render.cuda.launch.launch`. Modules named ``*_kernels`` import Triton;
nothing outside this folder imports any module of it but this one, so that veduta works without Triton.
"""

from __future__ import annotations
