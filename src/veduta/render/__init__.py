"""Gaussians and cameras in, pictures out: one signature, several backends."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, Render, Scene, UnsupportedError
from veduta.geometry import sky_color
from veduta.render.backends import BACKENDS, Availability, Backend, report, resolve
from veduta.render.information import (
    screen_covariance,
    screen_moments,
    screen_pull,
    screen_push,
    screen_uncertainty,
)

__all__ = [
    "BACKENDS",
    "Availability",
    "Backend",
    "rasterize",
    "render_scene",
    "report",
    "resolve",
    "screen_covariance",
    "screen_moments",
    "screen_pull",
    "screen_push",
    "screen_uncertainty",
]


def rasterize(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"] | None = None,
    background: Float[Tensor, "3"] | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> Render:
    """Draw Gaussians from every camera (Kerbl et al. 2023; the exact definition is in ``docs/how-it-works.md``).

    ``features`` are any values per Gaussian, composited like colour over zero; ``background`` is what lies behind
    (None: black). Differentiable in all fields of the Gaussians, in features and in the background. Raises
    :class:`~veduta.core.UnsupportedError` where a backend lacks what is asked.
    """
    chosen = resolve(backend, gaussians) if isinstance(backend, str) else backend
    return chosen.rasterize(gaussians, cameras, features=features, background=background, options=options)


def render_scene(
    scene: Scene,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"] | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> Render:
    """Draw a scene from every camera, each at its own time, with the sky behind.

    ``features`` has a row per Gaussian of ``scene.at(t)``, the same at all times. Raises
    :class:`~veduta.core.UnsupportedError` for ``keep_screen`` with actors and several cameras.
    """
    if not scene.actors:
        drawn = rasterize(scene.background, cameras, features=features, options=options, backend=backend)
    else:
        instants = [
            rasterize(scene.at(time), cameras[i], features=features, options=options, backend=backend)
            for i, time in enumerate(cameras.time.tolist())
        ]
        drawn = instants[0] if len(instants) == 1 else _joined(instants, scene, cameras, features, options)
    if scene.sky is None:
        return drawn
    behind = sky_color(scene.sky, cameras).to(drawn.color)
    return drawn.replace(color=drawn.color + (1 - drawn.alpha)[..., None] * behind)


def _joined(
    instants: list[Render], scene: Scene, cameras: Cameras, features: Tensor | None, options: RasterOptions | None
) -> Render:
    if not instants:
        return rasterize(scene.local(), cameras, features=features, options=options)
    if instants[0].screen is not None:
        raise UnsupportedError(
            "the screen of several instants cannot be one tensor",
            where="render_scene",
            field="options.keep_screen",
            hint="a scene with actors gives its screen for one camera at a time",
        )
    mixed = [picture.features for picture in instants if picture.features is not None]
    return Render(
        color=torch.cat([picture.color for picture in instants]),
        alpha=torch.cat([picture.alpha for picture in instants]),
        depth=torch.cat([picture.depth for picture in instants]),
        features=torch.cat(mixed) if mixed else None,
    )
