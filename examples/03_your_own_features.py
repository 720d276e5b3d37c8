"""The rasteriser alone: any values per Gaussian as pictures, and gradients back to them.

Whatever is attached to Gaussians (labels, normals, features of a network) is composited exactly like colour.
"""

from __future__ import annotations

import torch

import veduta
from veduta.core import Cameras, Gaussians


def main(steps: int = 60) -> None:
    generator = torch.Generator().manual_seed(0)
    n = 500
    gaussians = Gaussians(
        means=torch.rand(n, 3, generator=generator) * 2 - 1 + torch.tensor([0.0, 0.0, 4.0]),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4).clone(),
        scales=torch.full((n, 3), 0.08),
        opacities=torch.full((n,), 0.8),
        sh=torch.zeros(n, 1, 3),
    )
    cameras = Cameras.pinhole(torch.eye(4)[None], fx=120, fy=120, cx=64, cy=48, width=128, height=96)

    # Forward: the Gaussians' own positions as features give a picture of where in the world each pixel looks.
    drawn = veduta.rasterize(gaussians, cameras, features=gaussians.means)
    assert drawn.features is not None
    world = drawn.features[0] / drawn.alpha[0].clamp(min=1e-6)[..., None]
    print(f"features {tuple(drawn.features.shape)}; the middle pixel looks at {world[48, 64].tolist()}")

    # Backward: find labels for the Gaussians from a picture of labels, here the left and the right half.
    target = torch.zeros(96, 128)
    target[:, 64:] = 1.0
    labels = torch.full((n, 1), 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([labels], lr=0.05)
    for _ in range(steps):
        drawn = veduta.rasterize(gaussians, cameras, features=labels)
        assert drawn.features is not None
        loss = (drawn.features[0, ..., 0] - target * drawn.alpha[0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (gaussians.means[:, 0] > 0) == (labels[:, 0] > 0.5)
    print(f"{100 * right.float().mean():.0f} % of the Gaussians got the label of the side they are on")


if __name__ == "__main__":
    main()
