"""Tiny scenes and photographs of them, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.backends.scenes import look_at, some_gaussians
from veduta.core import Actor, Cameras, Evidence, Gaussians, Scene, Sky, Views
from veduta.geometry import RigidMotion, rigid, so3_exp, unpack
from veduta.information import gather, no_evidence
from veduta.render import render_scene

WIDTH, HEIGHT = 20, 16
NOISE = 0.03


def gaussians(
    count: int = 10, *, sh_degree: int = 1, size: float = 0.3, seed: int = 0, spread: float = 0.6
) -> Gaussians:
    made = some_gaussians(count, sh_degree=sh_degree, size=size, seed=seed, spread=spread).to(torch.float64)
    return made.replace(quats=torch.nn.functional.normalize(made.quats, dim=-1))


def around(
    degrees: list[float],
    *,
    times: list[float] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    far: float = 3.0,
) -> Cameras:
    """Cameras at these azimuths, a little above, that look at the origin."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    poses = [
        look_at(far * torch.stack([torch.sin(a), torch.full_like(a, -0.2), -torch.cos(a)]), torch.zeros(3).double())
        for a in angles
    ]
    return Cameras.pinhole(
        torch.stack(poses),
        fx=1.1 * width,
        fy=1.1 * width,
        cx=width / 2 + 0.3,
        cy=height / 2 - 0.2,
        width=width,
        height=height,
        time=None if times is None else torch.tensor(times, dtype=torch.float64),
    )


def drive() -> RigidMotion:
    """Half a turn to the side within two seconds."""
    turns = so3_exp(torch.tensor([[0.1, 0.2, 0.0], [0.3, 1.2, 0.2], [0.2, 2.0, -0.3]], dtype=torch.float64))
    places = torch.tensor([[-0.4, 0.0, 0.1], [0.1, 0.1, 0.0], [0.5, 0.0, -0.2]], dtype=torch.float64)
    return RigidMotion(times=torch.tensor([0.0, 1.0, 2.0]).double(), world_from_object=rigid(turns, places))


def scene(*, moving: bool = False, sky: bool = False, seed: int = 0) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand(8, 16, 3, generator=generator).double()
    return Scene(
        background=gaussians(seed=seed),
        actors={"a": Actor(gaussians(4, seed=seed + 50, spread=0.3), drive())} if moving else {},
        sky=Sky(texture=texture, up=torch.tensor([0.0, -1.0, 0.0]).double()) if sky else None,
    )


def photographs(of: Scene, cameras: Cameras, *, noise: float = NOISE, seed: int = 0) -> list[Views]:
    """What the cameras would see, with independent noise; one view per instant."""
    colors = render_scene(of, cameras, backend="reference").color
    generator = torch.Generator().manual_seed(seed)
    colors = colors + noise * torch.randn(colors.shape, generator=generator, dtype=torch.float64)
    return [Views.of(cameras[i], rgb=colors[i : i + 1], names=(f"photo {i}",)) for i in range(len(cameras))]


def nothing(of: Scene) -> Evidence:
    return no_evidence(of)


def known(of: Scene, degrees: list[float] | None = None, **settings) -> Evidence:
    """Evidence of photographs from some sides."""
    cameras = around([-20.0, 0.0, 30.0] if degrees is None else degrees)
    return gather(of, photographs(of, cameras), backend="reference", **settings)


def least_eigenvalues(packed: Tensor) -> Tensor:
    """Of each block, relative to the geometric mean of the entries' units: a block of all parameters' own sizes."""
    blocks = unpack(packed.double())
    size = torch.diagonal(blocks, dim1=1, dim2=2).clamp(min=1e-300).sqrt()
    return torch.linalg.eigvalsh(blocks / size[:, :, None] / size[:, None, :])[:, 0]
