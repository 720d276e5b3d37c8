"""What all backends share: the sizes of moments and forms, and what is refused alike."""

from __future__ import annotations

from veduta.core import Cameras, UnsupportedError

FISHER, SCORE, CLUSTERED, FORMS = 34, 39, 9, 39
"""Numbers per Gaussian of each kind of moments (:class:`~veduta.core.ScreenMoments`), and of forms."""


def require_pinhole(cameras: Cameras, *, backend: str) -> None:
    """UnsupportedError for cameras with a lens."""
    if cameras.lens is not None:
        raise UnsupportedError(
            "rendering through a lens is not supported",
            where=f"backend {backend!r}",
            field="cameras.lens",
            expected="pinhole cameras (lens=None)",
            got=cameras.lens.model,
            hint="render with pinhole cameras; veduta.geometry.pinhole_for(cameras) gives them",
        )
