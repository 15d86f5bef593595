"""What a device can do: its dtype, its free memory, and its errors as this package's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.errors import DeviceLost, OutOfMemory


def multiplies_bfloat16(device: str) -> bool:
    """Whether the device has units for bfloat16 products. Emulated ones are far slower than float32."""
    return device.startswith("cuda") or torch.cpu._is_avx512_bf16_supported()


def working_dtype(device: str, precision: str, bfloat16: bool | None = None) -> torch.dtype:
    """float32 for `exact`. For `fast` bfloat16 or float32, as `bfloat16` says; None decides by the device."""
    if precision == "exact":
        return torch.float32
    wanted = multiplies_bfloat16(device) if bfloat16 is None else bfloat16
    return torch.bfloat16 if wanted else torch.float32


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a GPU, with what torch's allocator keeps for reuse. None on a CPU."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


@contextmanager
def device_errors() -> Iterator[None]:
    """Raise torch's device errors as this package's.

    OutOfMemory: the GPU's memory is full; cached blocks have been returned to it. DeviceLost: the device fails until
    the process ends. MemoryError: the host's memory is full, which torch reports as a RuntimeError like any other.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(str(error)) from error
    except torch.AcceleratorError as error:
        raise DeviceLost(str(error)) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise MemoryError(str(error)) from error
        raise
