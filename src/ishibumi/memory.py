"""Memory: how much was needed, and what is free again given back to the system."""

import contextlib
import ctypes
import gc
import resource
from typing import Any


def release() -> None:
    """Let go of what nobody holds. The C library keeps what training freed, and the exam's memory would come on top."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc have no such function
        ctypes.CDLL(None).malloc_trim(0)


def peak_bytes(device: Any) -> int:
    """The most that tensors took on a GPU (torch.device) since the program began, or this process of the memory."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
