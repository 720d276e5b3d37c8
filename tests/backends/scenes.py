"""One table of scenes for every backend, what is compared on them, and the pixels where a threshold may flip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, Render
from veduta.render.reference import MIN_ALPHA, MIN_TRANSMITTANCE, Cutoffs, Reference

ALPHA_BAND = 1e-4
"""Relative width about MIN_ALPHA within which a float32 alpha may fall on either side."""
TRANSMITTANCE_BAND = 3e-4
"""The same about MIN_TRANSMITTANCE; wider, since errors of 1 - alpha accumulate."""
BAND_BUDGET = 0.01
"""The share of pixels that may lie in a band."""

FIELDS = ("means", "quats", "scales", "opacities", "sh")


@dataclass(frozen=True, eq=False)
class Case:
    """What a backend is asked to draw; all numbers are representable in float32."""

    name: str
    gaussians: Gaussians
    cameras: Cameras
    features: Tensor | None = None
    background: Tensor | None = None
    options: RasterOptions = RasterOptions()

    def to(self, dtype: torch.dtype) -> Case:
        return Case(
            self.name,
            self.gaussians.to(dtype),
            self.cameras.to(dtype),
            None if self.features is None else self.features.to(dtype),
            None if self.background is None else self.background.to(dtype),
            self.options,
        )

    def draw(self, rasterize) -> Render:
        return rasterize(
            self.gaussians, self.cameras, features=self.features, background=self.background, options=self.options
        )


def look_at(position: Tensor, target: Tensor) -> Tensor:
    """World-from-camera pose "4 4" at ``position`` looking at ``target``, world y down."""
    forward = torch.nn.functional.normalize(target - position, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(position.new_tensor([0.0, 1.0, 0.0]), forward), dim=0)
    pose = torch.eye(4, dtype=position.dtype)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=1)
    pose[:3, 3] = position
    return pose


def some_cameras(count: int, *, width: int, height: int, focal: float | None = None, seed: int = 0) -> Cameras:
    """Cameras about z = -4 that look at the origin, with a principal point off the centre."""
    generator = torch.Generator().manual_seed(seed)
    positions = torch.tensor([0.0, 0.0, -4.0]) + 0.5 * torch.randn(count, 3, generator=generator)
    targets = 0.2 * torch.randn(count, 3, generator=generator)
    poses = torch.stack([look_at(p, t) for p, t in zip(positions, targets, strict=True)])
    focal = 1.1 * max(width, height) if focal is None else focal
    return Cameras.pinhole(
        poses, fx=focal, fy=1.07 * focal, cx=0.5 * width + 1.3, cy=0.5 * height - 0.7, width=width, height=height
    )


def some_gaussians(count: int, *, sh_degree: int, size: float, seed: int, spread: float = 1.0) -> Gaussians:
    """A cloud about the origin: all sizes and directions, opacities from faint to nearly 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        means=spread * normal(count, 3),
        quats=normal(count, 4),
        scales=size * torch.exp(0.5 * normal(count, 3)),
        opacities=torch.sigmoid(2 * normal(count)),
        sh=0.4 * normal(count, (sh_degree + 1) ** 2, 3),
    )


def random_case(
    name: str,
    *,
    count: int,
    width: int,
    height: int,
    sh_degree: int = 0,
    cameras: int = 1,
    size: float = 0.12,
    spread: float = 1.0,
    focal: float | None = None,
    features: int | None = None,
    background: bool = True,
    options: RasterOptions | None = None,
    seed: int = 0,
) -> Case:
    generator = torch.Generator().manual_seed(seed + 1000)
    return Case(
        name,
        some_gaussians(count, sh_degree=sh_degree, size=size, seed=seed, spread=spread),
        some_cameras(cameras, width=width, height=height, focal=focal, seed=seed),
        None if features is None else torch.randn(count, features, generator=generator),
        torch.rand(3, generator=generator) if background else None,
        RasterOptions() if options is None else options,
    )


CASES = {
    case.name: case
    for case in (
        random_case("degree-0", count=200, width=61, height=45),
        random_case("degree-1-tall", count=150, width=33, height=70, sh_degree=1, background=False, seed=1),
        random_case("degree-2-two-cameras", count=150, width=48, height=32, sh_degree=2, cameras=2, seed=2),
        random_case("degree-3-features", count=150, width=40, height=50, sh_degree=3, features=5, seed=3),
        random_case(
            "antialias-small", count=400, width=64, height=48, size=0.02, sh_degree=1, features=1, cameras=3, seed=4,
            options=RasterOptions(antialias=True),
        ),
        random_case("dense-and-opaque", count=600, width=50, height=40, size=0.3, sh_degree=1, features=2, seed=5),
        random_case(
            "wide-angle-all-around", count=400, width=64, height=36, spread=4.0, focal=20.0, size=0.3, seed=6,
            options=RasterOptions(near_m=0.5),
        ),
        random_case(
            "all-options", count=200, width=37, height=29, sh_degree=3, cameras=2, features=3, seed=7,
            options=RasterOptions(near_m=3.5, far_m=4.5, low_pass_px2=0.1, antialias=True, sh_degree=2),
        ),
        random_case("many-features", count=100, width=20, height=20, features=33, seed=8),
    )
}  # fmt: skip

