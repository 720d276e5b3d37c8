"""Compile every Triton kernel for GPUs that need not be here, and print as JSON what each variant takes.

Run as a program of its own, without TRITON_INTERPRET: Triton decides when a kernel is defined whether to compile it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from veduta.kernels.launch import ROWS
from veduta.kernels.photometric import BLOCK as PHOTOMETRIC_BLOCK
from veduta.measure.images import C1, C2
from veduta.render.cuda.binning import RECORD
from veduta.render.cuda.composite import BACKWARD, CHECK, FORWARD, GATHERED, LOG2_MIN_ALPHA, SUMS
from veduta.render.cuda.forms import SHAPES as FORMS
from veduta.render.cuda.moments import SHAPES as MOMENTS
from veduta.render.reference.compositing import TILE
from veduta.render.reference.cutoffs import MAX_ALPHA, MIN_ALPHA, MIN_QUAT_NORM, MIN_TRANSMITTANCE
from veduta.render.reference.projection import FOV_MARGIN

TYPES = {
    "*i64": ("order", "ends", "places"),
    "*i32": ("corners", "sizes", "counts", "owners", "ids", "starts", "last_image", "terms"),
    "*i16": ("tiles",),
    "i32": (
        "n",
        "width",
        "height",
        "columns",
        "rows",
        "channels",
        "count",
        "pair_count",
        "steps",
        "first",
        "stride",
        "outputs",
    ),
    "fp32": ("near", "far", "low_pass", "l1_weight", "ssim_weight"),
}
"""Arguments by name; all others are pointers to float32."""
KIND = {name: kind for kind, names in TYPES.items() for name in names}
PROJECTION = {"MIN_QUAT_NORM": MIN_QUAT_NORM, "FOV_MARGIN": FOV_MARGIN, "BLOCK": ROWS}
TILED = {"LOG2_MIN_ALPHA": LOG2_MIN_ALPHA, "MAX_ALPHA": MAX_ALPHA, "TILE": TILE, "RECORD": RECORD}
FRONT_TO_BACK = {**TILED, "MIN_TRANSMITTANCE": MIN_TRANSMITTANCE, "CHECK": CHECK}
TRAINING = {"DEPTH": False, "ABSGRAD": True, "FEATURES": False}
EVERYTHING = {"DEPTH": True, "ABSGRAD": True, "FEATURES": True}

VARIANTS = [
    ("project_kernels", "project_kernel", 4, {**PROJECTION, "MIN_ALPHA": MIN_ALPHA, "ANTIALIAS": True}),
    ("project_backward_kernels", "project_backward_kernel", 4, {**PROJECTION, "ANTIALIAS": True}),
    ("sh_kernels", "color_kernel", 4, {"STORED": 16, "USED": 16, "BLOCK": ROWS}),
    ("sh_kernels", "color_backward_kernel", 4, {"STORED": 16, "USED": 9, "BLOCK": ROWS}),
    ("sh_kernels", "color_backward_kernel", 4, {"STORED": 16, "USED": 16, "BLOCK": ROWS}),
    ("sh_kernels", "hide_kernel", 4, {"WIDTH": 5, "BLOCK": ROWS}),
    ("bin_kernels", "touch_kernel", 4, {"TILE": TILE, "BLOCK": ROWS}),
    ("bin_kernels", "expand_kernel", 4, {"BLOCK": ROWS}),
    ("bin_kernels", "record_kernel", 4, {"RECORD": RECORD, "BLOCK": ROWS}),
    *(
        ("composite_kernels", "composite_kernel", warps, {**FRONT_TO_BACK, "MAIN": main})
        for main in (True, False)
        for warps in FORWARD.warps
    ),
    *(
        ("backward_kernels", "composite_backward_kernel", warps, {**TILED, **flags, "ORDERED": ordered})
        for flags in (TRAINING, EVERYTHING)
        for ordered in (False, True)
        for warps in BACKWARD.warps
    ),
    *(
        ("veduta.kernels.photometric_kernels", name, 4, {**constants, "RADIUS": 5, "BLOCK": PHOTOMETRIC_BLOCK})
        for name, constants in (
            ("products_kernel", {}),
            ("similarity_kernel", {"C1": C1, "C2": C2, "WEIGHTED": True}),
            ("slopes_kernel", {}),
            ("gradient_kernel", {"WEIGHTED": True}),
        )
    ),
    *(
        ("linear_kernels", "lines_kernel", 4, {**PROJECTION, "ANTIALIAS": antialias, "STORED": 16, "USED": used})
        for antialias, used in ((False, 16), (True, 4))
    ),
    ("linear_kernels", "root_kernel", 4, PROJECTION),
    *(("linear_kernels", "terms_kernel", 4, {"BOTH": both, "BLOCK": ROWS}) for both in (True, False)),
    *(
        ("moment_kernels", "moments_kernel", warps, {**TILED, "BEHIND": True, "TRUST": True, "SCORE": score})
        for score in (39, 9, 0)
        for warps in MOMENTS.warps
    ),
    *(("form_kernels", "covariance_kernel", warps, {**TILED, "BEHIND": True}) for warps in FORMS.warps),
    ("backward_kernels", "gather_kernel", 4, {"WIDTH": SUMS, "BLOCK": GATHERED}),
    ("backward_kernels", "finish_kernel", 4, {"DEPTH": True, "ABSGRAD": True, "BLOCK": ROWS}),
]  # fmt: skip
"""Module (in ``veduta.render.cuda`` where no package is named), kernel, warps, and what is compiled in."""


def main() -> None:
    results = []
    for capability in (int(argument) for argument in sys.argv[1:]):
        for module, name, warps, constants in VARIANTS:
            kernel = getattr(import_module(module if "." in module else f"veduta.render.cuda.{module}"), name)
            results.append(compiled(kernel, capability, warps, constants))
    sys.stdout.write(json.dumps(results))


def compiled(kernel, capability: int, warps: int, constants: dict[str, object]) -> dict[str, object]:
    signature = {name: "constexpr" if name in constants else KIND.get(name, "*fp32") for name in kernel.arg_names}
    result = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "enable_fp_fusion": True},
    )
    return {
        "kernel": kernel.__name__,
        "capability": capability,
        "warps": warps,
        "shared_bytes": result.metadata.shared,
        **resources(result.asm["cubin"]),
    }


def resources(cubin: bytes) -> dict[str, int]:
    """Registers and local memory (spills) per thread, by the disassembler that Triton brings along."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    usage = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", told.stdout))
    return {"registers": int(usage["REG"]), "spilled_bytes": int(usage["STACK"]) + int(usage["LOCAL"])}


if __name__ == "__main__":
    main()
