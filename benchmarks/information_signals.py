"""All maps of one fitted scene's held-out photographs, ours and the baselines', beside the true errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from information_baselines import (
    FaithFusion,
    fisher_rf,
    fisher_rf_information,
    gradient_magnitude,
    plain_variance,
    textbook_covariance,
)
from information_fits import Fitted
from jaxtyping import Float
from torch import Tensor

from veduta import information
from veduta.core import Cameras, Posterior
from veduta.render import rasterize

DEFAULT = "default"
OURS = (DEFAULT, "default, as gain", "no background", "block", "diagonal")
BASELINES = ("textbook diagonal", "FaithFusion as coded", "FisherRF map", "render gradient", "1 - alpha", "random")
RANDOM_SEED = 1234


@dataclass(frozen=True, eq=False)
class Seen:
    """One held-out photograph."""

    name: str
    interpolating: bool
    error: Float[Tensor, "h w"]
    """Mean over channels of |drawn - photographed|, drawn colours cut to 0..1."""
    squared_error: Float[Tensor, "h w"]
    """Mean over channels of the square."""
    differences: Float[Tensor, "h w 3"]
    weight: Float[Tensor, "h w"]
    signals: dict[str, Float[Tensor, "h w"]]
    """How uncertain each pixel is said to be, by the name of who says it; any unit."""
    std: Float[Tensor, "h w"]
    """The default's standard deviation of a channel of a photograph: sqrt(variance + sigma^2)."""


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What every map of one scene is made from."""

    fitted: Fitted
    default: Posterior
    others: dict[str, Posterior]
    textbook: Float[Tensor, "n 91"]
    fisher_rf: Float[Tensor, " n"]
    faithfusion: FaithFusion

    @staticmethod
    def of(fitted: Fitted) -> Knowledge:
        """Gather from the training photographs (and, for FisherRF, from the cameras of the held-out ones)."""
        scene, capture = fitted.scene, fitted.capture
        evidence = information.gather(scene, capture.train)
        default = information.posterior(scene, evidence)
        new = information.gather(scene, cameras_of(fitted, held_out=True))
        known = default.sky.replace(seen=torch.full_like(default.sky.seen, torch.inf))
        others = {kind: information.posterior(scene, evidence, kind=kind) for kind in ("block", "diagonal")}
        return Knowledge(
            fitted=fitted,
            default=default,
            others={"no background": default.replace(sky=known)} | others,
            textbook=textbook_covariance(evidence),
            fisher_rf=fisher_rf_information(evidence, new),
            faithfusion=FaithFusion.gather(scene.background, cameras_of(fitted, held_out=False)),
        )

    def look(self) -> Iterator[Seen]:
        """Every held-out photograph, interpolating ones first."""
        fitted, generator = self.fitted, torch.Generator().manual_seed(RANDOM_SEED)
        scene, between = fitted.scene, len(fitted.split.interpolating)
        gaussians = scene.background
        for i in range(len(fitted.capture.test)):
            view = fitted.capture.test[i]
            camera = view.cameras
            own = information.map(scene, self.default, camera)
            differences = own.color[0].clamp(0, 1) - view.rgb[0]
            signals = {DEFAULT: own.variance[0], "default, as gain": own.gain[0]}
            for name, posterior in self.others.items():
                signals[name] = information.map(scene, posterior, camera).variance[0]
            signals["textbook diagonal"] = plain_variance(gaussians, camera, self.textbook)
            signals["FaithFusion as coded"] = self.faithfusion.map(camera)
            signals["FisherRF map"] = fisher_rf(gaussians, camera, self.fisher_rf)
            signals["render gradient"] = gradient_magnitude(own.color[0].clamp(0, 1))
            signals["1 - alpha"] = 1 - rasterize(gaussians, camera).alpha[0]
            signals["random"] = torch.rand(differences.shape[:2], generator=generator)
            yield Seen(
                name=view.names[0],
                interpolating=i < between,
                error=differences.abs().mean(dim=-1),
                squared_error=differences.square().mean(dim=-1),
                differences=differences,
                weight=view.weight[0],
                signals=signals,
                std=(own.variance[0] + self.default.noise.sigma**2).sqrt(),
            )


def cameras_of(fitted: Fitted, *, held_out: bool) -> list[Cameras]:
    """The cameras of the fitted or of the held-out photographs, one by one."""
    views = fitted.capture.test if held_out else fitted.capture.train
    return [views[i].cameras for i in range(len(views))]
