"""A capture, a fit, scores on held-out views, and a file that other programs open.

Here the photographs are synthetic; with your own, replace two lines as shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import veduta
from veduta.data.synthetic import synthetic_capture


def main(out: Path, steps: int = 1000) -> None:
    capture = synthetic_capture("room", views=20, width=128, height=96, seed=0)
    # capture = veduta.open_capture("photos/")       # a COLMAP model or transforms.json with its photographs
    # capture = veduta.open_capture("photos/", sfm=True)           # photographs only: poses are estimated first
    print(f"{len(capture.train)} photographs to learn from, {len(capture.test)} held out")

    scene = veduta.fit(capture, veduta.FitPlan(steps=steps, max_gaussians=10_000))
    print(f"{len(scene.background):,} Gaussians")

    scores = veduta.evaluate(scene, capture.test)
    print(f"PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.3f} on held-out views")
    print(scores.protocol)

    out.mkdir(parents=True, exist_ok=True)
    veduta.save(scene, out / "room.ply", overwrite=True)
    print(f"written: {out / 'room.ply'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_01"))
