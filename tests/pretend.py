"""A GPU that is not there: tensors that say they are on ``cuda:0``, hold CPU memory, and refuse to mix with others.

What CUDA would refuse is refused here: operations on tensors of both devices (numbers without axes and CPU indices are
allowed, as there), and :meth:`~torch.Tensor.numpy`. Whatever would make the host wait for the device is written down.
Values are the CPU's, so that results can be compared with those of the same program on the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

PRETENDED = torch.device("cuda", 0)
_ATEN = torch.ops.aten
_WAITS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::is_nonzero",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::bincount",
    "aten::multinomial",
}
_COPIES = {"aten::copy_", "aten::_to_copy"}
_BACKWARD = {Tensor.backward, torch.autograd.backward, torch.autograd.grad}
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}


class PretendTensor(Tensor):
    """Memory of the CPU under the name of another device."""

    memory: Tensor
    __torch_function__: ClassVar[Any] = torch._C._disabled_torch_function_impl  # pyright: ignore[reportPrivateUsage]

    @staticmethod
    def __new__(cls: type[PretendTensor], inner: Tensor) -> PretendTensor:
        return Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype
        )

    def __init__(self, inner: Tensor) -> None:
        self.memory = inner

    device = property(lambda self: PRETENDED)  # pyright: ignore[reportAssignmentType]
    is_cuda = property(lambda self: True)  # pyright: ignore[reportAssignmentType]
    is_cpu = property(lambda self: False)  # pyright: ignore[reportAssignmentType]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"PretendTensor({self.memory!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of pretending()")


class _Operations(TorchDispatchMode):
    """Runs every operation on the CPU and gives the result the device that it would have."""

    _mode_key = torch._C._TorchDispatchModeKey.FAKE  # pyright: ignore[reportPrivateUsage]  # so that a device "cuda" is not looked for

    def __init__(self, waits: Counter[str], calls: list[Any]) -> None:
        super().__init__()
        self.waits, self.calls = waits, calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func._schema.name, dict(kwargs or {})
        far, near = _devices(args, kwargs)
        if far and (name.startswith("aten::new_") or name.endswith("_like")):
            kwargs.pop("device", None)  # C++ asks for the device of the memory
        if not far and not near and self.calls and self.calls[-1] in _BACKWARD:
            kwargs["device"] = PRETENDED  # likewise: what autograd makes by itself
        asked = kwargs.get("device")
        self._check(name, args, far, near)
        self._count(name, args, kwargs, far, near)
        args, kwargs = tree_map_only(PretendTensor, lambda t: t.memory, (args, kwargs))
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        result = func(*args, **kwargs)
        if name == "aten::_local_scalar_dense" or not (far if asked is None else torch.device(asked).type == "cuda"):
            return result
        known = {id(t.memory): t for t in far}
        return tree_map_only(Tensor, lambda t: known[id(t)] if id(t) in known else PretendTensor(t), result)

    def _check(self, name: str, args: Sequence[Any], far: list[PretendTensor], near: list[Tensor]) -> None:
        near = [t for t in near if t.dim() > 0]
        if not far or not near or name in _COPIES:
            return
        if name in _INDEXED and isinstance(args[0], PretendTensor):
            indices = {id(index) for index in args[1] if index is not None}
            near = [t for t in near if id(t) not in indices]
        if near:
            raise RuntimeError(f"{name}: tensors on two devices, shapes {[tuple(t.shape) for t in near]} on the CPU")

    def _count(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], far: list[PretendTensor], near: list[Tensor]
    ) -> None:
        moves = name in _COPIES and not kwargs.get("non_blocking", False)
        to_device = kwargs.get("device")
        crosses = (far and near) or (to_device is not None and (torch.device(to_device).type == "cuda") != bool(far))
        if moves and crosses:
            self.waits[f"{name} between devices"] += 1
        elif far and name in _WAITS:
            self.waits[name] += 1
        elif far and name in _INDEXED:
            indices = [index for index in args[1] if index is not None]
            if any(i.dtype == torch.bool for i in indices):
                self.waits[f"{name} by a mask"] += 1
            elif any(not isinstance(i, PretendTensor) for i in indices):
                self.waits[f"{name} by rows of the CPU"] += 1


class _Calls(TorchFunctionMode):
    """What C++ decides by the device before it dispatches."""

    def __init__(self, waits: Counter[str], calls: list[Any]) -> None:
        super().__init__()
        self.waits, self.calls = waits, calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        other = _REPLACED.get(func)
        self.calls.append(func)
        try:
            return func(*args, **kwargs) if other is None else other(self, *args, **kwargs)
        finally:
            self.calls.pop()

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype = kwargs.get("device"), kwargs.get("dtype")
        for value in args:
            if isinstance(value, Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, str | torch.device):
                device = value
        device = tensor.device if device is None else torch.device(device)
        dtype = tensor.dtype if dtype is None else dtype
        if device.type == tensor.device.type and dtype == tensor.dtype and not kwargs.get("copy", False):
            return tensor
        non_blocking = kwargs.get("non_blocking", False)
        return _ATEN._to_copy.default(tensor, device=device, dtype=dtype, non_blocking=non_blocking)

    def cpu(self, tensor: Tensor) -> Tensor:
        return self.to(tensor, "cpu")

    def numpy(self, tensor: Tensor, **kwargs: Any) -> Any:
        if isinstance(tensor, PretendTensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return Tensor.numpy(tensor, **kwargs)

    def tolist(self, tensor: Tensor) -> Any:
        if isinstance(tensor, PretendTensor):
            self.waits["tolist"] += 1
            return tensor.memory.tolist()
        return Tensor.tolist(tensor)

    def new_tensor(self, tensor: Tensor, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        made = torch.tensor(data, dtype=tensor.dtype if dtype is None else dtype)
        return self._arrived(made, tensor.device if device is None else torch.device(device))

    def tensor(self, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        made = torch.tensor(data, dtype=dtype)
        return self._arrived(made, torch.device("cpu" if device is None else device))

    def pin_memory(self, tensor: Tensor) -> Tensor:
        assert not isinstance(tensor, PretendTensor), "cannot pin 'torch.cuda.FloatTensor'"
        return tensor

    def _arrived(self, made: Tensor, device: torch.device) -> Tensor:
        if device.type == "cpu":
            return made
        self.waits["numbers to the device"] += 1
        return PretendTensor(made)


class _Generator(torch.Generator):
    """One of the CPU, whatever device it is for."""

    def __new__(cls, device: Any = None) -> _Generator:
        return super().__new__(cls, "cpu")  # pyright: ignore[reportCallIssue]


_REPLACED: Mapping[Any, Callable[..., Any]] = {
    Tensor.to: _Calls.to,
    Tensor.cpu: _Calls.cpu,
    Tensor.numpy: _Calls.numpy,
    Tensor.tolist: _Calls.tolist,
    Tensor.new_tensor: _Calls.new_tensor,
    Tensor.pin_memory: _Calls.pin_memory,
    torch.tensor: _Calls.tensor,
}


def _devices(args: Any, kwargs: Any) -> tuple[list[PretendTensor], list[Tensor]]:
    leaves = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    far = [t for t in leaves if isinstance(t, PretendTensor)]
    return far, [t for t in leaves if not isinstance(t, PretendTensor)]


@contextmanager
def pretending() -> Iterator[Counter[str]]:
    """Within it ``cuda:0`` exists; yields how often the host had to wait for it, by what it waited for."""
    waits: Counter[str] = Counter()
    calls: list[Any] = []
    with patch.object(torch, "Generator", _Generator), _Operations(waits, calls), _Calls(waits, calls):
        yield waits


def far(tensor: Tensor) -> Tensor:
    """The tensor's values, on the pretended device."""
    return PretendTensor(tensor.detach().clone())


def values(tensor: Tensor) -> Tensor:
    """The CPU memory behind a tensor of either device."""
    return tensor.memory if isinstance(tensor, PretendTensor) else tensor
