"""What one picture says about each Gaussian, and what uncertain Gaussians make of one picture.

With J = d colour / d parameters of one Gaussian at one pixel (13 parameters; see :data:`veduta.core.BLOCK`), and the
linear map L of the Gaussian in this view, J = [v (alpha m)^T | alpha T I] L. So a picture is summed up on the screen by
a few moments per Gaussian, which L carries into its parameters once; and a covariance of the parameters is carried onto
the screen once, and evaluated pixel by pixel. Exact, all three channels and all cross terms included.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, ScreenCovariance, ScreenMoments
from veduta.render.backends import Backend, resolve


def screen_moments(
    gaussians: Gaussians,
    camera: Cameras,
    *,
    photograph: Float[Tensor, "h w 3"] | None = None,
    weight: Float[Tensor, "h w"] | None = None,
    behind: Float[Tensor, "h w 3"] | None = None,
    clustered: bool = False,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> ScreenMoments:
    """Sums over the pixels of one camera, per Gaussian; of its residuals too where there is a ``photograph``.

    ``weight`` is the trust per pixel (None: 1), ``behind`` what lies behind the Gaussians (None: black). With
    ``clustered`` the residuals are summed over the picture before they are squared, as if all its pixels were one
    observation. Raises :class:`~veduta.core.UnsupportedError` where a backend lacks what is asked.
    """
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    return _chosen(backend, gaussians).screen_moments(
        gaussians,
        camera,
        photograph=photograph,
        weight=weight,
        behind=behind,
        clustered=clustered,
        options=options,
    )


def screen_pull(
    gaussians: Gaussians,
    camera: Cameras,
    moments: Float[Tensor, "n s"],
    *,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> Float[Tensor, "n 91"]:
    """L^T S L of moments of the same camera and options: packed 13x13 blocks in the frame of ``gaussians``.

    s is 34 or 39, or 9 for clustered ones, which give (L^T s)(L^T s)^T.
    """
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    return _chosen(backend, gaussians).screen_pull(gaussians, camera, moments, options=options)


def screen_push(
    gaussians: Gaussians,
    camera: Cameras,
    blocks: Float[Tensor, "n 91"],
    *,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> Float[Tensor, "n 39"]:
    """F = L P L^T of packed covariances P, as :func:`screen_covariance` takes it.

    15 coefficients of m^T F m by monomial (the order of :class:`~veduta.core.ScreenMoments`), 18 entries F[k, 6 + c],
    k by rows, and 6 of F[6:9, 6:9] (upper triangle).
    """
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    return _chosen(backend, gaussians).screen_push(gaussians, camera, blocks, options=options)


def screen_covariance(
    gaussians: Gaussians,
    camera: Cameras,
    forms: Float[Tensor, "n 39"],
    *,
    behind: Float[Tensor, "h w 3"] | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> ScreenCovariance:
    """The picture of one camera and the covariance of its colours, for forms of :func:`screen_push`."""
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    return _chosen(backend, gaussians).screen_covariance(gaussians, camera, forms, behind=behind, options=options)


def screen_uncertainty(
    gaussians: Gaussians,
    camera: Cameras,
    blocks: Float[Tensor, "n 91"],
    *,
    behind: Float[Tensor, "h w 3"] | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> ScreenCovariance:
    """:func:`screen_push` and :func:`screen_covariance` in one, with one projection: for packed covariances P."""
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    return _chosen(backend, gaussians).screen_uncertainty(gaussians, camera, blocks, behind=behind, options=options)


def _chosen(backend: str | Backend, gaussians: Gaussians) -> Backend:
    return resolve(backend, gaussians) if isinstance(backend, str) else backend
