"""Where a compiler is, the install must have used it: the fallback to pure Python is for machines without one."""

from __future__ import annotations

import shutil

import pytest

from veduta import kernels


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler on this machine")
def test_kernels_are_there() -> None:
    assert kernels.available(), kernels.reason()
