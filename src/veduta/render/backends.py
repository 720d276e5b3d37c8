"""Which rasterisers there are, which can be used here, and why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta import kernels
from veduta.core import (
    Cameras,
    Gaussians,
    InputError,
    RasterOptions,
    Render,
    ScreenCovariance,
    ScreenMoments,
    UnsupportedError,
)
from veduta.kernels import gpu
from veduta.render.cpu import Cpu
from veduta.render.cuda import Cuda
from veduta.render.reference import Reference


@runtime_checkable
class Backend(Protocol):
    """Gaussians and cameras in, pictures out; all backends agree with ``reference``."""

    name: str

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Float[Tensor, "n f"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        """See :func:`veduta.render.rasterize`."""
        ...

    def screen_moments(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        *,
        photograph: Float[Tensor, "h w 3"] | None = None,
        weight: Float[Tensor, "h w"] | None = None,
        behind: Float[Tensor, "h w 3"] | None = None,
        clustered: bool = False,
        options: RasterOptions | None = None,
    ) -> ScreenMoments:
        """See :func:`veduta.render.screen_moments`."""
        ...

    def screen_pull(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        moments: Float[Tensor, "n s"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 91"]:
        """See :func:`veduta.render.screen_pull`."""
        ...

    def screen_push(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 39"]:
        """See :func:`veduta.render.screen_push`."""
        ...

    def screen_covariance(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        forms: Float[Tensor, "n 39"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """See :func:`veduta.render.screen_covariance`."""
        ...

    def screen_uncertainty(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """See :func:`veduta.render.screen_uncertainty`."""
        ...


BACKENDS: Mapping[str, Callable[[], Backend]] = {"reference": Reference, "cpu": Cpu, "cuda": Cuda}


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used on this machine."""

    name: str
    usable: bool
    why: str
    """What it runs on, or why it cannot be used."""


def report() -> list[Availability]:
    """Every backend, usable or not, with the reason."""
    cpu = f"C++ kernels, {kernels.isa()}, {kernels.threads()} threads" if kernels.available() else kernels.reason()
    return [
        Availability("reference", True, "plain torch: slow, any dtype, the definition"),
        Availability("cpu", kernels.available(), cpu),
        Availability("cuda", gpu.available(), gpu.reason()),
    ]


def resolve(name: str, gaussians: Gaussians) -> Backend:
    """The backend of that name.

    ``auto`` takes, for float32, ``cuda`` on the GPU, and ``cpu`` on the CPU where it was built; else ``reference``.
    Raises :class:`InputError` for an unknown name and :class:`~veduta.core.UnsupportedError` where it cannot be used,
    ``auto`` on a GPU without usable ``cuda`` included: ``reference`` is too slow to be what anybody meant.
    """
    if name == "auto":
        name = _fastest(gaussians.means)
    if name not in BACKENDS:
        raise InputError("no such backend", field="backend", expected=f"auto, {', '.join(BACKENDS)}", got=repr(name))
    return BACKENDS[name]()


def _fastest(tensor: Tensor) -> str:
    if tensor.dtype != torch.float32:
        return "reference"
    if tensor.device.type == "cuda":
        if not gpu.available():
            raise UnsupportedError(
                "nothing fast draws tensors on this GPU",
                where="backend 'auto'",
                got=gpu.reason(),
                hint="do that, move the tensors to the CPU, or ask for backend='reference' (slow)",
            )
        return "cuda"
    return (
        "cpu" if kernels.available() and tensor.dtype == torch.float32 and tensor.device.type == "cpu" else "reference"
    )
