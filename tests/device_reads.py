"""Find operations that read a value or a size from the device, which a CUDA graph cannot hold."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# a number for Python, or an output whose size depends on values
READING = {
    "aten._local_scalar_dense.default",
    "aten.bincount.default",
    "aten.equal.default",
    "aten.masked_select.default",
    "aten.nonzero.default",
    "aten._unique2.default",
}


class DeviceReads(TorchDispatchMode):
    """Within the block, `found` collects the names of such operations."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note the operation and do it."""
        sizeless = str(func) == "aten.repeat_interleave.Tensor" and not (kwargs or {})
        if str(func) in READING or sizeless:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))
