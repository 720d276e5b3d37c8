"""What one fit does: every constant of the optimisation, with its unit and its source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from veduta.core import MAX_SH_DEGREE, Cameras, InputError
from veduta.fit.densify import Adaptive, Fixed, Mcmc

GAUSSIANS_PER_ROOT_PIXEL = 42.0
"""Chosen on captures of 2 to 6 megapixels: fox at 60,000 Gaussians 31.2 dB, at 107,000 31.3 to 31.5 dB."""
FEWEST_GAUSSIANS, MOST_GAUSSIANS = 20_000, 150_000
"""Bounds of the automatic cap."""
REFERENCE_STEPS = 7000
"""Settings that count steps are given for a run of this length and stretch with the run."""


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """Adam's learning rates per parameter, as in Kerbl 2023 unless said otherwise."""

    means: float = 1.6e-4
    """Centres at the first step, as a share of the scene's extent."""
    means_final: float = 1.6e-6
    """Centres at the last step; exponential in between."""
    sh0: float = 2.5e-3
    """Constant colour."""
    sh_rest: float = 2.5e-3 / 20
    """Colour that depends on direction."""
    opacities: float = 0.05
    """Logits of the opacities."""
    scales: float = 5e-3
    """Logarithms of the scales."""
    quats: float = 1e-3
    """Raw quaternions."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check_range("rates." + name, getattr(self, name), low=0.0)


@dataclass(frozen=True, kw_only=True)
class AdamPlan:
    """Adam's other constants."""

    beta1: float = 0.9
    """Memory of the mean gradient."""
    beta2: float = 0.999
    """Memory of the mean squared gradient."""
    eps: float = 1e-15
    """Added to the root of the second moment; tiny, since many gradients are (Kerbl 2023)."""

    def __post_init__(self) -> None:
        check_range("adam.beta1", self.beta1, low=0.0, high=1.0)
        check_range("adam.beta2", self.beta2, low=0.0, high=1.0)
        check_range("adam.eps", self.eps, low=0.0)


@dataclass(frozen=True, kw_only=True)
class BackdropPlan:
    """What lies behind the last Gaussian."""

    kind: Literal["auto", "black", "white", "random", "learned", "sky"] = "auto"
    """The capture's own background or else black; a fixed colour; a new random colour at every step (forces opaque
    scenes); one learned colour; a learned sky."""
    sky_height_px: int = 64
    """Rows of the learned equirectangular sky; it has twice as many columns."""
    rate: float = 5e-3
    """Learning rate of the learned colour or sky."""

    def __post_init__(self) -> None:
        check_range("backdrop.sky_height_px", self.sky_height_px, low=1)
        check_range("backdrop.rate", self.rate, low=0.0)


@dataclass(frozen=True, kw_only=True)
class ExposurePlan:
    """An affine colour change per training photograph; applied in training only, never to held-out views."""

    enabled: bool = False
    """Fit a 3x4 colour matrix per photograph."""
    rate: float = 1e-3
    """Learning rate at the first step."""
    rate_final: float = 1e-4
    """Learning rate at the last step; exponential in between."""
    identity_weight: float = 0.1
    """Weight of the mean squared difference from the identity."""

    def __post_init__(self) -> None:
        for name in ("rate", "rate_final", "identity_weight"):
            check_range("exposure." + name, getattr(self, name), low=0.0)


