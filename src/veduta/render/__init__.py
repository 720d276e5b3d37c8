"""Gaussians and cameras in, pictures out: one signature, several backends."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, Render, Scene
from veduta.geometry import sky_color
from veduta.render.backends import BACKENDS, Availability, Backend, report, resolve

__all__ = ["BACKENDS", "Availability", "Backend", "rasterize", "render_scene", "report", "resolve"]


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

    ``features`` has a row per Gaussian of ``scene.at(t)``, the same at all times.
    """
    pictures = []
    for i in range(len(cameras)):
        gaussians = scene.at(float(cameras.time[i])) if scene.actors else scene.background
        drawn = rasterize(gaussians, cameras[i], features=features, options=options, backend=backend)
        if scene.sky is not None:
            behind = sky_color(scene.sky, cameras[i]).to(drawn.color)
            drawn = drawn.replace(color=drawn.color + (1 - drawn.alpha)[..., None] * behind)
        pictures.append(drawn)
    return pictures[0] if len(pictures) == 1 else _stack(pictures, scene, cameras, features, options, backend)


def _stack(
    pictures: list[Render],
    scene: Scene,
    cameras: Cameras,
    features: Tensor | None,
    options: RasterOptions | None,
    backend: str | Backend,
) -> Render:
    if not pictures:
        return rasterize(scene.background, cameras, features=features, options=options, backend=backend)
    first = pictures[0]
    mixed = None if first.features is None else torch.cat([p.features for p in pictures if p.features is not None])
    screens = [p.screen for p in pictures if p.screen is not None]
    screen = None
    if first.screen is not None:
        fields = ("means_px", "absgrad", "radii_px", "visible")
        screen = first.screen.replace(**{name: torch.cat([getattr(s, name) for s in screens]) for name in fields})
    return Render(
        color=torch.cat([p.color for p in pictures]),
        alpha=torch.cat([p.alpha for p in pictures]),
        depth=torch.cat([p.depth for p in pictures]),
        features=mixed,
        screen=screen,
    )
