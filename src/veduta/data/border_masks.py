"""A guess at what a photograph shows of an object: everything unlike the colour along its border."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError

_BORDER = 0.02
"""Width of the border, as a share of the shorter side."""
_LEAST_TOLERANCE = 0.04
"""Distance in sRGB that counts as the background's colour at least."""
_SPREADS = 4.0
"""The same, in median deviations of the border from its median."""
_UNIFORM = 0.8
"""Share of the border that must be of its colour, or there is no telling."""


def border_mask(rgb: Float[Tensor, "h w 3"], *, name: str = "the photograph") -> Float[Tensor, "h w"]:
    """1 on the object, 0 on the background, softly between: what is connected to the border and of its colour is none.

    A heuristic for photographs before a plain backdrop. Raises InputError where the border has no one colour, where it
    is all that there is, or where the object fills nearly everything.
    """
    from scipy.ndimage import label

    height, width = rgb.shape[:2]
    edge = max(1, round(_BORDER * min(height, width)))
    at_border = torch.ones(height, width, dtype=torch.bool)
    at_border[edge : height - edge, edge : width - edge] = False
    border = rgb[at_border]
    color = border.median(dim=0).values
    away = (rgb - color).norm(dim=-1)
    tolerance = max(_LEAST_TOLERANCE, _SPREADS * float(away[at_border].median()))
    uniform = float((away[at_border] <= tolerance).float().mean())
    if uniform < _UNIFORM or tolerance > 0.5:
        raise InputError(
            "no telling the object from the background by the border's colour",
            where=name,
            expected=f"one colour along at least {_UNIFORM:.0%} of the border",
            got=f"{uniform:.0%}",
            hint="Give masks, cut the object out (RGBA), or photograph it before a plain backdrop.",
        )
    regions = np.asarray(label((away <= tolerance).numpy())[0])  # pyright: ignore[reportIndexIssue]
    touching = np.unique(regions[at_border.numpy()])
    background = torch.from_numpy(np.isin(regions, touching[touching > 0]))
    share = float(background.float().mean())
    if share > 0.995:
        raise InputError(
            "nothing but the border's colour",
            where=name,
            expected="an object",
            hint="Give masks, or other photographs.",
        )
    beside = torch.nn.functional.max_pool2d(background[None].float(), 3, 1, 1)[0] > 0
    soft = ((away - tolerance) / tolerance).clamp(0, 1)
    return torch.where(background, 0.0, torch.where(beside, soft, 1.0))
