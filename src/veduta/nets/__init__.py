"""Network blocks shared by the models: points along curves, sparse convolution, attention, up-sampling, splitting."""

from veduta.nets.blocks import Block, DropPath, PatchAttention, Points, norm, patches
from veduta.nets.rows import by_rows
from veduta.nets.serialization import CURVES, grid_cells, grid_depth, items_of, serialize
from veduta.nets.sparse_conv import SubmanifoldConv
from veduta.nets.split import Gate, Parting, Split, kept
from veduta.nets.upsample import Upsample

__all__ = [
    "CURVES",
    "Block",
    "DropPath",
    "Gate",
    "Parting",
    "PatchAttention",
    "Points",
    "Split",
    "SubmanifoldConv",
    "Upsample",
    "by_rows",
    "grid_cells",
    "grid_depth",
    "items_of",
    "kept",
    "norm",
    "patches",
    "serialize",
]