@dataclass(frozen=True, kw_only=True)
class InitialPlan:
    """The Gaussians before the first step."""

    opacity: float = 0.1
    """Opacity of every Gaussian (Kerbl 2023)."""
    neighbours: int = 3
    """A Gaussian's size is its mean distance to this many nearest points (Kerbl 2023)."""
    max_scale_share: float = 0.1
    """Largest size as a share of the point's distance from the cameras' centre, or of the extent if that is more."""
    random_points: int = 10_000
    """Points drawn within the cameras' views when the capture has none."""
    random_near: float = 0.2
    """Nearest random point along its ray, as a share of the scene's extent."""
    random_far: float = 5.0
    """Farthest, likewise; log-uniform in between."""

    def __post_init__(self) -> None:
        check_range("initial.opacity", self.opacity, low=1e-4, high=0.9999)
        check_range("initial.neighbours", self.neighbours, low=1)
        check_range("initial.max_scale_share", self.max_scale_share, low=1e-6)
        check_range("initial.random_points", self.random_points, low=1)
        check_range("initial.random_near", self.random_near, low=1e-6, high=self.random_far)


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """How Gaussians are fitted to photographs. Step counts are for a run of 7,000 steps and stretch with ``steps``."""

    steps: int = REFERENCE_STEPS
    """Optimisation steps, one photograph each."""
    seed: int = 0
    """Of all randomness; two runs with one seed are bit-identical."""
    max_gaussians: int | None = None
    """Never more Gaussians than this; None: as many as the photographs are likely to tell apart, see :meth:`cap`."""
    sh_degree: int = 3
    """Degree of the colour's spherical harmonics at the end, 0 to 3."""
    sh_degree_every: int = 1000
    """The degree in use grows by one every so many steps (of 7,000)."""
    ssim_weight: float = 0.2
    """Share of 1 - SSIM in the loss; the rest is L1 (Kerbl 2023)."""
    doublings: tuple[float, ...] = (0.15, 0.4)
    """Shares of the run at which the picture size doubles; two of them start at a quarter size; () is full size."""
    min_side_px: int = 64
    """Pictures are never made smaller than this on their shorter side."""
    image_budget_mb: int = 512
    """Memory for pictures prepared at the size of the moment; beyond it they are prepared again each time."""
    rates: LearningRates = field(default_factory=LearningRates)
    """Learning rates."""
    adam: AdamPlan = field(default_factory=AdamPlan)
    """The optimiser's other constants."""
    densify: Mcmc | Adaptive | Fixed = field(default_factory=Mcmc)
    """How Gaussians are added, moved and removed."""
    initial: InitialPlan = field(default_factory=InitialPlan)
    """How the first Gaussians are made."""
    backdrop: BackdropPlan = field(default_factory=BackdropPlan)
    """What lies behind the Gaussians."""
    exposure: ExposurePlan = field(default_factory=ExposurePlan)
    """Colour changes per photograph."""
    clear_radius: float = 0.1
    """Gaussians whose centres are nearer to a camera than this share of the rig's radius (less where measured points
    are near) are left out of the finished scene: they would fill the view from there. 0 keeps all."""
    antialias: bool = False
    """Fade Gaussians thinner than a pixel (Mip-Splatting's screen filter)."""
    depth_weight: float = 0.0
    """Weight of the inverse-depth error at structure-from-motion points; 0 ignores them."""
    actors: bool = True
    """Fit every annotated moving object in its own frame; without tracks nothing changes."""
    actor_points: int = 2000
    """Gaussians an object starts with if no measured points lie in its box."""
    log_every: int = 20
    """Steps between progress events; the loss and the PSNR are only computed then. Does not stretch."""
    eval_every: int = 0
    """Steps (of 7,000) between scores on the held-out photographs; 0: never."""
    checkpoint_every: int = 1000
    """Steps (of 7,000) between checkpoints; 0: only when stopped. The last step always writes one."""

    def __post_init__(self) -> None:
        check_range("steps", self.steps, low=0)
        check_range("max_gaussians", 1 if self.max_gaussians is None else self.max_gaussians, low=1)
        check_range("sh_degree", self.sh_degree, low=0, high=MAX_SH_DEGREE)
        check_range("sh_degree_every", self.sh_degree_every, low=1)
        check_range("ssim_weight", self.ssim_weight, low=0.0, high=1.0)
        check_range("min_side_px", self.min_side_px, low=1)
        check_range("image_budget_mb", self.image_budget_mb, low=0)
        check_range("clear_radius", self.clear_radius, low=0.0)
        check_range("depth_weight", self.depth_weight, low=0.0)
        check_range("actor_points", self.actor_points, low=1)
        check_range("log_every", self.log_every, low=1)
        check_range("eval_every", self.eval_every, low=0)
        check_range("checkpoint_every", self.checkpoint_every, low=0)
        for share in self.doublings:
            check_range("doublings", share, low=0.0, high=1.0)

    @property
    def schedule_scale(self) -> float:
        """What every step count but ``log_every`` is multiplied with: the run's length over 7,000."""
        return self.steps / REFERENCE_STEPS

    def cap(self, cameras: Iterable[Cameras]) -> int:
        """Most Gaussians of a run on photographs by these cameras.

        Unless the plan says it, the square root of all pixels times ``GAUSSIANS_PER_ROOT_PIXEL``, 20,000 to 150,000:
        few photographs hold few details, and more Gaussians than that only learn their noise, slowly.
        """
        if self.max_gaussians is not None:
            return self.max_gaussians
        pixels = sum(len(c) * c.width * c.height for c in cameras)
        return min(MOST_GAUSSIANS, max(FEWEST_GAUSSIANS, round(GAUSSIANS_PER_ROOT_PIXEL * pixels**0.5)))

    def downscale_at(self, step: int) -> int:
        """How many times smaller than the photographs the pictures are at ``step`` (counted from 0)."""
        return 2 ** sum(step < share * self.steps for share in self.doublings)

    def sh_degree_at(self, step: int) -> int:
        """The degree in use at ``step`` (counted from 0)."""
        return min(self.sh_degree, step // stretched(self.sh_degree_every, self.schedule_scale))

    def means_rate_at(self, step: int) -> float:
        """The centres' learning rate at ``step`` (counted from 0), as a share of the extent."""
        return exponential(self.rates.means, self.rates.means_final, at=step, steps=self.steps)

    def due(self, every: int, done: int) -> bool:
        """Whether something that happens ``every`` so many steps (of 7,000; 0: never) is due after ``done`` steps."""
        return every > 0 and done % stretched(every, self.schedule_scale) == 0


def stretched(steps: int, scale: float) -> int:
    """A count of steps for a run ``scale`` times as long as the reference; at least 1."""
    return max(1, round(steps * scale))


def exponential(first: float, last: float, *, at: int, steps: int) -> float:
    """From ``first`` at step 0 to ``last`` at step ``steps``, by a constant factor per step."""
    if first <= 0.0 or last <= 0.0:
        return first
    return first * (last / first) ** (at / max(1, steps))


def check_range(name: str, value: float, *, low: float, high: float = float("inf")) -> None:
    """Raise :class:`InputError` unless ``low <= value <= high`` (also for NaN)."""
    if not low <= value <= high:
        expected = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise InputError("setting out of range", where="plan", field=name, expected=expected, got=value)
