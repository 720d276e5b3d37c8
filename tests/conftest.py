"""What every test shares: shapes checked at run time, one thread, reproducible examples, the shared data."""

from __future__ import annotations

import importlib.abc
import os
import signal
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

# Before torch is loaded: results and timings must not depend on how many cores the machine has.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import jaxtyping
import pytest

CHECKED = (
    "core",
    "geometry",
    "render",
    "measure",
    "nets",
    "io",
    "data",
    "fit",
    "information",
    "feedforward",
    "recipes",
)
"""Packages whose annotations, shapes included, are checked at every call while testing."""

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

# beartype, with an int where a float is expected, as in static typing.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

_shape_checks = jaxtyping.install_import_hook([f"veduta.{name}" for name in CHECKED], CHECKER)


class UncheckedKernels(importlib.abc.MetaPathFinder):
    """Modules named ``*_kernels`` are loaded as they are: Triton reads their functions, no checker may wrap them."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        return PathFinder.find_spec(fullname, path, target) if fullname.endswith("_kernels") else None


sys.meta_path.insert(0, UncheckedKernels())

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """One torch thread, whatever the environment says; Ctrl-C as at a prompt, also where a shell had it ignored."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real captures beside the checkout; without it the test is skipped, visibly."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real captures: ../shared/data is not there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