SMALL_CASES = {
    case.name.removeprefix("small-"): case
    for case in (
        random_case("small-degree-0", count=40, width=21, height=19),
        random_case("small-degree-1-tall", count=30, width=14, height=34, sh_degree=1, background=False, seed=1),
        random_case("small-degree-2-two-cameras", count=30, width=24, height=16, sh_degree=2, cameras=2, seed=2),
        random_case("small-degree-3-features", count=40, width=20, height=18, sh_degree=3, features=5, seed=3),
        random_case(
            "small-antialias-small", count=60, width=18, height=18, size=0.06, sh_degree=1, features=1, cameras=2,
            seed=4, options=RasterOptions(antialias=True),
        ),
        random_case("small-dense-and-opaque", count=50, width=14, height=18, size=0.5, sh_degree=1, features=2, seed=5),
        random_case(
            "small-wide-angle-all-around", count=80, width=24, height=14, spread=4.0, focal=8.0, size=0.3, seed=6,
            options=RasterOptions(near_m=0.5),
        ),
        random_case(
            "small-all-options", count=50, width=19, height=17, sh_degree=3, cameras=2, features=3, seed=7,
            options=RasterOptions(near_m=3.5, far_m=4.5, low_pass_px2=0.1, antialias=True, sh_degree=2),
        ),
        random_case("small-many-features", count=15, width=14, height=12, features=33, seed=8),
    )
}  # fmt: skip
"""The same kinds, for what needs milliseconds per Gaussian and tile."""


def boundary(case: Case) -> Tensor:
    """Pixels "c h w" where some alpha or transmittance is so near its threshold that float32 may decide otherwise."""
    case = case.to(torch.float64)
    with torch.no_grad():
        pictures = [
            torch.cat([picture.color, picture.alpha[..., None]], dim=-1)
            for alpha in (1 - ALPHA_BAND, 1 + ALPHA_BAND)
            for transmittance in (1 - TRANSMITTANCE_BAND, 1 + TRANSMITTANCE_BAND)
            for picture in [
                case.draw(
                    Reference(
                        cutoffs=Cutoffs(
                            min_alpha=MIN_ALPHA * alpha, min_transmittance=MIN_TRANSMITTANCE * transmittance
                        )
                    ).rasterize
                )
            ]
        ]
    return torch.stack([(picture != pictures[0]).any(dim=-1) for picture in pictures[1:]]).any(dim=0)


def random_loss(render: Render, ignored: Tensor, seed: int = 0) -> Tensor:
    """A linear and a quadratic form with fixed random weights of everything drawn, outside the ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    total = render.color.new_zeros(())
    for picture, share in ((render.color, 1.0), (render.alpha, 0.5), (render.depth, 0.2), (render.features, 0.3)):
        if picture is not None:
            weight = share * torch.randn(picture.shape, generator=generator, dtype=torch.float32).to(picture)
            kept = ~ignored.reshape(ignored.shape + (1,) * (picture.dim() - 3))
            total = total + (torch.where(kept, weight, 0) * (picture + 0.1 * picture.square())).sum()
    return total


@dataclass(frozen=True, eq=False)
class Answer:
    """A picture and every gradient of the loss."""

    render: Render
    gradients: dict[str, Tensor]


def solve(case: Case, rasterize, ignored: Tensor) -> Answer:
    """Draw, take the random loss, and go back to all inputs and to the screen."""
    gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
    inputs = {name: getattr(gaussians, name) for name in FIELDS}
    features = background = None
    if case.features is not None:
        features = inputs["features"] = case.features.clone().requires_grad_()
    if case.background is not None:
        background = inputs["background"] = case.background.clone().requires_grad_()
    options = RasterOptions(**{**vars(case.options), "keep_screen": True})
    render = rasterize(gaussians, case.cameras, features=features, background=background, options=options)
    random_loss(render, ignored).backward()
    gradients = {name: t.grad for name, t in inputs.items()}
    gradients["means_px"] = render.screen.means_px.grad
    gradients["absgrad"] = render.screen.absgrad
    assert all(value is not None for value in gradients.values()), [k for k, v in gradients.items() if v is None]
    return Answer(render.detach().to("cpu"), {name: value.cpu() for name, value in gradients.items()})
