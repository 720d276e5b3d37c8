"""Habits of published weights that a fresh model does better without."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Compatibility:
    """What published weights were trained with; all off for a model of our own."""

    neg_campos: bool = False
    """Colours are looked up as if the camera stood at minus its position."""
    half_pixel_shift: bool = False
    """Points are looked up half a pixel beside where they are in the photographs."""
    unnormalised_depth: bool = False
    """The drawn depth that points are compared with fades with alpha, and counts multiples of the nearest depth."""
    sh_e3nn_signs: bool = False
    """A scene's harmonics are turned in one sign convention and drawn in another."""
    ray_distance_depth: bool = False
    """Depths of the cost volume, which are along z, are gone along the ray."""
    fp16_attention: bool = False
    """Queries, keys and values are rounded to half precision."""
    first_duplicate: bool = False
    """The first of several points in a cell speaks for it in convolutions."""
    coords_x2: bool = False
    """The densifier works in coordinates twice as large."""
    repeated_rows: bool = False
    """From the third view of a scene on, the second view's features are used again."""
    misplaced_mask: bool = False
    """With three or more views of a scene, shifted windows mask the wrong pairs."""


OBJECT = Compatibility(
    neg_campos=True, half_pixel_shift=True, unnormalised_depth=True, fp16_attention=True, first_duplicate=True
)
"""Of the object model "Ours", and of LaRa."""
OBJECT_RESIDUAL = Compatibility(
    neg_campos=True,
    half_pixel_shift=True,
    unnormalised_depth=True,
    fp16_attention=True,
    first_duplicate=True,
    coords_x2=True,
)
"""Of the object model "w/ residual"."""
SCENE = Compatibility(
    unnormalised_depth=True,
    sh_e3nn_signs=True,
    ray_distance_depth=True,
    first_duplicate=True,
    repeated_rows=True,
    misplaced_mask=True,
)
"""Of the scene model, and of MVSplat."""
