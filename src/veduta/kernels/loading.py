"""Finding the compiled module, its instruction sets and its threads."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from torch import Tensor

NOT_BUILT = "the CPU kernels were not compiled (no C++17 compiler when veduta was installed)"


@cache
def _attempt() -> tuple[ModuleType | None, str]:
    try:
        from veduta.kernels import _kernels  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError as error:
        missing = "cannot import name '_kernels'" in str(error)
        return None, NOT_BUILT if missing else f"the CPU kernels cannot be loaded: {error}"
    return _kernels, ""


def module() -> ModuleType:
    """The compiled module; only where :func:`available`."""
    found, why = _attempt()
    assert found is not None, why
    return found


def available() -> bool:
    """Whether the compiled kernels can be used."""
    return _attempt()[0] is not None


def reason() -> str:
    """Why they cannot be used; empty where they can."""
    return _attempt()[1]


def instruction_sets() -> list[str]:
    """Instruction sets that this processor and this build share, fastest first; empty where nothing was built."""
    return module().usable() if available() else []


def isa() -> str:
    """The instruction set in use: ``avx512``, ``avx2`` or ``portable``; ``none`` where nothing was built."""
    return module().isa() if available() else "none"


def set_isa(name: str) -> None:
    """Use another of :func:`instruction_sets` (for tests and benchmarks); ``ValueError`` if it is not one of them."""
    module().set_isa(name)


def threads() -> int:
    """Threads that the kernels use; results never depend on it."""
    return module().threads() if available() else 1


def set_threads(count: int) -> None:
    """Use this many threads, at least one."""
    if available():
        module().set_threads(count)


def release_memory() -> None:
    """Give scratch memory that is kept for reuse back to the system."""
    if available():
        module().release_pooled_memory()


def held_memory() -> tuple[int, int]:
    """Bytes of scratch memory: in use by pictures whose gradients are yet to come, and kept to be used again."""
    return module().held_memory() if available() else (0, 0)


def address(tensor: Tensor | None, *shape: int) -> int:
    """Where a contiguous float32 CPU tensor of the given shape lies; 0 for None. Anything else is a caller's bug.

    The address does not keep the tensor alive: what is given here must have a name that outlives the kernel's call.
    """
    if tensor is None:
        return 0
    assert str(tensor.dtype) == "torch.float32", f"a kernel needs float32, got {tensor.dtype}"
    assert tensor.device.type == "cpu", f"a kernel needs the CPU, got {tensor.device}"
    assert tensor.is_contiguous(), f"a kernel needs a contiguous tensor, got strides {tensor.stride()}"
    assert tuple(tensor.shape) == shape, f"a kernel needs the shape {shape}, got {tuple(tensor.shape)}"
    return tensor.data_ptr()
