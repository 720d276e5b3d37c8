"""What lies behind the last Gaussian: a colour, or a sky."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Sky
from veduta.fit.plan import AdamPlan, BackdropPlan
from veduta.geometry.sky import sky_color
from veduta.kernels import adam_step_

MID_GREY = 0.5
"""A learned backdrop starts with this."""


@dataclass(eq=False)
class Backdrop:
    """A texture (1x1 for one colour), and Adam moments if it is learned."""

    plan: BackdropPlan
    up: Float[Tensor, "3"]
    texture: Float[Tensor, "h w 3"]
    moment1: Float[Tensor, "h w 3"]
    moment2: Float[Tensor, "h w 3"]

    @staticmethod
    def of(
        plan: BackdropPlan,
        *,
        up: Float[Tensor, "3"],
        given: Float[Tensor, "3"] | None = None,
        sky: Sky | None = None,
        device: torch.device | None = None,
    ) -> Backdrop:
        """As planned; ``given`` is the capture's own. A learned one continues from a ``sky`` of the planned size."""
        rows = plan.sky_height_px if plan.kind == "sky" else 1
        columns = 2 * rows if plan.kind == "sky" else 1
        value = {"learned": MID_GREY, "sky": MID_GREY, "white": 1.0}.get(plan.kind, 0.0)
        texture = torch.full((rows, columns, 3), value)
        if plan.kind == "auto" and given is not None:
            texture = given.detach().float().reshape(1, 1, 3).clone()
        if sky is not None and plan.kind in ("learned", "sky") and sky.texture.shape == texture.shape:
            texture, up = sky.texture.clone().float(), sky.up
        texture, up = texture.to(device), up.to(device)
        return Backdrop(
            plan=plan, up=up, texture=texture, moment1=torch.zeros_like(texture), moment2=torch.zeros_like(texture)
        )

    @property
    def learned(self) -> bool:
        """Whether the texture is optimised."""
        return self.plan.kind in ("learned", "sky")

    def fixed_color(self, generator: torch.Generator) -> Float[Tensor, "3"] | None:
        """The colour to composite over in this step; None for black, and where the backdrop is learned."""
        if self.plan.kind == "random":
            return torch.rand(3, generator=generator).to(self.texture.device, non_blocking=True)
        return None if self.learned or self._black else self.texture[0, 0]

    def leaf(self) -> Float[Tensor, "h w 3"]:
        """The texture, asking for its gradient."""
        return self.texture.detach().requires_grad_()

    def behind(self, texture: Float[Tensor, "rows columns 3"], camera: Cameras) -> Float[Tensor, "h w 3"]:
        """The backdrop's picture in one camera (1x1 for one colour), differentiable in the texture."""
        if self.plan.kind == "sky":
            return sky_color(Sky(texture=texture, up=self.up), camera)[0]
        return texture

    def step_(self, gradient: Float[Tensor, "h w 3"], *, adam: AdamPlan, step: int) -> None:
        """Move the texture along its gradient; colours stay between 0 and 1."""
        adam_step_(
            self.texture,
            gradient.contiguous(),
            self.moment1,
            self.moment2,
            lr=self.plan.rate,
            beta1=adam.beta1,
            beta2=adam.beta2,
            eps=adam.eps,
            step=step,
        )
        self.texture.clamp_(0.0, 1.0)

    def sky(self) -> Sky | None:
        """What the scene keeps of it; None is black, and a random backdrop is kept as black."""
        if not self.learned and self._black:
            return None
        return Sky(texture=self.texture.clone(), up=self.up.clone())

    @cached_property
    def _black(self) -> bool:
        """Whether a texture that is not learned is black, which it then stays."""
        return not bool(self.texture.any())
