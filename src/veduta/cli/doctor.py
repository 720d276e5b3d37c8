"""``veduta doctor``: what works on this machine, and why the rest does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from veduta import __version__, kernels
from veduta.cli.terminal import tell
from veduta.cli.verb import OK, USERS_MISTAKE
from veduta.core import Cameras, Gaussians, VedutaError
from veduta.kernels import gpu
from veduta.render import backends, rasterize
from veduta.render.devices import choose_device, driver_version

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pillow",
    "imageio",
    "imageio-ffmpeg",
    "safetensors",
    "rich",
    "tyro",
    "viser",
    "jaxtyping",
)
EXTRAS: Mapping[str, tuple[str, str]] = {
    "sfm": ("pycolmap", "poses of photographs (veduta sfm)"),
    "cuda": ("triton", "an NVIDIA GPU (--device cuda)"),
}
"""Optional parts by the extra's name: the package and what it is for."""
TEST_GAUSSIANS, TEST_SIZE = 200, 64
TOLERANCE = 1e-4
"""Backends may differ from the reference by this much in any colour; a smaller check than the test suite's."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Show what works on this machine and why the rest does not: backends, instruction sets, threads, versions.

    Every usable backend then draws a small scene, which takes about a second.

        veduta doctor
    """

    def run(self, console: Console) -> int:
        """Print what was found; exit code 2 if the self-test fails."""
        tell(console, f"veduta {__version__}, Python {platform.python_version()}, {platform.platform()}")
        sets = ", ".join(kernels.instruction_sets()) or "none"
        tell(console, f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
        tell(console, f"instruction sets of the kernels that work here: {sets}")
        tell(console, f"GPU: {_gpu()}")
        console.print(_backends())
        console.print(_versions())
        return _self_test(console)


def _gpu() -> str:
    """What it is and what drives it, or why there is none to be used."""
    driver = driver_version()
    by = "" if driver is None else f", driver {driver}"
    kind = "" if gpu.device_type() else "none to be used: "
    return f"{kind}{gpu.reason()}{by}; computing on {choose_device().type} unless told otherwise"


def _backends() -> Table:
    table = Table("backend", "usable", "why", title="Rasterisers", title_justify="left")
    for backend in backends.report():
        table.add_row(backend.name, "yes" if backend.usable else "[red]no[/red]", Text(backend.why))
    return table


def _versions() -> Table:
    table = Table("package", "version", "for", title="Packages", title_justify="left")
    for name in PACKAGES:
        table.add_row(name, _version(name) or "[red]missing[/red]", "")
    for extra, (package, use) in EXTRAS.items():
        found = _version(package)
        table.add_row(package, found or f"[yellow]missing[/yellow]: pip install 'veduta\\[{extra}]'", use)
    return table


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _self_test(console: Console) -> int:
    """Draw a small scene with every usable backend, forwards and backwards, and compare with the reference."""
    gaussians, cameras = _test_scene()
    expected = rasterize(gaussians, cameras, backend="reference").color
    failures = 0
    for backend in backends.report():
        if not backend.usable:
            continue
        start = time.perf_counter()
        try:
            difference, finite = _drawn(backend.name, gaussians, cameras, expected)
        except VedutaError as error:
            failures += 1
            tell(console, f"self-test {backend.name}: {error.line()}", style="red")
            continue
        good = finite and difference <= TOLERANCE
        failures += not good
        verdict = "works" if good else "FAILED: reinstall veduta, or use --backend reference"
        seconds = time.perf_counter() - start
        tell(
            console,
            f"self-test {backend.name}: {verdict} (largest difference {difference:.1e}, {seconds:.2f} s)",
            style=None if good else "red",
        )
    return USERS_MISTAKE if failures else OK


def _drawn(name: str, gaussians: Gaussians, cameras: Cameras, expected: torch.Tensor) -> tuple[float, bool]:
    """The largest difference from the expected colours, and whether all gradients are finite."""
    gaussians = gaussians.to(gpu.device_type() if name == "cuda" else "cpu")
    means = gaussians.means.clone().requires_grad_()
    color = rasterize(gaussians.replace(means=means), cameras, backend=name).color
    color.square().sum().backward()
    finite = means.grad is not None and bool(torch.isfinite(means.grad).all())
    return float((color.detach().cpu() - expected).abs().max()), finite


def _test_scene() -> tuple[Gaussians, Cameras]:
    generator = torch.Generator().manual_seed(0)
    n = TEST_GAUSSIANS
    means = torch.rand(n, 3, generator=generator) * 2 - 1 + torch.tensor([0.0, 0.0, 3.0])
    quats = torch.nn.functional.normalize(torch.randn(n, 4, generator=generator), dim=1)
    gaussians = Gaussians(
        means=means,
        quats=quats,
        scales=0.02 + 0.1 * torch.rand(n, 3, generator=generator),
        opacities=0.2 + 0.7 * torch.rand(n, generator=generator),
        sh=torch.randn(n, 4, 3, generator=generator) * 0.3,
    )
    size, half = TEST_SIZE, TEST_SIZE / 2
    cameras = Cameras.pinhole(torch.eye(4)[None], fx=size, fy=size, cx=half, cy=half, width=size, height=size)
    return gaussians, cameras
