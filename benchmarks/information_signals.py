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
from veduta.information.maps import WARP_FLOOR
from veduta.render import rasterize

DEFAULT = "default"
OURS = (
    DEFAULT,
    "default, as gain",
    "default with warp",
    "no background",
    "block",
    "diagonal",
    "predicted error",
    "default + predicted error",
)
BASELINES = ("textbook diagonal", "FaithFusion as coded", "FisherRF map", "render gradient", "1 - alpha", "random")
RANDOM_SEED = 1234
LAPLACE = 2.0
"""Variance over squared mean absolute error of a Laplace distribution."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One held-out photograph."""

    name: str
    interpolating: bool
    error: Float[Tensor, "h w"]
    """Mean over channels of |drawn - photographed|, drawn colours cut to 0..1."""
    squared_error: Float[Tensor, "h w"]
    """Mean over channels of the square."""
    weight: Float[Tensor, "h w"]
    signals: dict[str, Float[Tensor, "h w"]]
    """How uncertain each pixel is said to be, by the name of who says it; any unit."""


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What every map of one scene is made from."""

    fitted: Fitted
    default: Posterior
    others: dict[str, Posterior]
    warp: information.WarpConsistency
    errors: information.ErrorModel
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
            warp=information.WarpConsistency(scene, capture.train),
            errors=information.fit_errors(scene, capture.train),
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
            signals["default with warp"] = own.variance[0] * torch.sqrt(
                1 + self.warp(camera, own.color[0]) / WARP_FLOOR
            )
            expected = information.error_map(scene, self.errors, camera)[0]
            signals["predicted error"] = expected
            signals["default + predicted error"] = own.variance[0] + LAPLACE * expected.square()
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
                weight=view.weight[0],
                signals=signals,
            )


def cameras_of(fitted: Fitted, *, held_out: bool) -> list[Cameras]:
    """The cameras of the fitted or of the held-out photographs, one by one."""
    views = fitted.capture.test if held_out else fitted.capture.train
    return [views[i].cameras for i in range(len(views))]
