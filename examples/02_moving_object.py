"""A scene with an object that moves, drawn at two times.

The object's Gaussians live in its own frame; its motion puts them into the world. Row i of ``scene.at(t)`` is the same
Gaussian at every t.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import veduta
from veduta.core import Actor, Cameras, Gaussians, Scene, Sky
from veduta.geometry.motion import RigidMotion
from veduta.geometry.sh import dc_from_rgb
from veduta.io.images import write_png


def blob(centre: list[float], size: list[float], rgb: list[float], *, count: int = 400) -> Gaussians:
    """A box-shaped cloud of small round Gaussians of one colour."""
    spread = torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    return Gaussians(
        means=torch.tensor(centre) + spread * torch.tensor(size),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4).clone(),
        scales=torch.full((count, 3), 0.06),
        opacities=torch.full((count,), 0.9),
        sh=dc_from_rgb(torch.tensor(rgb)).expand(count, 1, 3).clone(),
    )


def main(out: Path) -> None:
    road = blob([0.0, 1.0, 6.0], [8.0, 0.1, 4.0], [0.4, 0.4, 0.45], count=4000)
    start, end = torch.eye(4), torch.eye(4)
    start[:3, 3], end[:3, 3] = torch.tensor([-2.0, 0.7, 6.0]), torch.tensor([2.0, 0.7, 5.0])
    drive = RigidMotion(
        times=torch.tensor([0.0, 2.0], dtype=torch.float64), world_from_object=torch.stack([start, end])
    )
    car = Actor(gaussians=blob([0.0, 0.0, 0.0], [1.6, 0.6, 0.8], [0.8, 0.1, 0.1]), motion=drive, category="car")
    scene = Scene(background=road, actors={"car": car}, sky=Sky.constant(torch.tensor([0.6, 0.75, 0.9])))

    camera = Cameras.pinhole(torch.eye(4)[None], fx=240, fy=240, cx=160, cy=90, width=320, height=180)
    for time in (0.0, 1.5):
        moment = camera.replace(time=torch.tensor([time], dtype=torch.float64))
        picture = veduta.render(scene, moment)
        write_png(out / f"at_{time:.1f}_s.png", picture.color[0])
        where = scene.at(time).means[scene.owners() == 1].mean(dim=0)
        print(f"at {time:.1f} s the car is at {[round(x, 2) for x in where.tolist()]}")
    print(f"pictures in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_02"))
